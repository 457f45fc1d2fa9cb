//! Which route answers a host and path: one hash lookup for the host and one for the wildcard above it, then the longest
//! path prefix. A table succeeds another and shares with it what did not change: a route that stays as it was keeps its
//! very entry, and what is known about upstreams (open connections, load) outlives every change.

mod change;
mod parts;
mod uses;

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use protocol::spec::options::UpstreamProtocol;
use protocol::spec::{HttpChallenge, ProxySpec, Route, Unavailable};

use crate::Problem;
use crate::balance::Balancer;
use crate::gateway::Delivery;
use crate::observe::RouteMetrics;
use crate::options::{Rules, Shared};
use crate::upstream::Endpoint;
use change::Placed;
use parts::Parts;
use uses::Uses;

/// All routes and challenges of one spec.
#[derive(Debug, Default)]
pub struct RouteTable {
    /// In the order of the spec, without those that have no entry.
    placed: Vec<Placed>,
    hosts: Parts<Box<str>, HostRoutes>,
    /// By what follows `*.`.
    wildcards: Parts<Box<str>, HostRoutes>,
    challenges: HashMap<Box<str>, Answers>,
    endpoints: Uses<(SocketAddr, UpstreamProtocol), Arc<Endpoint>>,
    /// By app.
    metrics: Uses<Arc<str>, Arc<RouteMetrics>>,
    shared: Arc<Shared>,
}

/// Token and key authorization of the challenges of one host.
type Answers = Vec<(Box<str>, Box<str>)>;

/// The routes of a host name, longest prefix first. Most have one.
#[derive(Debug, Clone)]
enum HostRoutes {
    One(Arc<RouteEntry>),
    More(Arc<[Arc<RouteEntry>]>),
}

/// A route as the gateway uses it.
#[derive(Debug)]
pub struct RouteEntry {
    pub id: Box<str>,
    /// The path, without a slash at its end.
    prefix: Box<str>,
    pub https_only: bool,
    /// What is done beyond sending requests on; `None` when nothing is.
    pub(crate) rules: Option<Box<Rules>>,
    pub upstreams: Balancer,
    pub(crate) delivery: Delivery,
    /// Why there are no upstreams.
    pub unavailable: Option<Unavailable>,
    pub metrics: Arc<RouteMetrics>,
}

impl RouteTable {
    /// An empty one; for `anywhere` see [`crate::Options::asks_anywhere`].
    pub(crate) fn asking(anywhere: bool) -> Self {
        Self { shared: Arc::new(Shared::asking(anywhere)), ..Self::default() }
    }

    /// The table of `spec`, and what of it cannot be served.
    pub fn build(spec: &ProxySpec) -> (Self, Vec<Problem>) {
        Self::default().succeed(spec)
    }

    /// The table of `spec` that takes over from this one what `spec` leaves as it is.
    pub fn succeed(&self, spec: &ProxySpec) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut table = self.with_routes(&spec.routes, &mut problems);
        table.take_challenges(&spec.challenges, &mut problems);
        (table, problems)
    }

    fn take_challenges(&mut self, challenges: &[HttpChallenge], problems: &mut Vec<Problem>) {
        for challenge in challenges {
            match host_key(&challenge.host) {
                Some(host) if is_token(&challenge.token) => {
                    let answers = self.challenges.entry(host.into()).or_default();
                    answers
                        .push((challenge.token.as_str().into(), challenge.key_authorization.as_str().into()));
                }
                _ => problems.push(Problem::new(
                    format!("challenge of `{}`", challenge.host),
                    "has a host or token that no request can name",
                )),
            }
        }
    }

    /// The route for a host as [`host_key`] gives it, and a path: the host's own, or one of the wildcard that covers
    /// it.
    pub fn find(&self, host: &str, path: &str) -> Option<&Arc<RouteEntry>> {
        let own = self.hosts.get(host).and_then(|routes| longest(routes.all(), path));
        own.or_else(|| {
            let (_, parent) = host.split_once('.')?;
            longest(self.wildcards.get(parent)?.all(), path)
        })
    }

    /// `spec` without the routes and hosts that this table left out.
    pub fn servable(&self, spec: &ProxySpec) -> ProxySpec {
        let mut spec = spec.clone();
        for route in &mut spec.routes {
            let Route { id, path, hosts, .. } = &**route;
            let serves = |host: &String| self.named(host, path).is_some_and(|entry| *entry.id == **id);
            if !hosts.iter().all(serves) {
                let hosts = hosts.iter().filter(|host| serves(host)).cloned().collect();
                *route = Arc::new(Route { hosts, ..Route::clone(route) });
            }
        }
        spec.routes.retain(|route| !route.hosts.is_empty());
        spec
    }

    /// The route of a host, or wildcard, as a spec names it.
    fn named(&self, host: &str, path: &str) -> Option<&Arc<RouteEntry>> {
        longest(self.routes_of(host), path)
    }

    fn routes_of(&self, host: &str) -> &[Arc<RouteEntry>] {
        let routes = match host.strip_prefix("*.") {
            Some(parent) => self.wildcards.get(parent),
            None => self.hosts.get(host),
        };
        routes.map_or(&[], HostRoutes::all)
    }

    /// The answer to the ACME challenge `token` of `host`.
    pub fn challenge(&self, host: &str, token: &str) -> Option<&str> {
        let answers = self.challenges.get(host)?;
        answers.iter().find(|(known, _)| known.as_ref() == token).map(|(_, answer)| answer.as_ref())
    }

    /// How many hosts have a route; a wildcard counts as one.
    pub fn hosts(&self) -> usize {
        self.hosts.len() + self.wildcards.len()
    }

    /// The numbers of all apps.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = &Arc<RouteMetrics>> {
        self.metrics.values()
    }

    /// All upstreams, for upkeep.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.values()
    }
}

impl HostRoutes {
    fn all(&self) -> &[Arc<RouteEntry>] {
        match self {
            Self::One(route) => std::slice::from_ref(route),
            Self::More(routes) => routes,
        }
    }
}

fn longest<'a>(routes: &'a [Arc<RouteEntry>], path: &str) -> Option<&'a Arc<RouteEntry>> {
    routes.iter().find(|route| covers(&route.prefix, path))
}

/// `/api` covers `/api` and `/api/x`, not `/apix`. `prefix` has no trailing slash.
fn covers(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// The name under which a `Host` or `:authority` is looked up: without port and trailing dot, in lower case. `None`
/// when it is no host at all. Allocates only for upper case.
pub fn host_key(authority: &str) -> Option<Cow<'_, str>> {
    let (name, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (&authority[..address.len() + 2], port)
        }
        None => authority.find(':').map_or((authority, ""), |colon| authority.split_at(colon)),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let port_is_valid = digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !port_is_valid || (port.len() == digits.len() && !port.is_empty()) {
        return None;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let bracketed = name.starts_with('[');
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if name.is_empty()
        || name.len() > 253
        || name.starts_with('.')
        || !(bracketed || name.bytes().all(is_name_byte))
    {
        return None;
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Some(Cow::Owned(name.to_ascii_lowercase()))
    } else {
        Some(Cow::Borrowed(name))
    }
}

#[cfg(test)]
mod tests;
