//! What differs between releases, or waits to be deployed.

use serde::{Deserialize, Serialize};

/// One thing that differs. Variables are named; their values are never told.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Change {
    pub(crate) field: String,
    pub(crate) label: String,
    pub(crate) kind: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) impact: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pending {
    #[serde(default)]
    pub(crate) release: Option<i64>,
    /// Number of a deployment that is under way.
    #[serde(default)]
    pub(crate) deployment: Option<i64>,
    #[serde(default)]
    pub(crate) applicable: bool,
    pub(crate) changes: Vec<Change>,
    #[serde(default)]
    pub(crate) impact: String,
    /// Absent when nothing can be applied, and from older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) preview: Option<Preview>,
}

/// What a roll-out would do now.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Preview {
    pub(crate) downtime: bool,
    pub(crate) because: String,
    pub(crate) steps: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Comparison {
    pub(crate) before: i64,
    pub(crate) after: i64,
    pub(crate) changes: Vec<Change>,
    #[serde(default)]
    pub(crate) impact: String,
}
