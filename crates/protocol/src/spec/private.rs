//! The private network: what the containers of each project on one worker reach by name, and what they reach besides.

use std::net::{Ipv4Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use crate::ids::InstanceId;

/// The domain of all names of the private network.
pub const DOMAIN: &str = "internal";

/// Every app is reached on this port as well as on its own.
pub const WEB_PORT: u16 = 80;

/// Of one worker: the projects that have containers there, and no others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateSpec {
    /// Where the addresses of all apps are taken from. Nobody has them: what goes there is sent on to an instance.
    pub range: Ipv4Net,
    pub projects: Vec<PrivateProject>,
}

/// A project, as its containers on one worker see the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateProject {
    /// Its id, as in [`super::InstanceSpec`].
    pub project: String,
    /// Apps that it may reach: its own, and those that it was granted.
    pub services: Vec<Service>,
    /// Where its containers may open connections outside of the private network; anywhere public when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Vec<EgressRule>>,
}

/// An app as others reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Without the domain, such as `stock.shop`.
    pub name: String,
    /// Its own for as long as it exists, and the same on every worker.
    pub address: Ipv4Addr,
    /// Its instances that serve, by id.
    pub backends: Vec<Backend>,
}

/// An instance that connections are sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    pub instance: InstanceId,
    /// Where it is published.
    pub address: SocketAddr,
    /// The port that it listens on inside its container.
    pub port: u16,
    /// It is published for UDP as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub udp: bool,
}

/// Places outside that a project with such rules may reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct EgressRule {
    /// A network such as `203.0.113.0/24`, or one address as `203.0.113.7/32`.
    #[cfg_attr(feature = "control-plane", schema(value_type = String, example = "203.0.113.0/24"))]
    pub to: IpNet,
    /// TCP and UDP ports; all of them, and all other protocols, when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
}
