//! Hosts and their join tokens.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::node_pages::NodeNow;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Node {
    #[serde(default)]
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    #[serde(default)]
    pub(crate) origin: String,
    #[serde(default)]
    pub(crate) mesh_address: Option<String>,
    #[serde(default)]
    pub(crate) public_key: String,
    #[serde(default)]
    pub(crate) endpoint: Option<String>,
    #[serde(default)]
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) status_since: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) last_seen_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) health: Health,
    #[serde(default)]
    pub(crate) agents: Vec<Agent>,
    #[serde(default)]
    pub(crate) host: Option<Host>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) declared_labels: Vec<String>,
    #[serde(default)]
    pub(crate) zone: Option<String>,
    #[serde(default)]
    pub(crate) capabilities: Vec<Capability>,
    #[serde(default)]
    pub(crate) key: NodeKey,
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
    #[serde(default)]
    pub(crate) instances: u32,
    #[serde(default)]
    pub(crate) apps: u32,
    #[serde(default)]
    pub(crate) cordoned_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) rtt_ms: Option<f64>,
    #[serde(default)]
    pub(crate) numbers: Option<NodeNow>,
    #[serde(default)]
    pub(crate) images: Option<NodeImages>,
    #[serde(default)]
    pub(crate) created_at: Option<DateTime<Utc>>,
}

/// Something that a host can do, or lacks.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Capability {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) state: String,
    pub(crate) problem: Option<String>,
    pub(crate) hint: Option<String>,
}

/// How a node's API key is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NodeKey {
    pub(crate) changed_at: Option<DateTime<Utc>>,
    pub(crate) rotation_asked_at: Option<DateTime<Utc>>,
    pub(crate) revoked_at: Option<DateTime<Utc>>,
}

/// A node that was entered by hand.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RegisteredNode {
    pub(crate) node: Node,
    pub(crate) joined: String,
    pub(crate) command: String,
}

/// Whether it is heard from, and by what.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Health {
    pub(crate) missing_since: Option<DateTime<Utc>>,
    pub(crate) failures: u32,
    pub(crate) checked_at: Option<DateTime<Utc>>,
    pub(crate) next_check_at: Option<DateTime<Utc>>,
    pub(crate) error: Option<String>,
    pub(crate) clock_offset_ms: Option<i64>,
    pub(crate) clock_measured_at: Option<DateTime<Utc>>,
}

/// A node went or came back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Transition {
    pub(crate) at: DateTime<Utc>,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) reason: String,
}

/// What a node's images take.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NodeImages {
    pub(crate) count: u32,
    pub(crate) size_bytes: u64,
    pub(crate) reclaimable_bytes: u64,
    pub(crate) cache_bytes: u64,
    pub(crate) copies_waiting: u32,
    pub(crate) problems: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Agent {
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) version: Option<String>,
    #[serde(default)]
    pub(crate) connected: bool,
    #[serde(default)]
    pub(crate) last_seen_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) generation: Option<i64>,
    #[serde(default)]
    pub(crate) applied_generation: Option<i64>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Host {
    pub(crate) architecture: String,
    pub(crate) kernel: String,
    pub(crate) cpus: u32,
    pub(crate) memory_mb: u64,
    pub(crate) podman: Option<String>,
    pub(crate) wireguard: Option<String>,
    pub(crate) os: Option<OperatingSystem>,
    /// What enforces each limit, or why nothing does.
    pub(crate) enforced: Option<BTreeMap<String, Enforcement>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Enforcement {
    pub(crate) by: Option<String>,
    pub(crate) why_not: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OperatingSystem {
    pub(crate) name: String,
    pub(crate) build: Option<String>,
    pub(crate) generation: Option<u32>,
    pub(crate) boot_generation: Option<u32>,
    pub(crate) activated_at: Option<DateTime<Utc>>,
    pub(crate) packages_at: Option<DateTime<Utc>>,
    pub(crate) reboot_needed: bool,
}

/// A join token as made: the only time that its secret is shown.
#[derive(Serialize, Deserialize)]
pub(crate) struct NewNodeToken {
    pub(crate) id: String,
    pub(crate) token: String,
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    #[serde(default)]
    pub(crate) expires_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) command: String,
    #[serde(default)]
    pub(crate) nixos: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NodeToken {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    #[serde(default)]
    pub(crate) expires_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) used_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) used_by: Option<serde_json::Value>,
    #[serde(default)]
    pub(crate) refusal: Option<String>,
    #[serde(default)]
    pub(crate) refused_at: Option<DateTime<Utc>>,
}
