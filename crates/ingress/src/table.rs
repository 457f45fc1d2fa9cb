//! Which route answers a host and path: one hash lookup for the host and one for the wildcard above it, then the longest
//! path prefix. Built whole from a spec and swapped; what an earlier table knows about upstreams (open connections,
//! load) is carried over.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use protocol::spec::options::UpstreamProtocol;
use protocol::spec::{ProxySpec, Route, Unavailable, Upstream};

use crate::Problem;
use crate::balance::Balancer;
use crate::gateway::Delivery;
use crate::observe::RouteMetrics;
use crate::options::{Rules, Shared};
use crate::upstream::Endpoint;

/// All routes and challenges of one spec.
#[derive(Debug, Default)]
pub struct RouteTable {
    hosts: HashMap<Box<str>, HostRoutes>,
    /// By what follows `*.`.
    wildcards: HashMap<Box<str>, HostRoutes>,
    challenges: HashMap<Box<str>, Answers>,
    endpoints: HashMap<(SocketAddr, UpstreamProtocol), Arc<Endpoint>>,
    metrics: HashMap<Box<str>, Arc<RouteMetrics>>,
    shared: Arc<Shared>,
}

/// Token and key authorization of the challenges of one host.
type Answers = Vec<(Box<str>, Box<str>)>;

/// Prefix and route, longest prefix first.
type HostRoutes = Vec<(Box<str>, Arc<RouteEntry>)>;

/// A route as the gateway uses it.
#[derive(Debug)]
pub struct RouteEntry {
    pub id: Box<str>,
    pub app: Box<str>,
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
    /// The table of `spec`, and what of it cannot be served.
    pub fn build(spec: &ProxySpec) -> (Self, Vec<Problem>) {
        Self::default().succeed(spec)
    }

    /// The table of `spec` that takes over the upstream connections of this one.
    pub fn succeed(&self, spec: &ProxySpec) -> (Self, Vec<Problem>) {
        let mut table = Self {
            hosts: HashMap::with_capacity(spec.routes.len()),
            shared: Arc::clone(&self.shared),
            ..Self::default()
        };
        let mut problems = Vec::new();
        for route in &spec.routes {
            table.add_route(self, route, &mut problems);
        }
        for routes in table.hosts.values_mut().chain(table.wildcards.values_mut()) {
            routes.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        }
        for challenge in &spec.challenges {
            match host_key(&challenge.host) {
                Some(host) if is_token(&challenge.token) => {
                    let answers = table.challenges.entry(host.into()).or_default();
                    answers
                        .push((challenge.token.as_str().into(), challenge.key_authorization.as_str().into()));
                }
                _ => problems.push(Problem::new(
                    format!("challenge of `{}`", challenge.host),
                    "has a host or token that no request can name",
                )),
            }
        }
        (table, problems)
    }

    fn add_route(&mut self, before: &Self, route: &Route, problems: &mut Vec<Problem>) {
        let mut report = |problem: String| {
            problems.push(Problem::new(format!("route `{}`", route.id), problem));
        };
        if !route.path.starts_with('/') {
            return report(format!("has path `{}`, which does not start with /", route.path));
        }
        if route.hosts.is_empty() {
            return report("has no host".to_owned());
        }
        let protocol = route.options.upstream_protocol;
        let members = route
            .upstreams
            .iter()
            .map(|upstream| (self.endpoint(before, upstream, protocol), upstream.weight));
        let entry = Arc::new(RouteEntry {
            upstreams: Balancer::new(members.collect()).with(&route.options, &mut report),
            delivery: Delivery::new(&route.options, &mut report),
            id: route.id.as_str().into(),
            app: route.app.as_str().into(),
            https_only: route.https_only && route.options.https_redirect != Some(false),
            rules: Rules::new(route, &self.shared, &mut report),
            unavailable: route.unavailable,
            metrics: self.metrics_of(before, &route.app),
        });
        let path = route.path.trim_end_matches('/');
        for name in &route.hosts {
            let (hosts, known) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.wildcards, parent),
                None => (&mut self.hosts, name.as_str()),
            };
            if host_key(known).is_none_or(|host| host != known) {
                report(format!("has host `{name}`, which is not a lower-case host name"));
                continue;
            }
            let routes = hosts.entry(known.into()).or_default();
            match routes.iter().find(|(other, _)| other.as_ref() == path) {
                Some((_, other)) if other.id.as_ref() == route.id => {}
                Some((_, other)) => {
                    report(format!("wants `{name}{}`, which route `{}` has already", route.path, other.id));
                }
                None => routes.push((path.into(), Arc::clone(&entry))),
            }
        }
    }

    fn endpoint(&mut self, before: &Self, upstream: &Upstream, protocol: UpstreamProtocol) -> Arc<Endpoint> {
        let key = (upstream.address, protocol);
        let known = before.endpoints.get(&key);
        let endpoint = self.endpoints.entry(key).or_insert_with(|| match known {
            Some(endpoint) => Arc::clone(endpoint),
            None => Arc::new(Endpoint::new(upstream.address, protocol)),
        });
        Arc::clone(endpoint)
    }

    fn metrics_of(&mut self, before: &Self, app: &str) -> Arc<RouteMetrics> {
        if let Some(metrics) = self.metrics.get(app) {
            return Arc::clone(metrics);
        }
        let metrics = before.metrics.get(app).cloned().unwrap_or_else(|| Arc::new(RouteMetrics::new(app)));
        self.metrics.insert(app.into(), Arc::clone(&metrics));
        metrics
    }

    /// The route for a host as [`host_key`] gives it, and a path: the host's own, or one of the wildcard that covers
    /// it.
    pub fn find(&self, host: &str, path: &str) -> Option<&Arc<RouteEntry>> {
        let own = self.hosts.get(host).and_then(|routes| longest(routes, path));
        own.or_else(|| {
            let (_, parent) = host.split_once('.')?;
            longest(self.wildcards.get(parent)?, path)
        })
    }

    /// `spec` without the routes and hosts that this table left out.
    pub fn servable(&self, spec: &ProxySpec) -> ProxySpec {
        let mut spec = spec.clone();
        for route in &mut spec.routes {
            let (id, path) = (&route.id, &route.path);
            route.hosts.retain(|host| self.named(host, path).is_some_and(|entry| *entry.id == **id));
        }
        spec.routes.retain(|route| !route.hosts.is_empty());
        spec
    }

    /// The route of a host, or wildcard, as a spec names it.
    fn named(&self, host: &str, path: &str) -> Option<&Arc<RouteEntry>> {
        let routes = match host.strip_prefix("*.") {
            Some(parent) => self.wildcards.get(parent),
            None => self.hosts.get(host),
        };
        longest(routes?, path)
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

    /// All upstreams, for upkeep.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.values()
    }
}

fn longest<'a>(routes: &'a HostRoutes, path: &str) -> Option<&'a Arc<RouteEntry>> {
    routes.iter().find(|(prefix, _)| covers(prefix, path)).map(|(_, route)| route)
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
