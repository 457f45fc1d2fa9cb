//! Where DNS records of ACME challenges can be set: providers, of the platform or of one organization. The control plane
//! sets and removes the records itself; what is needed for that leaves it for the provider alone.

pub mod api;
pub mod authority;
pub mod challenge;
pub mod cloudflare;
pub mod delegation;
#[cfg(all(test, feature = "dns-tests"))]
mod named_tests;
pub mod rfc2136;
pub mod store;
#[cfg(test)]
mod tests;
pub mod wire;

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use protocol::ids::DnsProviderId;
use serde::{Deserialize, Serialize};

use crate::config::is_domain;
use crate::http::{Error, Result};
use cloudflare::Cloudflare;
use rfc2136::Rfc2136;

/// Providers of one organization, and of the platform.
const COUNT_LIMIT: i64 = 50;
/// Seconds for which others may keep a challenge's record.
pub const TTL: u32 = 60;

/// A stored provider, without its secret.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct DnsProvider {
    pub id: DnsProviderId,
    /// It can set this name and all below it.
    pub zone: String,
    pub kind: Kind,
    /// For all apps of the platform, rather than the own domains of the organization alone.
    pub platform: bool,
    /// Server and name of the key, for example.
    pub summary: String,
    /// Who stored it last.
    pub updated_by: String,
    pub updated_at: DateTime<Utc>,
    /// Records that are set, or have yet to be removed.
    pub records: i64,
    /// Why a record could not be removed yet.
    pub problem: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[sqlx(type_name = "text", rename_all = "kebab-case")]
#[schema(as = DnsProviderKind)]
pub enum Kind {
    /// A name server that takes signed updates: BIND, Knot, `PowerDNS`, Windows.
    Rfc2136,
    Cloudflare,
}

/// How a provider is reached, with its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[schema(as = DnsProviderSettings)]
pub enum Settings {
    Rfc2136(Rfc2136),
    Cloudflare(Cloudflare),
}

/// A provider that can be used.
#[derive(Debug, Clone)]
pub struct Open {
    pub id: DnsProviderId,
    pub zone: String,
    /// Its servers may be anywhere, also in private networks.
    pub platform: bool,
    pub settings: Settings,
}

/// A TXT record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub name: String,
    pub value: String,
}

impl Open {
    /// Sets the record beside others of its name. Once more is once.
    pub async fn set(&self, record: &Record) -> anyhow::Result<()> {
        match &self.settings {
            Settings::Rfc2136(server) => server.change(record, rfc2136::Change::Add, self.platform).await,
            Settings::Cloudflare(account) => account.set(record).await,
        }
    }

    /// Removes the record. One that is not there is removed.
    pub async fn remove(&self, record: &Record) -> anyhow::Result<()> {
        match &self.settings {
            Settings::Rfc2136(server) => server.change(record, rfc2136::Change::Remove, self.platform).await,
            Settings::Cloudflare(account) => account.remove(record).await,
        }
    }

    /// The servers that must answer a record, where these are not the zone's.
    fn check_servers(&self) -> &[SocketAddr] {
        match &self.settings {
            Settings::Rfc2136(server) => &server.check_servers,
            Settings::Cloudflare(_) => &[],
        }
    }
}

impl Settings {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Rfc2136(_) => Kind::Rfc2136,
            Self::Cloudflare(_) => Kind::Cloudflare,
        }
    }

    /// What everybody may see of it.
    pub fn summary(&self) -> String {
        match self {
            Self::Rfc2136(server) => format!("{}, key {}", server.server, server.key_name),
            Self::Cloudflare(_) => "API token".to_owned(),
        }
    }

    fn check(&self) -> Result<()> {
        match self {
            Self::Rfc2136(server) => server.check(),
            Self::Cloudflare(account) => account.check(),
        }
    }
}

/// A zone as it is stored: lower case, no dot at its end.
fn checked_zone(text: &str) -> Result<String> {
    let zone = text.trim().trim_end_matches('.').to_ascii_lowercase();
    let zone = zone.strip_prefix("*.").unwrap_or(&zone);
    if !is_domain(zone) {
        return Err(Error::invalid("zone", "must be a domain name such as example.com"));
    }
    Ok(zone.to_owned())
}
