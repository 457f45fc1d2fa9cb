//! What workers have to give, and what they take.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A worker's room for instances.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NodePlacement {
    pub(crate) name: String,
    pub(crate) takes_apps: bool,
    pub(crate) takes_builds: bool,
    pub(crate) max_instances: Option<u32>,
    pub(crate) cordoned_at: Option<DateTime<Utc>>,
    pub(crate) capacity: Option<Amount>,
    pub(crate) reserved: Amount,
    pub(crate) instances: u32,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Amount {
    /// Thousandths of a core.
    pub(crate) cpu_millis: u64,
    pub(crate) memory_mb: u64,
}

/// An instance that goes, or would go, to another node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PlannedMove {
    pub(crate) instance: String,
    /// None for one of another organization.
    pub(crate) app: Option<String>,
    pub(crate) from: String,
    pub(crate) to: Option<String>,
    pub(crate) reason: String,
}

/// One that is carried out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Move {
    pub(crate) id: String,
    pub(crate) instance: String,
    pub(crate) app: String,
    pub(crate) from: String,
    pub(crate) to: Option<String>,
    pub(crate) cause: String,
    pub(crate) state: String,
    pub(crate) problem: Option<String>,
}

/// A node that is to be empty.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Drain {
    pub(crate) finished_at: Option<DateTime<Utc>>,
    pub(crate) instances: u32,
    pub(crate) left: Vec<DrainLeft>,
    /// Of other organizations.
    pub(crate) others: u32,
}

/// What still runs on it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DrainLeft {
    pub(crate) instance: String,
    pub(crate) app: String,
    pub(crate) stage: String,
    pub(crate) deployment: Option<u32>,
    pub(crate) problem: Option<String>,
    pub(crate) next_try_at: Option<DateTime<Utc>>,
}
