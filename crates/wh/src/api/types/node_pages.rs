//! What hosts tell of themselves: numbers, what lies on them, their agents' logs.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Space {
    pub(crate) used_bytes: u64,
    pub(crate) total_bytes: u64,
}

/// How a host is doing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NodeNow {
    pub(crate) at: DateTime<Utc>,
    pub(crate) cpu_percent: f32,
    pub(crate) load: f32,
    pub(crate) memory: Space,
    pub(crate) swap: Space,
    pub(crate) root: Space,
    pub(crate) containers: Option<Space>,
    pub(crate) received_per_s: Option<u64>,
    pub(crate) sent_per_s: Option<u64>,
    pub(crate) uptime_s: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NodeSeries {
    pub(crate) range: String,
    pub(crate) from: DateTime<Utc>,
    pub(crate) until: DateTime<Utc>,
    #[serde(default)]
    pub(crate) now: Option<NodeNow>,
    pub(crate) points: Vec<NodePoint>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NodePoint {
    pub(crate) at: DateTime<Utc>,
    pub(crate) cpu_percent: f32,
    pub(crate) cpu_most_percent: f32,
    pub(crate) load: f32,
    pub(crate) memory: Space,
    pub(crate) swap: Space,
    pub(crate) root: Space,
    pub(crate) containers: Option<Space>,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
}

/// What runs on a node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NodeInstances {
    pub(crate) items: Vec<NodeInstance>,
    pub(crate) others: u32,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NodeInstance {
    pub(crate) id: String,
    pub(crate) app: String,
    pub(crate) release: u32,
    pub(crate) task: bool,
    pub(crate) in_rotation: bool,
    pub(crate) state: String,
    pub(crate) restarts: u32,
    pub(crate) observed_at: Option<DateTime<Utc>>,
    pub(crate) unknown_since: Option<DateTime<Utc>>,
    pub(crate) stats: Option<InstanceUse>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct InstanceUse {
    pub(crate) cpu_millis: u32,
    pub(crate) memory_bytes: u64,
}

/// What a worker holds besides its instances.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NodeStorage {
    pub(crate) reported_at: Option<DateTime<Utc>>,
    pub(crate) containers: Vec<OtherContainer>,
    pub(crate) container_count: u32,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) volume_count: u32,
    pub(crate) measured_at: Option<DateTime<Utc>>,
    pub(crate) disk: Option<Space>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OtherContainer {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) state: String,
    pub(crate) created_at: Option<DateTime<Utc>>,
    pub(crate) size_bytes: Option<u64>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) size_bytes: u64,
    pub(crate) containers: u32,
}

/// What a clean-up would remove.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CleanupPreview {
    pub(crate) images: Vec<CleanableImage>,
    pub(crate) frees_bytes: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CleanableImage {
    pub(crate) id: String,
    pub(crate) names: Vec<String>,
    pub(crate) made_at: Option<DateTime<Utc>>,
    pub(crate) frees_bytes: u64,
    pub(crate) reason: String,
}

/// One that was asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cleanup {
    pub(crate) id: String,
    pub(crate) started_by: String,
    pub(crate) at: Option<DateTime<Utc>>,
    pub(crate) state: String,
    pub(crate) images: u32,
    pub(crate) removed: Vec<CleanableImage>,
    pub(crate) freed_bytes: u64,
    pub(crate) left: Vec<LeftImage>,
    pub(crate) problem: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LeftImage {
    pub(crate) id: String,
    pub(crate) why: String,
}

/// Lines of an agent's own log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AgentLog {
    pub(crate) lines: Vec<AgentLine>,
    pub(crate) place: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AgentLine {
    pub(crate) seq: u64,
    pub(crate) at: Option<DateTime<Utc>>,
    pub(crate) level: String,
    pub(crate) target: String,
    pub(crate) text: String,
}
