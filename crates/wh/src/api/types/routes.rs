//! Route tables and the tokens that read them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RouteTable {
    pub(crate) generation: i64,
    pub(crate) changed_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) consumers: Vec<RouteConsumer>,
    #[serde(default)]
    pub(crate) total: usize,
    #[serde(default)]
    pub(crate) routes: Vec<RouteView>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RouteConsumer {
    pub(crate) node: String,
    #[serde(default)]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) connected: bool,
    #[serde(default)]
    pub(crate) applied_generation: i64,
    pub(crate) applied_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RouteView {
    pub(crate) app: String,
    #[serde(default)]
    pub(crate) hosts: Vec<String>,
    #[serde(default)]
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) upstreams: Vec<String>,
    #[serde(default)]
    pub(crate) https_only: bool,
    pub(crate) unavailable: Option<String>,
    #[serde(default)]
    pub(crate) options: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RouteToken {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) worker: Option<String>,
    #[serde(default)]
    pub(crate) created_by: String,
    pub(crate) last_used_at: Option<DateTime<Utc>>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

/// Shown once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NewRouteToken {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) token: String,
    #[serde(default)]
    pub(crate) endpoint: String,
    pub(crate) expires_at: Option<DateTime<Utc>>,
}
