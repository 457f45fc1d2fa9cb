//! Zones: the DNS suffixes that apps are served under, by the proxies or by one worker.

pub mod api;
pub mod place;
pub mod rules;
pub mod store;
#[cfg(test)]
mod tests;

use protocol::ids::ZoneId;
use serde::{Deserialize, Serialize};

/// Who answers for the names of a zone.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
#[sqlx(type_name = "text", rename_all = "kebab-case")]
#[schema(as = ZoneMode)]
pub enum Mode {
    /// The proxies, with certificates.
    #[default]
    Proxy,
    /// One worker by itself, in plain HTTP.
    Direct,
}

/// A DNS suffix for apps.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Zone {
    pub id: ZoneId,
    /// Apps are at `<slug>.<suffix>`.
    pub suffix: String,
    pub mode: Mode,
    /// Name of the worker that a direct zone's DNS points at.
    pub worker: Option<String>,
    /// At which visitors reach a direct zone.
    pub port: Option<u16>,
    /// Name of the Traefiks' own certificate resolver that orders for its apps' names; null when the control plane has
    /// them ordered.
    pub resolver: Option<String>,
    /// Why nobody may answer, and what to do.
    pub warning: Option<String>,
    /// New apps get it.
    pub is_default: bool,
    /// The first zone, which the control plane's configuration names.
    pub is_configured: bool,
    /// Apps in it, deleted ones that can still come back included.
    pub apps: i64,
    /// What its DNS has to say.
    pub records: Vec<Record>,
}

/// A DNS record to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = ZoneRecord)]
pub struct Record {
    pub name: String,
    /// `A` or `AAAA`.
    pub kind: String,
    pub value: String,
    /// The host that it points at.
    pub node: String,
}

/// Where an app is served; `port` is that of a direct zone.
pub fn url(scheme: &str, host: &str, port: Option<i32>) -> String {
    match port {
        None => format!("{scheme}://{host}"),
        // Something in front of the worker speaks HTTPS for it.
        Some(443) => format!("https://{host}"),
        Some(80) => format!("http://{host}"),
        Some(port) => format!("http://{host}:{port}"),
    }
}
