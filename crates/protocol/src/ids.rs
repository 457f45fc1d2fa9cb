//! Typed ids. All are UUID v7, so that sorting by id is sorting by creation.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        #[cfg_attr(feature = "control-plane", derive(sqlx::Type, utoipa::ToSchema), sqlx(transparent))]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id, later in order than all made before on this host.
            #[expect(clippy::new_without_default, reason = "an id made by default would hide that it is new")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                s.parse().map(Self)
            }
        }
    )*};
}

ids! {
    /// A user of the dashboard and the API.
    UserId;
    OrganizationId;
    ProjectId;
    EnvironmentId;
    AppId;
    ReleaseId;
    DeploymentId;
    /// One container of a release on one node.
    InstanceId;
    /// A host, whatever its roles.
    NodeId;
    JobId;
    /// An uploaded source archive.
    ArchiveId;
    ZoneId;
    /// A host name of the world outside that leads to an app.
    DomainId;
    DnsProviderId;
    /// A token by which a Traefik reads its routes.
    RouteTokenId;
    SessionId;
    /// An API token of a user.
    TokenId;
    /// A program that someone runs in an instance.
    ExecId;
    /// A join token of a node to come.
    NodeTokenId;
}
