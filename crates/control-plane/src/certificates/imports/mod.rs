//! Certificates that people bring: sealed like the ordered ones, served in their place for the host names of the
//! organization that brought them, and for no others.

pub mod api;
pub mod cover;
pub mod read;
pub mod store;
#[cfg(test)]
mod tests;
mod trust;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

/// A certificate that somebody brought.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ImportedCertificate {
    pub id: Uuid,
    /// What it is for. The first one names it.
    pub names: Vec<String>,
    /// The organization's host names that it is served for now.
    pub hosts: Vec<String>,
    pub issuer: String,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    /// SHA-256 of the certificate, as browsers show it.
    pub fingerprint: String,
    /// What is to know about it.
    pub notes: Vec<String>,
    pub imported_by: String,
    pub imported_at: DateTime<Utc>,
}
