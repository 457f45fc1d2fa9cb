//! Nodes: how hosts join, what they are, and when they go.

pub mod adding;
pub mod agent_log;
pub mod api;
pub mod capabilities;
pub mod declared;
pub mod enrol;
pub mod health;
pub mod instances;
pub mod join;
pub mod keys;
pub mod labels;
pub mod leave;
pub mod numbers;
pub mod ports;
pub mod register;
pub mod settled;
pub mod signing;
pub mod storage;
pub mod store;
pub mod tokens;

use std::net::{IpAddr, Ipv4Addr};

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use protocol::identity::{AgentKind, Role};
use protocol::ids::NodeId;
use protocol::labels::Labels;
use protocol::report::HostFacts;
use protocol::spec::Generation;
use serde::{Deserialize, Serialize};

use crate::images::NodeImages;

/// A node as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Node {
    pub id: NodeId,
    pub name: String,
    pub roles: Vec<Role>,
    pub origin: Origin,
    #[schema(value_type = String)]
    pub mesh_address: Ipv4Addr,
    /// Its `WireGuard` public key; the private half never leaves the host.
    pub public_key: String,
    /// Where others reach its tunnel.
    pub endpoint: Option<String>,
    pub status: Status,
    pub status_since: DateTime<Utc>,
    pub last_seen_at: Option<DateTime<Utc>>,
    pub health: health::Health,
    pub agents: Vec<Agent>,
    pub host: HostFacts,
    /// What the host can do, and what it lacks.
    pub capabilities: Vec<capabilities::Capability>,
    pub labels: Labels,
    /// Those of the labels that the configuration sets, at each start.
    pub declared_labels: Vec<String>,
    /// DNS suffix that the host serves.
    pub zone: Option<String>,
    /// Instances that should run on it.
    pub instances: i64,
    /// Apps that these are of.
    pub apps: i64,
    /// Since when it takes nothing new; null when it does.
    pub cordoned_at: Option<DateTime<Utc>>,
    /// There and back between it and the control plane, through the mesh. Null while that is not known.
    pub rtt_ms: Option<f64>,
    /// How its host is doing. Null when it has not told for some minutes.
    pub numbers: Option<numbers::NodeNow>,
    /// What its images take. Null before a worker has told.
    pub images: Option<NodeImages>,
    pub key: NodeKey,
    /// What will not go well as it is, each with the remedy.
    pub warnings: Vec<String>,
    pub created_at: DateTime<Utc>,
}

/// How a node's API key is.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NodeKey {
    /// When it took the place of another. Null for the one with which it joined.
    pub changed_at: Option<DateTime<Utc>>,
    /// Since when the host is asked for another key. Null once that is in use.
    pub rotation_asked_at: Option<DateTime<Utc>>,
    /// Since when its keys are refused.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// One of a node's processes.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Agent {
    pub kind: AgentKind,
    pub version: String,
    pub connected: bool,
    pub last_seen_at: Option<DateTime<Utc>>,
    /// The newest generation of its desired state.
    pub generation: Generation,
    /// The one that it says is in force.
    pub applied_generation: Generation,
    /// Its clock against the control plane's, in milliseconds: more is ahead.
    pub clock_offset_ms: Option<i64>,
    pub clock_measured_at: Option<DateTime<Utc>>,
    /// Why its last message was not taken. Null once it is connected again.
    pub refusal: Option<String>,
    pub refused_at: Option<DateTime<Utc>>,
}

/// How a node came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[sqlx(type_name = "text", rename_all = "kebab-case")]
pub enum Origin {
    Declared,
    Enrolled,
}

/// Whether a node answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[sqlx(type_name = "text", rename_all = "kebab-case")]
#[schema(as = NodeStatus)]
pub enum Status {
    /// Known, but none of its agents has called yet.
    Joining,
    /// An agent of it is connected, or it answers checks.
    Online,
    /// Nobody answered three checks in a row.
    Offline,
    /// Nobody answered for so long that it is asked every quarter of an hour, or less.
    Unreachable,
}

impl Status {
    /// The column's and the API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Unreachable => "unreachable",
        }
    }
}

/// A join token as the API lists it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NodeToken {
    pub id: protocol::ids::NodeTokenId,
    pub roles: Vec<Role>,
    /// The only node name that it is good for.
    pub name: Option<String>,
    /// What it gives the node besides its roles.
    pub labels: Labels,
    pub zone: Option<String>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub used_at: Option<DateTime<Utc>>,
    /// Name of the node that joined with it.
    pub used_by: Option<String>,
    /// Why the last host that showed it was refused. Null once one has joined.
    pub refusal: Option<String>,
    pub refused_at: Option<DateTime<Utc>>,
}

/// Which agents a node with these roles may run.
pub fn may_run(roles: &[Role], agent: AgentKind) -> bool {
    match agent {
        AgentKind::Mesh => true,
        AgentKind::Worker | AgentKind::Ingress => roles.contains(&Role::Worker),
        AgentKind::Proxy => roles.contains(&Role::Proxy),
    }
}

/// Roles out of their column.
pub fn roles(words: &[String]) -> Vec<Role> {
    let all = [Role::ControlPlane, Role::Worker, Role::Proxy];
    all.into_iter().filter(|role| words.iter().any(|word| word == role.as_str())).collect()
}

/// Roles for their column.
pub fn words(roles: &[Role]) -> Vec<String> {
    roles.iter().map(ToString::to_string).collect()
}

/// A mesh address out of its column; the mesh is IPv4.
pub fn v4(column: IpNet) -> Ipv4Addr {
    match column.addr() {
        IpAddr::V4(address) => address,
        IpAddr::V6(address) => address.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED),
    }
}

/// A mesh address for its column.
pub fn inet(address: Ipv4Addr) -> IpNet {
    IpNet::from(IpAddr::V4(address))
}

#[cfg(test)]
mod joining_tests;
#[cfg(test)]
mod tests;
