use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Where DNS records can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DnsProvider {
    pub(crate) id: String,
    pub(crate) zone: String,
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) platform: bool,
    #[serde(default)]
    pub(crate) summary: String,
    #[serde(default)]
    pub(crate) updated_by: String,
    pub(crate) updated_at: DateTime<Utc>,
    /// Why a record cannot be removed.
    pub(crate) problem: Option<String>,
}

/// A test that went well.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DnsProviderTest {
    pub(crate) record: String,
    pub(crate) servers: Vec<String>,
    pub(crate) took_ms: u64,
}
