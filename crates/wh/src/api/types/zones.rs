//! DNS suffixes of apps.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Zone {
    pub(crate) suffix: String,
    #[serde(default)]
    pub(crate) mode: String,
    pub(crate) worker: Option<String>,
    pub(crate) port: Option<u16>,
    #[serde(default)]
    pub(crate) resolver: Option<String>,
    #[serde(default)]
    pub(crate) warning: Option<String>,
    #[serde(default)]
    pub(crate) is_default: bool,
    #[serde(default)]
    pub(crate) apps: i64,
    #[serde(default)]
    pub(crate) records: Vec<ZoneRecord>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ZoneRecord {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) value: String,
    #[serde(default)]
    pub(crate) node: String,
}
