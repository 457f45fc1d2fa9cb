//! Host names of the world outside that lead to apps. Whoever has one shows it by a TXT record; several may claim a name,
//! and the DNS alone decides whose it is. A name is served from the moment its record is seen until it has been missing
//! for a week: a mistake of an hour must not take a shop down, and a name that was sold must not stay.

pub mod api;
pub mod check;
pub mod judge;
pub mod name;
pub mod paths;
pub mod records;
pub mod store;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use protocol::ids::DomainId;
use serde::{Deserialize, Serialize};

use crate::apps::Certificate;
use paths::DomainPath;
use records::Records;

/// Domains of one app.
pub const COUNT_LIMIT: i64 = 100;

/// How far it is known whose a domain is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
#[sqlx(type_name = "text", rename_all = "kebab-case")]
#[schema(as = DomainState)]
pub enum State {
    /// Its record has not been seen yet; it is not served.
    Pending,
    /// It is served.
    Verified,
    /// Its record was missing for too long, or another organization has shown that the name is theirs; it is not served.
    Lapsed,
}

/// A host name of an app beside its own name in the zone.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Domain {
    pub id: DomainId,
    /// ASCII, lower case; `*.` before a name stands for one label.
    pub hostname: String,
    /// As people write it, where that differs.
    pub unicode: Option<String>,
    /// Slug of its app.
    pub app: String,
    pub state: State,
    pub verified_at: Option<DateTime<Utc>>,
    /// When the DNS was last asked.
    pub checked_at: Option<DateTime<Utc>>,
    /// What was wrong then, in words.
    pub error: Option<String>,
    /// When it is asked next by itself.
    pub next_check_at: DateTime<Utc>,
    /// Since when the record of a verified domain has been missing.
    pub missing_since: Option<DateTime<Utc>>,
    /// When it is not served any more unless the record is back.
    pub lapses_at: Option<DateTime<Utc>>,
    /// When a pending domain is forgotten.
    pub expires_at: Option<DateTime<Utc>>,
    /// What is to be in the DNS.
    pub records: Records,
    pub certificate: Certificate,
    /// Paths that lead to other apps.
    pub paths: Vec<DomainPath>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
}
