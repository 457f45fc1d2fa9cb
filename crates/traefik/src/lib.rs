//! The route table in Traefik's words. The same table gives the same bytes, so that a digest tells whether anything
//! changed. Traefik refuses empty sections, so there are none.
//!
//! [`dynamic`] is the body for its HTTP provider, [`file::render`] the file that a proxy's agent writes for its file
//! provider. What an option becomes, and what Traefik does not have, is in docs/operations/engines.md.

pub mod file;
mod forward_auth;
mod options;
mod rules;
mod words;

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

use protocol::spec::options::UpstreamProtocol;
use protocol::spec::{Certificate, ProxySpec, Route};
use sha2::{Digest, Sha256};

use options::Paths;
use rules::{Group, Rule};
pub use words::Dynamic;
use words::{
    Cookie, Domain, ForwardingTimeouts, Http, LoadBalancer, Middleware, Pair, PassiveHealthCheck, Router,
    RouterTls, Server, Service, Sticky, Tls, TlsOptions, Transport,
};

const TRANSPORT: &str = "wisehosting";
/// As the built-in engine has it; Traefik's own 30 s keep a visitor waiting for an instance that is gone.
const DIAL_TIMEOUT: &str = "2s";
const REDIRECT: &str = "redirect-to-https";
/// Has no servers: what it is asked for is answered with 503, by Traefik or by an agent beside it.
const CLOSED: &str = "wisehosting-closed";
/// TLS options under which no handshake succeeds. Traefik shows any certificate that fits a name, whoever's it is; no
/// option of a router keeps it from that but this one.
const REFUSE: &str = "wisehosting-refuse";
/// Names the instance that a client's requests go to.
const COOKIE: &str = "wisehosting-instance";

/// `spec` for Traefik. A route without upstreams keeps its router: Traefik answers 503 for a service without servers.
pub fn dynamic(spec: &ProxySpec) -> Dynamic {
    let mut http = Http::default();
    let names =
        Names { resolvers: &spec.resolvers, refused: spec.refused.iter().map(String::as_str).collect() };
    for route in &spec.routes {
        add(&mut http, route, &names);
    }
    let mut tls = Tls {
        certificates: spec.certificates.iter().map(|certificate| pair(certificate)).collect(),
        ..Tls::default()
    };
    if !spec.refused.is_empty() {
        let nothing = TlsOptions { min_version: "VersionTLS13", max_version: "VersionTLS12" };
        tls.options.insert(REFUSE, nothing);
    }
    Dynamic { http: (!http.routers.is_empty()).then_some(http), tls: (tls != Tls::default()).then_some(tls) }
}

/// What is said of host names, whatever their routes.
struct Names<'a> {
    resolvers: &'a BTreeMap<String, String>,
    refused: HashSet<&'a str>,
}

/// A way in.
struct Door {
    suffix: &'static str,
    entry_point: &'static str,
    tls: Option<RouterTls>,
}

fn doors(route: &Route, tls: &RouterTls) -> Vec<Door> {
    let plain = Door { suffix: "", entry_point: "web", tls: None };
    let secure = |suffix| Door { suffix, entry_point: "websecure", tls: Some(tls.clone()) };
    match (route.https_only, route.options.https_redirect) {
        (true, _) => vec![secure("")],
        // Both are served, as people asked for.
        (false, Some(false)) => vec![plain, secure("-tls")],
        (false, _) => vec![plain],
    }
}

/// All names of a route are of one zone, which has one resolver or none.
fn tls(group: &Group<'_>, names: &Names<'_>) -> RouterTls {
    let resolver = group.hosts.iter().find_map(|host| names.resolvers.get(*host));
    let domains = |_: &String| group.hosts.iter().map(|host| Domain { main: (*host).to_owned() }).collect();
    let domains = resolver.map(domains).unwrap_or_default();
    RouterTls { cert_resolver: resolver.cloned(), domains, options: None }
}

fn add(http: &mut Http, route: &Route, names: &Names<'_>) {
    let base = format!("app-{}", route.id);
    for group in rules::groups(route) {
        let name = format!("{base}{}", group.suffix);
        let rule = group.rule(route);
        let [refused, secure] = group.split(|host| names.refused.contains(host));
        for door in doors(route, &secure.as_ref().map(|group| tls(group, names)).unwrap_or_default()) {
            let Some(group) = (if door.tls.is_some() { secure.as_ref() } else { Some(&group) }) else {
                continue;
            };
            for way in ways(http, route, &base, group.rule(route), group.moved) {
                http.routers.insert(format!("{name}{}{}", way.suffix, door.suffix), way.router(&door));
            }
        }
        if let Some(refused) = refused {
            let way =
                Way { suffix: "", rule: refused.rule(route), middlewares: Vec::new(), service: base.clone() };
            let tls = RouterTls { options: Some(REFUSE), ..RouterTls::default() };
            let door = Door { suffix: "-refused", entry_point: "websecure", tls: Some(tls) };
            http.routers.insert(format!("{name}{}", door.suffix), way.router(&door));
        }
        if route.https_only {
            let redirect = Middleware::RedirectScheme { scheme: "https", permanent: true };
            http.middlewares.insert(REDIRECT.to_owned(), redirect);
            let way = Way { suffix: "", rule, middlewares: vec![REDIRECT.to_owned()], service: base.clone() };
            let door = Door { suffix: "-redirect", entry_point: "web", tls: None };
            http.routers.insert(format!("{name}{}", door.suffix), way.router(&door));
        }
    }
    http.services.insert(base, service(route));
    http.use_transport(route.options.timeout_s);
}

/// What becomes of the requests of a rule.
struct Way {
    suffix: &'static str,
    rule: Rule,
    middlewares: Vec<String>,
    service: String,
}

impl Way {
    fn router(&self, door: &Door) -> Router {
        Router {
            entry_points: vec![door.entry_point],
            rule: self.rule.text.clone(),
            service: self.service.clone(),
            middlewares: self.middlewares.clone(),
            tls: door.tls.clone(),
            priority: self.rule.priority,
        }
    }
}

/// To the app, or to the canonical host; while there is maintenance to nowhere but for a few.
fn ways(http: &mut Http, route: &Route, base: &str, rule: Rule, moved: bool) -> Vec<Way> {
    let options = &route.options;
    let guard = options.forward_auth.as_ref().filter(|_| !moved);
    let (chain, service) = match guard {
        Some(guard) if forward_auth::is_closed(guard) => (options::entry(options), http.close()),
        _ if moved => (options::moved(options), base.to_owned()),
        _ => (options::whole(route, Paths::Asked), base.to_owned()),
    };
    let Some(maintenance) = &options.maintenance else {
        let skipped = guard.and_then(forward_auth::skipped).map(|paths| Way {
            suffix: "-skipped",
            rule: rule.and(&paths),
            middlewares: http.name_all(options::whole(route, Paths::Skipped)),
            service: base.to_owned(),
        });
        let asked = Way { suffix: "", rule, middlewares: http.name_all(chain), service };
        return std::iter::once(asked).chain(skipped).collect();
    };
    let middlewares = http.name_all(options::entry(options));
    let closed = Way { suffix: "", rule: rule.clone(), middlewares, service: http.close() };
    if maintenance.allow.is_empty() {
        return vec![closed];
    }
    let open = Way {
        suffix: "-open",
        rule: rule.within(maintenance.allow.iter().map(ToString::to_string)),
        middlewares: http.name_all(chain),
        service,
    };
    vec![closed, open]
}

fn service(route: &Route) -> Service {
    let options = &route.options;
    let scheme = match options.upstream_protocol {
        UpstreamProtocol::Http1 => "http",
        UpstreamProtocol::H2c => "h2c",
    };
    let equal = route.upstreams.windows(2).all(|pair| pair[0].weight == pair[1].weight);
    let servers = route.upstreams.iter().map(|upstream| Server {
        url: format!("{scheme}://{}", upstream.address),
        weight: (!equal).then_some(upstream.weight),
    });
    let path = rules::prefix(&route.path);
    let cookie = Cookie {
        name: COOKIE,
        secure: route.https_only,
        http_only: true,
        same_site: "lax",
        path: (!path.is_empty()).then(|| path.to_owned()),
    };
    // Traefik would leave out an app's only instance, too.
    let eject = options.eject.filter(|_| route.upstreams.len() > 1);
    Service {
        load_balancer: LoadBalancer {
            sticky: options.sticky.then_some(Sticky { cookie }),
            passive_health_check: eject.map(|eject| PassiveHealthCheck {
                failure_window: format!("{}s", eject.for_s),
                max_failed_attempts: eject.failures,
            }),
            servers_transport: transport(options.timeout_s),
            ..Service::of(servers.collect()).load_balancer
        },
    }
}

fn transport(timeout_s: Option<u32>) -> String {
    timeout_s.map_or_else(|| TRANSPORT.to_owned(), |seconds| format!("{TRANSPORT}-{seconds}s"))
}

impl Service {
    fn of(servers: Vec<Server>) -> Self {
        let servers_transport = TRANSPORT.to_owned();
        Self {
            load_balancer: LoadBalancer {
                sticky: None,
                servers,
                passive_health_check: None,
                servers_transport,
            },
        }
    }
}

impl Http {
    pub(crate) fn serve(&mut self, name: String, address: SocketAddr) {
        self.services.insert(name, Service::of(vec![Server::at(address)]));
        self.use_transport(None);
    }

    /// The service of what nobody reaches.
    fn close(&mut self) -> String {
        self.services.insert(CLOSED.to_owned(), Service::of(Vec::new()));
        self.use_transport(None);
        CLOSED.to_owned()
    }

    fn use_transport(&mut self, timeout_s: Option<u32>) {
        let response_header_timeout = timeout_s.map(|seconds| format!("{seconds}s"));
        let forwarding_timeouts = ForwardingTimeouts { dial_timeout: DIAL_TIMEOUT, response_header_timeout };
        self.servers_transports.insert(transport(timeout_s), Transport { forwarding_timeouts });
    }

    /// Equal middlewares have one name, which stays as long as they do.
    fn name_all(&mut self, chain: Vec<Middleware>) -> Vec<String> {
        let mut named = Vec::with_capacity(chain.len());
        for middleware in chain {
            let text = serde_json::to_string(&middleware).expect("texts and numbers are JSON");
            let name = format!("{}-{}", middleware.kind(), hex::encode(&Sha256::digest(text)[..8]));
            self.middlewares.insert(name.clone(), middleware);
            named.push(name);
        }
        named
    }
}

fn pair(certificate: &Certificate) -> Pair {
    Pair { cert_file: certificate.chain_pem.clone(), key_file: certificate.key_pem.clone() }
}

#[cfg(test)]
mod tests {
    use protocol::ids::InstanceId;
    use protocol::spec::{RouteOptions, Upstream};

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
        insta::assert_snapshot!(text(&ProxySpec {
            routes: vec![route(false).into()],
            ..ProxySpec::default()
        }));
    }

    #[test]
    fn with_certificates_http_redirects_and_the_pairs_are_inline() {
        let certificate = Certificate {
            hosts: vec!["hello.route.test".to_owned()],
            chain_pem: "CHAIN".to_owned(),
            key_pem: "KEY".to_owned(),
        };
        let spec = ProxySpec {
            routes: vec![route(true).into()],
            certificates: vec![certificate.into()],
            ..ProxySpec::default()
        };
        insta::assert_snapshot!(text(&spec));
    }

    #[test]
    fn a_resolver_of_traefiks_own_orders_one_certificate_for_each_name() {
        let hosts = ["hello.route.test", "hello.example.com"];
        let resolvers = hosts.map(|host| (host.to_owned(), "le".to_owned())).into();
        let other = Route { id: "2".to_owned(), hosts: vec!["b.test".to_owned()], ..route(true) };
        let spec =
            ProxySpec { routes: vec![route(true).into(), other.into()], resolvers, ..ProxySpec::default() };
        let table = dynamic(&spec).http.expect("routes");
        let tls = |router: &str| serde_json::to_value(&table.routers[router].tls).expect("JSON");
        let domains = serde_json::json!([{ "main": hosts[0] }, { "main": hosts[1] }]);
        assert_eq!(tls("app-1"), serde_json::json!({ "certResolver": "le", "domains": domains }));
        assert_eq!(tls("app-2"), serde_json::json!({}));
        assert!(table.routers["app-1-redirect"].tls.is_none());
    }

    #[test]
    fn a_host_that_somebody_elses_certificate_would_fit_is_refused_over_https() {
        let refused = vec!["hello.example.com".to_owned()];
        let spec = ProxySpec { routes: vec![route(true).into()], refused, ..ProxySpec::default() };
        let table = dynamic(&spec);
        let http = table.http.expect("routes");
        assert_eq!(http.routers["app-1"].rule, "Host(`hello.route.test`)");
        let router = &http.routers["app-1-refused"];
        assert_eq!(
            (router.rule.as_str(), router.entry_points[0]),
            ("Host(`hello.example.com`)", "websecure")
        );
        assert_eq!(router.tls.as_ref().and_then(|tls| tls.options), Some(REFUSE));
        assert!(http.routers["app-1-redirect"].rule.contains("hello.example.com"));
        assert!(table.tls.expect("options").options.contains_key(REFUSE));
    }

    #[test]
    fn equal_options_share_their_middlewares_and_others_have_other_names() {
        let options = |compress, seconds| RouteOptions {
            compress,
            timeout_s: Some(seconds),
            max_body_bytes: Some(1024),
            ..RouteOptions::default()
        };
        let with =
            |id: &str, options| Route { id: id.to_owned(), options: Box::new(options), ..route(false) };
        let routes = [with("1", options(true, 5)), with("2", options(true, 5)), with("3", options(false, 7))];
        let routes = routes.map(Into::into).to_vec();
        let table = dynamic(&ProxySpec { routes, ..ProxySpec::default() }).http.expect("routes");
        assert_eq!(table.middlewares.len(), 2);
        assert_eq!(table.routers["app-1"].middlewares, table.routers["app-2"].middlewares);
        assert_eq!(table.routers["app-3"].middlewares, table.routers["app-1"].middlewares[1..]);
        let transports: Vec<&String> = table.servers_transports.keys().collect();
        assert_eq!(transports, ["wisehosting-5s", "wisehosting-7s"]);
    }

    #[test]
    fn a_route_with_options() {
        let options = serde_json::json!({
            "canonical_host": "hello.example.com",
            "redirects": [{ "from": "/old/*", "to": "/new/*" }],
            "response_headers": { "set": { "x-frame-options": "DENY" }, "remove": ["server"] },
            "allow": ["10.0.0.0/8"],
            "rate_limit": { "requests": 10 },
            "maintenance": { "allow": ["10.1.0.0/16"] },
            "sticky": true,
            "upstream_protocol": "h2c",
            "eject": {},
        });
        let options: RouteOptions = serde_json::from_value(options).expect("options");
        let route = Route { options: Box::new(options), path: "/shop".to_owned(), ..route(true) };
        insta::assert_snapshot!(text(&ProxySpec { routes: vec![route.into()], ..ProxySpec::default() }));
    }

    #[test]
    fn an_app_without_upstreams_keeps_its_router_and_has_no_empty_section() {
        let route = Route { upstreams: Vec::new(), ..route(false) };
        let text = text(&ProxySpec { routes: vec![route.into()], ..ProxySpec::default() });
        assert!(text.contains("\"service\": \"app-1\""), "{text}");
        assert!(!text.contains("[]") && !text.contains("{}"), "{text}");
    }
}
