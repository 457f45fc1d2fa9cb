//! The queue of builds.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Named;

/// A build that waits or runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct QueuedBuild {
    pub(crate) id: String,
    pub(crate) app: Named,
    pub(crate) deployment: QueuedDeployment,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) position: Option<i64>,
    #[serde(default)]
    pub(crate) reason: Option<String>,
    #[serde(default)]
    pub(crate) since: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) node: Option<String>,
    #[serde(default)]
    pub(crate) cancelling: bool,
    #[serde(default)]
    pub(crate) created_by: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct QueuedDeployment {
    pub(crate) id: String,
    pub(crate) number: i64,
    #[serde(default)]
    pub(crate) kind: String,
}
