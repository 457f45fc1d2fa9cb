//! How hosts are doing: what they told last, in memory, and what they told in each minute, in the tables.

pub mod api;
pub mod config;
pub mod live;
pub mod series;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use protocol::numbers::Space;
use serde::{Deserialize, Serialize};

use super::Node;
use crate::app::App;

/// How a host is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NodeNow {
    /// When it told.
    pub at: DateTime<Utc>,
    /// Of all its processors together, 0 to 100.
    pub cpu_percent: f32,
    /// Over a minute.
    pub load: f32,
    pub memory: Space,
    pub swap: Space,
    /// The disk of `/`.
    pub root: Space,
    /// The disk of containers and images; null where that is the same one.
    pub containers: Option<Space>,
    /// Bytes a second by the host's own interfaces. Null until it has told twice.
    pub received_per_s: Option<u64>,
    pub sent_per_s: Option<u64>,
    /// Seconds since it was started. Null when only its last minute is known.
    pub uptime_s: Option<u64>,
}

/// Puts what is newer than the tables in: that of nodes which are connected to this replica.
pub fn fill(app: &App, nodes: &mut [Node]) {
    for node in nodes {
        if let Some(now) = app.numbers.of(node.id) {
            node.numbers = Some(now);
        }
    }
}
