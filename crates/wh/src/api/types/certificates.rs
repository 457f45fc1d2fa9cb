use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The certificate of one host name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub(crate) host: String,
    pub(crate) app: Option<String>,
    #[serde(default)]
    pub(crate) source: String,
    pub(crate) standing: String,
    pub(crate) summary: String,
    #[serde(default)]
    pub(crate) names: Vec<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) not_before: Option<DateTime<Utc>>,
    pub(crate) not_after: Option<DateTime<Utc>>,
    pub(crate) days_left: Option<i64>,
    #[serde(default)]
    pub(crate) staging: bool,
    pub(crate) challenge: Option<String>,
    pub(crate) next: Option<Next>,
    #[serde(default)]
    pub(crate) failures: i32,
    pub(crate) problem: Option<Trouble>,
}

/// What happens next by itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Next {
    pub(crate) at: Option<DateTime<Utc>>,
    pub(crate) what: String,
}

/// Why an order failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Trouble {
    pub(crate) at: DateTime<Utc>,
    pub(crate) code: Option<String>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// One certificate, with what was tried for it and who serves it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CertificateDetail {
    #[serde(flatten)]
    pub(crate) certificate: Certificate,
    #[serde(default)]
    pub(crate) attempts: Vec<Attempt>,
    #[serde(default)]
    pub(crate) proxies: Vec<Server>,
    pub(crate) reissue_at: Option<DateTime<Utc>>,
}

/// One order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) at: DateTime<Utc>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) challenge: String,
    pub(crate) outcome: String,
    pub(crate) trouble: Option<Trouble>,
    #[serde(default)]
    pub(crate) log: Vec<String>,
    pub(crate) proxy: Option<String>,
}

/// A proxy and whether it serves what is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) node: String,
    #[serde(default)]
    pub(crate) connected: bool,
    #[serde(default)]
    pub(crate) generation: i64,
    #[serde(default)]
    pub(crate) current: bool,
}

/// A certificate that somebody brought.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ImportedCertificate {
    pub(crate) id: String,
    pub(crate) names: Vec<String>,
    #[serde(default)]
    pub(crate) hosts: Vec<String>,
    pub(crate) issuer: String,
    pub(crate) not_after: DateTime<Utc>,
    #[serde(default)]
    pub(crate) fingerprint: String,
    #[serde(default)]
    pub(crate) notes: Vec<String>,
    #[serde(default)]
    pub(crate) imported_by: String,
}
