//! What the nodes' tunnels are like: who reaches whom and how well, and what is wrong where somebody does not.
//!
//! Each node's mesh agent reports its side of all its tunnels; the newest report replaces the one before, and goes with
//! the node.

pub mod api;
mod findings;
mod links;
pub mod pool;
pub mod relays;
#[cfg(test)]
mod rotation_tests;
pub mod rotations;
pub mod store;
#[cfg(test)]
mod tests;

pub(crate) use links::state as state_of_link;

use std::net::{Ipv4Addr, SocketAddr};

use chrono::{DateTime, TimeDelta, Utc};
use protocol::identity::Role;
use protocol::ids::NodeId;
use protocol::report::MeshReport;
use serde::Serialize;

use crate::doctor::Level;
use crate::nodes::Status;

/// An agent reports every 30 s: one that has missed two says nothing about now.
const FRESH: TimeDelta = TimeDelta::seconds(90);

/// The mesh as its nodes see it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Mesh)]
pub struct View {
    /// All addresses of the mesh.
    #[schema(value_type = String)]
    pub cidr: ipnet::Ipv4Net,
    pub nodes: Vec<MeshNode>,
    /// One for each pair and direction, as the node `from` sees it.
    pub links: Vec<Link>,
    /// Links that are well and left out, because the mesh is large: ask for one node's.
    pub links_left_out: usize,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
}

/// A node and its tunnel.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MeshNode {
    pub id: NodeId,
    pub name: String,
    #[schema(value_type = String)]
    pub mesh_address: Ipv4Addr,
    pub public_key: String,
    /// Since when it has this key.
    pub key_since: Option<DateTime<Utc>>,
    /// How far it is with another one, when it was asked for one.
    pub rotation: Option<rotations::View>,
    /// Where others dial its tunnel; absent for a node that nobody can dial.
    pub endpoint: Option<String>,
    pub status: Status,
    /// `kernel` or `userspace`.
    pub wireguard: Option<String>,
    /// Bytes of the largest packet that its interface takes.
    pub mtu: Option<u32>,
    /// When its mesh agent last told of its tunnel.
    pub reported_at: Option<DateTime<Utc>>,
    /// How many nodes it reaches, of those that report.
    pub reaches: usize,
}

/// One side of a tunnel between two nodes.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = MeshLink)]
pub struct Link {
    /// The node that says so.
    pub from: String,
    pub to: String,
    pub state: LinkState,
    /// Name of the node that hands the packets on; absent when they go directly.
    pub via: Option<String>,
    /// Where packets go; of a relayed link, where the direct way is tried.
    #[schema(value_type = Option<String>)]
    pub endpoint: Option<SocketAddr>,
    /// Absent before the first handshake.
    pub handshake_age_s: Option<u64>,
    pub received_bytes: u64,
    pub sent_bytes: u64,
    /// There and back: the median of the last three minutes.
    pub rtt_ms: Option<f64>,
    /// Of the probes of the last three minutes, in percent.
    pub loss: Option<f64>,
    /// Bytes of the largest packet that arrives.
    pub mtu: Option<u16>,
}

/// How one node reaches another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = MeshLinkState)]
pub enum LinkState {
    /// From host to host.
    Direct,
    /// Through another node, because the direct way does not work.
    Relayed,
    /// Nothing comes back.
    Silent,
    /// The node `from` does not report, or has not taken the peer in yet.
    Unknown,
}

/// Something wrong with the mesh, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = MeshFinding)]
pub struct Finding {
    pub level: Level,
    pub problem: Problem,
    /// Names of the nodes that it is about.
    pub nodes: Vec<String>,
    /// One sentence.
    pub summary: String,
    /// What to do about it.
    pub fix: String,
}

/// What may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = MeshProblem)]
pub enum Problem {
    NoReport,
    KeysDiffer,
    PeerMissing,
    NoEndpoint,
    PrivateEndpoint,
    PortClosed,
    Relayed,
    NoProbes,
    Loss,
    NarrowPath,
    Clock,
}

/// What is known of a node and its tunnel.
#[derive(Debug, Clone)]
pub struct Side {
    pub id: NodeId,
    pub name: String,
    pub roles: Vec<Role>,
    pub mesh_address: Ipv4Addr,
    pub public_key: String,
    pub endpoint: Option<String>,
    pub status: Status,
    pub wireguard: Option<String>,
    pub reported_at: Option<DateTime<Utc>>,
    pub report: Option<MeshReport>,
}

impl Side {
    /// What its agent said, unless that is too long ago.
    fn fresh(&self, now: DateTime<Utc>) -> Option<&MeshReport> {
        let at = self.reported_at?;
        self.report.as_ref().filter(|_| now - at < FRESH)
    }
}
