//! The route table in Traefik's words. The same table gives the same bytes, so that a digest tells whether anything
//! changed. Traefik refuses empty sections, so there are none.
//!
//! [`dynamic`] is the body for its HTTP provider, [`file::render`] the file that a proxy's agent writes for its file
//! provider.

pub mod file;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use protocol::spec::{Certificate, ProxySpec, Route};
use serde::Serialize;

/// Dynamic configuration.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Dynamic {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<Http>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Http {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    routers: BTreeMap<String, Router>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    services: BTreeMap<String, Service>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    middlewares: BTreeMap<String, Middleware>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    servers_transports: BTreeMap<&'static str, Transport>,
}

impl Http {
    pub(crate) fn serve(&mut self, name: String, addresses: impl IntoIterator<Item = SocketAddr>) {
        self.services.insert(name, Service::of(addresses));
        let forwarding_timeouts = ForwardingTimeouts { dial_timeout: DIAL_TIMEOUT };
        self.servers_transports.insert(TRANSPORT, Transport { forwarding_timeouts });
    }
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Router {
    entry_points: Vec<&'static str>,
    rule: String,
    service: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    middlewares: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<RouterTls>,
    /// Higher goes first; without one, the longer rule does.
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
}

/// `{}`: TLS with whatever certificate fits the name.
#[derive(Debug, PartialEq, Serialize)]
struct RouterTls {}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    load_balancer: LoadBalancer,
}

impl Service {
    fn of(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let server = |address| Server { url: format!("http://{address}") };
        let servers = addresses.into_iter().map(server).collect();
        Self { load_balancer: LoadBalancer { servers, servers_transport: TRANSPORT } }
    }
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct LoadBalancer {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    servers: Vec<Server>,
    /// Also keeps a load balancer without servers from being an empty section, for which Traefik refuses the whole
    /// table.
    servers_transport: &'static str,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Transport {
    forwarding_timeouts: ForwardingTimeouts,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ForwardingTimeouts {
    dial_timeout: &'static str,
}

#[derive(Debug, PartialEq, Serialize)]
struct Server {
    url: String,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Middleware {
    RedirectScheme {
        scheme: &'static str,
        permanent: bool,
    },
    /// Does nothing to a request.
    ContentType {},
}

#[derive(Debug, PartialEq, Serialize)]
struct Tls {
    certificates: Vec<Pair>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pair {
    cert_file: String,
    key_file: String,
}

const TRANSPORT: &str = "wisehosting";
/// As the built-in engine has it; Traefik's own 30 s keep a visitor waiting for an instance that is gone.
const DIAL_TIMEOUT: &str = "2s";
const REDIRECT: &str = "redirect-to-https";

/// `spec` for Traefik. A route without upstreams keeps its router: Traefik answers 503 for a service without servers.
pub fn dynamic(spec: &ProxySpec) -> Dynamic {
    let mut http = Http::default();
    for route in &spec.routes {
        add(&mut http, route);
    }
    let certificates: Vec<Pair> = spec.certificates.iter().map(pair).collect();
    Dynamic {
        http: (!http.routers.is_empty()).then_some(http),
        tls: (!certificates.is_empty()).then_some(Tls { certificates }),
    }
}

fn add(http: &mut Http, route: &Route) {
    let name = format!("app-{}", route.id);
    let router = |entry_point, middlewares, tls| Router {
        entry_points: vec![entry_point],
        rule: rule(route),
        service: name.clone(),
        middlewares,
        tls,
        priority: None,
    };
    if route.https_only {
        http.routers.insert(name.clone(), router("websecure", Vec::new(), Some(RouterTls {})));
        http.routers.insert(format!("{name}-redirect"), router("web", vec![REDIRECT], None));
        let redirect = Middleware::RedirectScheme { scheme: "https", permanent: true };
        http.middlewares.insert(REDIRECT.to_owned(), redirect);
    } else {
        http.routers.insert(name.clone(), router("web", Vec::new(), None));
    }
    http.serve(name, route.upstreams.iter().map(|upstream| upstream.address));
}

fn rule(route: &Route) -> String {
    let hosts: Vec<String> = route.hosts.iter().map(|host| format!("Host({})", literal(host))).collect();
    let hosts = hosts.join(" || ");
    if route.path == "/" { hosts } else { format!("({hosts}) && PathPrefix({})", literal(&route.path)) }
}

/// A string in a rule. Rules are Go expressions, so no text may end its own quotes.
fn literal(text: &str) -> String {
    if text.contains('`') { format!("{text:?}") } else { format!("`{text}`") }
}

fn pair(certificate: &Certificate) -> Pair {
    Pair { cert_file: certificate.chain_pem.clone(), key_file: certificate.key_pem.clone() }
}

#[cfg(test)]
mod tests {
    use protocol::ids::InstanceId;
    use protocol::spec::Upstream;

    use super::*;

    fn route(https_only: bool) -> Route {
        let upstream = |port| Upstream {
            instance: InstanceId::new(),
            address: std::net::SocketAddr::from(([10, 50, 0, 2], port)),
            weight: 1,
        };
        Route {
            id: "1".to_owned(),
            app: "hello".to_owned(),
            hosts: vec!["hello.route.test".to_owned(), "hello.example.com".to_owned()],
            path: "/".to_owned(),
            upstreams: vec![upstream(20000), upstream(20001)],
            https_only,
            options: Box::default(),
            unavailable: None,
        }
    }

    fn text(spec: &ProxySpec) -> String {
        serde_json::to_string_pretty(&dynamic(spec)).expect("plain data")
    }

    #[test]
    fn nothing_to_route_is_an_empty_object() {
        assert_eq!(text(&ProxySpec::default()), "{}");
    }

    #[test]
    fn an_app_over_plain_http_has_one_router_for_all_its_hosts() {
        insta::assert_snapshot!(text(&ProxySpec { routes: vec![route(false)], ..ProxySpec::default() }));
    }

    #[test]
    fn with_certificates_http_redirects_and_the_pairs_are_inline() {
        let certificate = Certificate {
            hosts: vec!["hello.route.test".to_owned()],
            chain_pem: "CHAIN".to_owned(),
            key_pem: "KEY".to_owned(),
        };
        let spec =
            ProxySpec { routes: vec![route(true)], certificates: vec![certificate], ..ProxySpec::default() };
        insta::assert_snapshot!(text(&spec));
    }

    #[test]
    fn no_path_ends_its_quotes() {
        let route = Route { path: "/`) || Host(`other.test".to_owned(), ..route(false) };
        assert!(rule(&route).ends_with(r#"PathPrefix("/`) || Host(`other.test")"#), "{}", rule(&route));
    }

    #[test]
    fn an_app_without_upstreams_keeps_its_router_and_has_no_empty_section() {
        let route = Route { upstreams: Vec::new(), ..route(false) };
        let text = text(&ProxySpec { routes: vec![route], ..ProxySpec::default() });
        assert!(text.contains("\"service\": \"app-1\""), "{text}");
        assert!(!text.contains("[]") && !text.contains("{}"), "{text}");
    }
}
