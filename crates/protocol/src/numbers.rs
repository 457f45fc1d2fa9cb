//! How a host is doing: processor, memory, disks, network.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Seconds between two of a host.
pub const NUMBERS_EVERY_S: u64 = 20;

/// A host in numbers, from its mesh agent. May be dropped, the newest wins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeNumbers {
    /// The host's clock.
    pub at: DateTime<Utc>,
    /// Of all processors together since the numbers before; 0 to 100.
    pub cpu_percent: f32,
    /// Over 1, 5 and 15 minutes.
    pub load: [f32; 3],
    pub memory: Space,
    pub swap: Space,
    /// The disk of `/`.
    pub root: Space,
    /// The disk of containers and images, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<Space>,
    /// Bytes that came in and went out by the host's own interfaces since it was started.
    pub received_bytes: u64,
    pub sent_bytes: u64,
    /// Seconds since it was started.
    pub uptime_s: u64,
}

/// How much there is of something, and how much of that is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct Space {
    pub used_bytes: u64,
    pub total_bytes: u64,
}
