//! Challenges that are answered elsewhere: where `_acme-challenge.<host>` is an alias of a name in a zone that a provider
//! can change, the record is set there (RFC 8555 section 8.4: the CA follows aliases). So a domain whose DNS nobody may
//! change by himself needs one record, once.
//!
//! Whoever has a domain says where that is. A wildcard of the DNS answers for no name with a record at it or below it
//! (RFC 4592), so a record in the wrong place would take the address from a name that is served.

use std::collections::HashMap;
use std::fmt;

use anyhow::Context as _;
use futures_util::stream::{self, StreamExt as _};
use protocol::ids::{DnsProviderId, OrganizationId};
use sqlx::PgConnection;

use super::store;
use crate::app::App;
use crate::certificates::imports::cover::wildcard_of;
use crate::dns::alias;

/// Hosts that are looked up at a time.
const AT_ONCE: usize = 20;

/// Where the CA looks for the challenge of `host`.
pub fn challenge_name(host: &str) -> String {
    format!("_acme-challenge.{}", host.strip_prefix("*.").unwrap_or(host))
}

/// The name that the challenge of `host` is an alias of; an error when nobody could tell.
pub async fn target(app: &App, host: &str) -> anyhow::Result<Option<String>> {
    let name = challenge_name(host);
    let found = alias::follow(&app.config.dns.addresses(), &name).await;
    found.with_context(|| format!("it cannot be told whether {name} is an alias"))
}

/// What was found out of several hosts.
pub type Targets = HashMap<String, anyhow::Result<Option<String>>>;

/// The same for several hosts.
pub async fn targets(app: &App, hosts: Vec<String>) -> Targets {
    let look = |host: String| async move {
        let found = target(app, &host).await;
        (host, found)
    };
    stream::iter(hosts).map(look).buffer_unordered(AT_ONCE).collect().await
}

/// Where the record of a challenge is set.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    pub provider: DnsProviderId,
    pub name: String,
}

/// Why a challenge cannot be answered in the DNS.
#[derive(Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// No provider covers this name, of which the challenge's may be an alias.
    Uncovered { name: String, alias: bool },
    /// A record at the alias' end could take the address from this name.
    Served { target: String, host: String },
}

impl fmt::Display for NoPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uncovered { name, alias: false } => write!(f, "no DNS provider covers {name}"),
            Self::Uncovered { name, alias: true } => {
                write!(f, "no DNS provider covers {name}, of which the challenge's name is an alias")
            }
            Self::Served { target, host } => write!(
                f,
                "the challenge's name is an alias of {target}, where a record could take {host} off the DNS"
            ),
        }
    }
}

impl NoPlace {
    /// What to do for the challenge of `host`.
    pub fn remedy(&self, host: &str) -> String {
        let name = challenge_name(host);
        match self {
            Self::Uncovered { .. } => format!(
                "Add one with `wh dns-provider add`, or make {name} a CNAME of a name that one covers"
            ),
            Self::Served { .. } => format!(
                "Make {name} a CNAME of a name below a label that no app can have, such as one below `_acme.` and the provider's zone"
            ),
        }
    }
}

/// Where the record for `host` of the organization `owner` goes: to the provider that covers the host, and else to the one
/// that covers `target`, of which the challenge's name is an alias.
pub async fn place(
    conn: &mut PgConnection,
    host: &str,
    owner: Option<OrganizationId>,
    target: Option<&str>,
) -> sqlx::Result<Result<Place, NoPlace>> {
    if let Some(own) = store::covering(conn, host, owner).await? {
        return Ok(Ok(Place { provider: own.id, name: challenge_name(host) }));
    }
    let Some(target) = target else {
        return Ok(Err(NoPlace::Uncovered { name: host.to_owned(), alias: false }));
    };
    let name = target.to_owned();
    let Some(provider) = store::covering(conn, target, owner).await? else {
        return Ok(Err(NoPlace::Uncovered { name, alias: true }));
    };
    let (branch, wildcard) = branch(target, &provider.zone);
    Ok(match store::served_in(conn, branch, wildcard.as_deref()).await? {
        Some(host) => Err(NoPlace::Served { target: name, host }),
        None => Ok(Place { provider: provider.id, name }),
    })
}

/// The part of `zone` that holds `target`: the name directly below the zone, whose being there a record changes at most.
/// And the wildcard that would answer for it; none where it begins with an underscore, as no host name does.
fn branch<'a>(target: &'a str, zone: &str) -> (&'a str, Option<String>) {
    let inner = target.strip_suffix(zone).unwrap_or_default().trim_end_matches('.');
    let branch = inner.rfind('.').map_or(target, |dot| &target[dot + 1..]);
    (branch, wildcard_of(branch).filter(|_| !branch.starts_with('_')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_changes_at_most_what_lies_directly_below_its_zone() {
        for (target, zone, wanted, wildcard) in [
            ("x.acme.example.com", "example.com", "acme.example.com", Some("*.example.com")),
            ("x.acme.example.com", "acme.example.com", "x.acme.example.com", Some("*.acme.example.com")),
            ("a.b.route.example.com", "example.com", "route.example.com", Some("*.example.com")),
            ("x._acme.example.com", "example.com", "_acme.example.com", None),
            ("_acme-challenge.shop.example.com", "example.com", "shop.example.com", Some("*.example.com")),
            ("example.com", "example.com", "example.com", Some("*.com")),
        ] {
            assert_eq!(branch(target, zone), (wanted, wildcard.map(str::to_owned)), "{target} {zone}");
        }
    }
}
