//! What follows when a node is gone.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What follows from a node's absence.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NodeHealing {
    pub(crate) given_up_at: Option<DateTime<Utc>>,
    pub(crate) gone_before: i64,
    pub(crate) routed: bool,
    pub(crate) reached: bool,
    pub(crate) lease_renewed_at: Option<DateTime<Utc>>,
    pub(crate) waiting: Vec<WaitingInstance>,
    pub(crate) others: usize,
}

impl Default for NodeHealing {
    fn default() -> Self {
        Self {
            given_up_at: None,
            gone_before: 0,
            routed: true,
            reached: false,
            lease_renewed_at: None,
            waiting: Vec::new(),
            others: 0,
        }
    }
}

/// An instance of a node that is gone.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct WaitingInstance {
    pub(crate) app: String,
    pub(crate) instance: String,
    pub(crate) deployment: Option<i32>,
    pub(crate) problem: Option<String>,
}

/// The node that an app waits for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct WaitsFor {
    pub(crate) node: String,
    pub(crate) why: String,
}

/// What a worker put right.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Correction {
    pub(crate) at: DateTime<Utc>,
    #[serde(default)]
    pub(crate) app: Option<String>,
    #[serde(default)]
    pub(crate) instance: Option<String>,
    #[serde(default)]
    pub(crate) container: Option<String>,
    #[serde(default)]
    pub(crate) done: String,
    #[serde(default)]
    pub(crate) reason: String,
}

/// A container that nobody knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stray {
    pub(crate) container: String,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) app: Option<String>,
    #[serde(default)]
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) reason: String,
    pub(crate) found_at: DateTime<Utc>,
    pub(crate) remove_at: DateTime<Utc>,
}
