//! What came in for an app.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// An app's requests in numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Traffic {
    pub(crate) range: String,
    pub(crate) step_s: u64,
    pub(crate) from: DateTime<Utc>,
    pub(crate) until: DateTime<Utc>,
    pub(crate) points: Vec<TrafficPoint>,
    pub(crate) total: TrafficNumbers,
    #[serde(default)]
    pub(crate) paths: Vec<TrafficPath>,
    #[serde(default)]
    pub(crate) sources: Vec<TrafficSource>,
}

/// The numbers of one step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TrafficPoint {
    pub(crate) at: DateTime<Utc>,
    #[serde(flatten)]
    pub(crate) numbers: TrafficNumbers,
}

/// The numbers of a span of time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TrafficNumbers {
    /// By class of the status: `2xx`.
    pub(crate) requests: BTreeMap<String, u64>,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    /// To the app's streams.
    #[serde(default)]
    pub(crate) connections: u64,
    #[serde(default)]
    pub(crate) upstream_errors: u64,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p95_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
}

impl TrafficNumbers {
    pub(crate) fn all(&self) -> u64 {
        self.requests.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Those of one class.
    pub(crate) fn of(&self, class: &str) -> u64 {
        self.requests.get(class).copied().unwrap_or(0)
    }
}

/// The requests for one path.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TrafficPath {
    pub(crate) path: String,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) mean_ms: f64,
}

/// Who reports.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TrafficSource {
    pub(crate) node: String,
    pub(crate) agent: String,
    pub(crate) reported_at: DateTime<Utc>,
}

/// One request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Accessed {
    pub(crate) id: String,
    pub(crate) at: DateTime<Utc>,
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) took_ms: f64,
    #[serde(default)]
    pub(crate) received_bytes: u64,
    #[serde(default)]
    pub(crate) sent_bytes: u64,
    pub(crate) client: Option<String>,
    #[serde(default)]
    pub(crate) protocol: String,
    #[serde(default)]
    pub(crate) tls: bool,
    pub(crate) user_agent: Option<String>,
    pub(crate) referer: Option<String>,
    pub(crate) upstream: Option<String>,
    #[serde(default)]
    pub(crate) node: String,
}

/// Some requests, the newest first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AccessedPage {
    pub(crate) items: Vec<Accessed>,
    pub(crate) next: Option<String>,
    /// 0 where none are kept.
    #[serde(default)]
    pub(crate) kept_days: u32,
    /// Of the oldest one of the app.
    #[serde(default)]
    pub(crate) kept_since: Option<DateTime<Utc>>,
}
