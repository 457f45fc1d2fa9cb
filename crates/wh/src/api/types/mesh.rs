//! Tunnels between the nodes.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The mesh as its nodes see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Mesh {
    pub(crate) cidr: String,
    pub(crate) nodes: Vec<MeshNode>,
    pub(crate) links: Vec<MeshLink>,
    #[serde(default)]
    pub(crate) links_left_out: usize,
    #[serde(default)]
    pub(crate) findings: Vec<MeshFinding>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MeshNode {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) mesh_address: String,
    pub(crate) public_key: String,
    #[serde(default)]
    pub(crate) key_since: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) rotation: Option<MeshRotation>,
    #[serde(default)]
    pub(crate) endpoint: Option<String>,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) wireguard: Option<String>,
    #[serde(default)]
    pub(crate) mtu: Option<u32>,
    #[serde(default)]
    pub(crate) reported_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) reaches: usize,
}

/// How far a node is with another key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MeshRotation {
    pub(crate) asked_at: DateTime<Utc>,
    pub(crate) stage: String,
    #[serde(default)]
    pub(crate) waits_for: Vec<String>,
}

/// Nodes that were asked for other keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MeshRotationsAsked {
    pub(crate) nodes: Vec<String>,
}

/// How one node reaches another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MeshLink {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) via: Option<String>,
    #[serde(default)]
    pub(crate) endpoint: Option<String>,
    #[serde(default)]
    pub(crate) handshake_age_s: Option<u64>,
    #[serde(default)]
    pub(crate) received_bytes: u64,
    #[serde(default)]
    pub(crate) sent_bytes: u64,
    #[serde(default)]
    pub(crate) rtt_ms: Option<f64>,
    #[serde(default)]
    pub(crate) loss: Option<f64>,
    #[serde(default)]
    pub(crate) mtu: Option<u16>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MeshFinding {
    pub(crate) level: String,
    pub(crate) problem: String,
    pub(crate) nodes: Vec<String>,
    pub(crate) summary: String,
    pub(crate) fix: String,
}
