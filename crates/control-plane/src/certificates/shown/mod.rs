//! Certificates as people are shown them: what there is for each host name, in plain words, and what comes next.

pub mod api;
mod cloudflare;
pub mod reissue;
mod remedy;
mod state;
pub mod store;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use remedy::remedy;
pub use state::{EXPIRING_DAYS, days_left};

/// Where a certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = CertificateSource)]
pub enum Source {
    /// Ordered by the proxies, and renewed by them.
    Acme,
    /// Brought by a person.
    Imported,
    /// Ordered and kept by a resolver of the Traefiks that serve the name. Nothing more is known of it here.
    Resolver,
}

/// How a host name is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = CertificateStanding)]
pub enum Standing {
    Issued,
    /// It ends within 14 days.
    Expiring,
    Expired,
    /// There is none yet, and an order is on its way.
    Ordering,
    /// There is none yet, and none is on its way.
    Waiting,
    /// There is none, because orders fail.
    Failed,
    /// There is none, because no CA is configured.
    None,
    /// Not for us to know: it is a Traefik's.
    Elsewhere,
}

/// The certificate of one host name.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Certificate)]
pub struct CertificateView {
    pub host: String,
    /// The app that has the name; null for the dashboard's own.
    pub app: Option<String>,
    pub source: Source,
    pub standing: Standing,
    /// The same in a sentence.
    pub summary: String,
    /// What it is for; empty while there is none.
    pub names: Vec<String>,
    pub issuer: Option<String>,
    pub not_before: Option<DateTime<Utc>>,
    pub not_after: Option<DateTime<Utc>>,
    /// Whole days until its end; below zero after it.
    pub days_left: Option<i64>,
    /// Issued by a CA for tests: browsers do not trust it.
    pub staging: bool,
    /// How the CA was shown that the name is ours: `http-01`, `tls-alpn-01` or `dns-01`.
    pub challenge: Option<String>,
    pub next: Option<Next>,
    /// Orders that failed since the last that succeeded.
    pub failures: i32,
    /// Of the last of these.
    pub problem: Option<Trouble>,
    /// The imported one that is served.
    pub import_id: Option<Uuid>,
}

/// What happens next by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = CertificateNext)]
pub struct Next {
    /// Absent when it is under way, or waits for something that has no time.
    pub at: Option<DateTime<Utc>>,
    /// What, and why then.
    pub what: String,
}

/// Why an order failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = CertificateTrouble)]
pub struct Trouble {
    pub at: DateTime<Utc>,
    /// A stable word, such as `acme_dns`.
    pub code: Option<String>,
    /// What happened, with the CA's own words.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// One order.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = CertificateAttempt)]
pub struct Attempt {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    /// `first`, `renewal` or `reissue`.
    pub kind: String,
    pub challenge: String,
    pub names: Vec<String>,
    /// URL of the CA's ACME directory.
    pub directory: String,
    pub staging: bool,
    /// `running`, `issued`, `failed` or `cancelled`.
    pub outcome: String,
    pub trouble: Option<Trouble>,
    /// What the order said while it ran, oldest first.
    pub log: Vec<String>,
    /// The proxy that carried it out.
    pub proxy: Option<String>,
}

/// A proxy and whether it serves what is stored.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = CertificateServer)]
pub struct Server {
    pub node: String,
    pub connected: bool,
    /// The newest table that it said is in force.
    pub generation: i64,
    /// Whether that is the newest one there is, which holds this certificate.
    pub current: bool,
}

/// One certificate, with what was tried for it and who serves it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct CertificateDetail {
    #[serde(flatten)]
    pub certificate: CertificateView,
    /// The last orders, newest first.
    pub attempts: Vec<Attempt>,
    pub proxies: Vec<Server>,
    /// When a person may ask for a new one; absent when that is now.
    pub reissue_at: Option<DateTime<Utc>>,
}
