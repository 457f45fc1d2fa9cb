//! Challenges that are answered elsewhere: where `_acme-challenge.<host>` is an alias of a name in a zone that a provider
//! can change, the record is set there (RFC 8555 section 8.4: the CA follows aliases). So a domain whose DNS nobody may
//! change by himself needs one record, once.

use std::collections::HashMap;

use futures_util::future::join_all;

use crate::app::App;
use crate::dns::alias;

/// Hosts that are looked up at a time.
const AT_ONCE: usize = 20;

/// Where the CA looks for the challenge of `host`.
pub fn challenge_name(host: &str) -> String {
    format!("_acme-challenge.{}", host.strip_prefix("*.").unwrap_or(host))
}

/// The name that the challenge of `host` is an alias of.
pub async fn target(app: &App, host: &str) -> Option<String> {
    alias::follow(&app.config.dns.addresses(), &challenge_name(host)).await
}

/// The same for several hosts, of which those without an alias are left out.
pub async fn targets(app: &App, hosts: impl IntoIterator<Item = String>) -> HashMap<String, String> {
    let look = async |host: String| target(app, &host).await.map(|target| (host, target));
    let found = join_all(hosts.into_iter().take(AT_ONCE).map(look)).await;
    found.into_iter().flatten().collect()
}
