//! Tokens by which a Traefik that is not ours reads its route table: one for each, so that one can be replaced or
//! taken away without the others noticing. The configuration's `proxy.token` reads every table and is there to begin
//! with.

pub mod api;
pub mod store;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use protocol::ids::RouteTokenId;
use serde::Serialize;

/// A token, without its secret.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RouteToken {
    pub id: RouteTokenId,
    /// Who has it.
    pub name: String,
    /// Name of the worker whose zones it reads; the table of the proxies when null.
    pub worker: Option<String>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    /// To the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
}
