//! The route table in the words of Traefik's HTTP provider. The same table gives the same bytes, so that its tag
//! tells whether anything changed. Traefik refuses empty sections, so there are none.

pub mod api;

use std::collections::BTreeMap;

use protocol::spec::{Certificate, ProxySpec, Route};
use serde::Serialize;

/// Dynamic configuration.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Dynamic {
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<Http>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct Http {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    routers: BTreeMap<String, Router>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    services: BTreeMap<String, Service>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    middlewares: BTreeMap<String, Middleware>,
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
}

/// `{}`: TLS with whatever certificate fits the name.
#[derive(Debug, PartialEq, Serialize)]
struct RouterTls {}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    load_balancer: LoadBalancer,
}

#[derive(Debug, PartialEq, Serialize)]
struct LoadBalancer {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    servers: Vec<Server>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Server {
    url: String,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Middleware {
    redirect_scheme: RedirectScheme,
}

#[derive(Debug, PartialEq, Serialize)]
struct RedirectScheme {
    scheme: &'static str,
    permanent: bool,
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
    };
    if route.https_only {
        http.routers.insert(name.clone(), router("websecure", Vec::new(), Some(RouterTls {})));
        http.routers.insert(format!("{name}-redirect"), router("web", vec![REDIRECT], None));
        let redirect_scheme = RedirectScheme { scheme: "https", permanent: true };
        http.middlewares.insert(REDIRECT.to_owned(), Middleware { redirect_scheme });
    } else {
        http.routers.insert(name.clone(), router("web", Vec::new(), None));
    }
    let server = |upstream: &protocol::spec::Upstream| Server { url: format!("http://{}", upstream.address) };
    let servers = route.upstreams.iter().map(server).collect();
    http.services.insert(name.clone(), Service { load_balancer: LoadBalancer { servers } });
}

fn rule(route: &Route) -> String {
    let hosts: Vec<String> = route.hosts.iter().map(|host| format!("Host(`{host}`)")).collect();
    let hosts = hosts.join(" || ");
    if route.path == "/" { hosts } else { format!("({hosts}) && PathPrefix(`{}`)", route.path) }
}

fn pair(certificate: &Certificate) -> Pair {
    Pair { cert_file: certificate.chain_pem.clone(), key_file: certificate.key_pem.clone() }
}

#[cfg(test)]
#[path = "tests.rs"]
mod http_tests;

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
    fn an_app_without_upstreams_keeps_its_router_and_has_no_empty_section() {
        let route = Route { upstreams: Vec::new(), ..route(false) };
        let text = text(&ProxySpec { routes: vec![route], ..ProxySpec::default() });
        assert!(text.contains("\"loadBalancer\": {}"), "{text}");
        assert!(!text.contains("[]"), "{text}");
    }
}
