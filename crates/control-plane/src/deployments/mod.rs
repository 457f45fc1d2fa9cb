//! Deployments: attempts to make a release live.

pub mod progress;

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($($(#[$doc:meta])* $schema:ident $name:ident { $($(#[$vdoc:meta])* $variant:ident,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
        #[serde(rename_all = "kebab-case")]
        #[sqlx(type_name = "text", rename_all = "kebab-case")]
        #[schema(as = $schema)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }
    )*};
}

words! {
    /// What a deployment begins with.
    DeploymentKind Kind {
        /// Source to build.
        Build,
        /// An image of a registry.
        Image,
        /// New settings or variables for the image that runs.
        Settings,
        /// An older release.
        Rollback,
    }

    /// How far it is.
    DeploymentState State {
        Queued,
        Building,
        RollingOut,
        /// Its release serves.
        Live,
        /// It was live; a later one took over.
        Superseded,
        Failed,
        Cancelled,
    }

    /// How far one stage is.
    StageState StageState { Waiting, Running, Done, Failed, Skipped, }
}

impl State {
    /// Whether nothing will happen to it any more, but for being superseded.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Building | Self::RollingOut)
    }
}
