use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::CertificateBrief;

/// A host name of an app beside its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Domain {
    pub(crate) hostname: String,
    #[serde(default)]
    pub(crate) unicode: Option<String>,
    #[serde(default)]
    pub(crate) app: String,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) verified_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) checked_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) error: Option<String>,
    #[serde(default)]
    pub(crate) next_check_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) missing_since: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) lapses_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) records: Records,
    #[serde(default)]
    pub(crate) certificate: CertificateBrief,
    #[serde(default)]
    pub(crate) paths: Vec<DomainPath>,
}

/// What is to be in the DNS.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Records {
    pub(crate) proof: Record,
    #[serde(default)]
    pub(crate) address: Vec<Record>,
    #[serde(default)]
    pub(crate) note: Option<String>,
    #[serde(default)]
    pub(crate) zone_file: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) value: String,
}

/// A path that leads to another app.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DomainPath {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) app: String,
    #[serde(default)]
    pub(crate) strip_prefix: bool,
}
