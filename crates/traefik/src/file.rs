//! The file that a proxy's agent writes and Traefik's file provider watches: the table, the way of ACME's challenges to
//! the agent, and a marker by which Traefik's API tells which table it serves.

use std::net::SocketAddr;
use std::sync::Arc;

use protocol::spec::options::Maintenance;
use protocol::spec::{ForwardAuth, ProxySpec, RouteOptions};
use sha2::{Digest, Sha256};

use crate::words::{Dynamic, Http, Middleware, Router, Server};
use crate::{dynamic, forward_auth};

const CHALLENGES: &str = "wisehosting-challenges";

/// A rendered table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Name of a middleware that no router uses: `GET /api/http/middlewares/<marker>@file` finds it while Traefik
    /// serves this table, and no other.
    pub marker: String,
    /// JSON, which is YAML.
    pub text: String,
}

/// `spec` for Traefik's file provider. Requests for ACME's challenges go to `agent`, and so do those that no app can
/// answer: it has pages for them, see [`behind`].
pub fn render(spec: &ProxySpec, agent: SocketAddr) -> File {
    let mut table = dynamic(spec);
    let http = table.http.get_or_insert_default();
    for service in http.services.values_mut() {
        let servers = &mut service.load_balancer.servers;
        if servers.is_empty() {
            servers.push(Server::at(agent));
        }
    }
    add_challenges(http, agent);
    let marker = format!("wisehosting-{}", digest(&table));
    table.http.get_or_insert_default().middlewares.insert(marker.clone(), Middleware::ContentType {});
    File { marker, text: text(&table) }
}

/// What the agent serves behind Traefik, over plain HTTP and to Traefik alone: what keeps an app from answering. All
/// else was done when a request arrives.
pub fn behind(spec: &ProxySpec) -> ProxySpec {
    let mut spec = spec.clone();
    for route in &mut spec.routes {
        let route = Arc::make_mut(route);
        let maintenance =
            route.options.maintenance.take().map(|closed| Maintenance { allow: Vec::new(), ..closed });
        // Of an app that nobody can be asked about, Traefik sends all requests here, and here nobody can be asked either.
        let nobody = || ForwardAuth::new("app:nobody");
        let forward_auth =
            route.options.forward_auth.take().filter(forward_auth::is_closed).map(|_| nobody());
        *route.options = RouteOptions { maintenance, forward_auth, ..RouteOptions::default() };
        route.https_only = false;
        route.upstreams.clear();
    }
    spec
}

/// Before every route, also those of apps that redirect to HTTPS: the CA asks over plain HTTP.
fn add_challenges(http: &mut Http, agent: SocketAddr) {
    let router = Router {
        entry_points: vec!["web"],
        rule: "PathPrefix(`/.well-known/acme-challenge/`)".to_owned(),
        service: CHALLENGES.to_owned(),
        middlewares: Vec::new(),
        tls: None,
        priority: Some(i32::MAX),
    };
    http.routers.insert(CHALLENGES.to_owned(), router);
    http.serve(CHALLENGES.to_owned(), agent);
}

fn digest(table: &Dynamic) -> String {
    hex::encode(&Sha256::digest(text(table))[..8])
}

/// Traefik runs its files as Go templates. `{{` can only come from inside a string, where an escape means the same.
fn text(table: &Dynamic) -> String {
    serde_json::to_string(table).expect("texts and numbers are JSON").replace("{{", "{\\u007b")
}

#[cfg(test)]
mod tests {
    use protocol::spec::{Certificate, Route};
    use serde_json::Value;

    use super::*;

    const AGENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8078);

    fn route(path: &str) -> Route {
        Route {
            id: "1".to_owned(),
            app: "hello".to_owned(),
            hosts: vec!["hello.route.test".to_owned()],
            path: path.to_owned(),
            upstreams: vec![],
            https_only: true,
            options: Box::default(),
            unavailable: None,
        }
    }

    fn spec(path: &str) -> ProxySpec {
        ProxySpec { routes: vec![route(path).into()], ..ProxySpec::default() }
    }

    #[test]
    fn challenges_go_to_the_agent_before_all_routes_even_without_any() {
        let file: Value = serde_json::from_str(&render(&ProxySpec::default(), AGENT).text).expect("JSON");
        insta::assert_json_snapshot!(file);
    }

    #[test]
    fn the_marker_is_in_the_file_and_changes_with_the_table_only() {
        let file = render(&spec("/"), AGENT);
        assert!(file.text.contains(&format!(r#""{}":{{"contentType":{{}}}}"#, file.marker)), "{}", file.text);
        assert_eq!(file, render(&spec("/"), AGENT));
        assert_ne!(file.marker, render(&spec("/api"), AGENT).marker);
        let certificate =
            Certificate { hosts: vec![], chain_pem: "CHAIN".to_owned(), key_pem: "KEY".to_owned() };
        let renewed = ProxySpec { certificates: vec![certificate.into()], ..spec("/") };
        assert_ne!(file.marker, render(&renewed, AGENT).marker);
    }

    #[test]
    fn what_no_app_can_answer_goes_to_the_agent_which_has_a_page_and_sends_nobody_elsewhere() {
        let maintenance = Maintenance {
            message: "Back at five".to_owned(),
            retry_after_s: Some(60),
            allow: vec!["10.0.0.0/8".parse().expect("a network")],
        };
        let options =
            RouteOptions { maintenance: Some(maintenance), compress: true, ..RouteOptions::default() };
        let closed = Route { options: Box::new(options), ..route("/") };
        let spec = ProxySpec { routes: vec![closed.into()], ..ProxySpec::default() };
        let table: Value = serde_json::from_str(&render(&spec, AGENT).text).expect("JSON");
        let services = &table["http"]["services"];
        for name in ["app-1", "wisehosting-closed"] {
            assert_eq!(
                services[name]["loadBalancer"]["servers"][0]["url"], "http://127.0.0.1:8078",
                "{name}"
            );
        }
        assert_eq!(table["http"]["routers"]["app-1"]["service"], "wisehosting-closed");
        assert_eq!(table["http"]["routers"]["app-1-open"]["service"], "app-1");
        let own = &behind(&spec).routes[0];
        assert!(!own.https_only && !own.options.compress);
        let shown = own.options.maintenance.as_ref().expect("a page");
        assert_eq!((shown.message.as_str(), shown.allow.as_slice()), ("Back at five", &[][..]));
    }

    #[test]
    fn where_nobody_can_be_asked_the_agent_lets_nobody_in() {
        let options = |auth| RouteOptions { forward_auth: Some(auth), ..RouteOptions::default() };
        let of = |auth| ProxySpec {
            routes: vec![Route { options: Box::new(options(auth)), ..route("/") }.into()],
            ..ProxySpec::default()
        };
        let asked =
            ForwardAuth { skip: vec!["/health".to_owned()], ..ForwardAuth::new("https://auth.test/") };
        let table: Value = serde_json::from_str(&render(&of(asked.clone()), AGENT).text).expect("JSON");
        assert_eq!(table["http"]["routers"]["app-1"]["service"], "app-1");
        assert!(behind(&of(asked.clone())).routes[0].options.is_default());
        let nobody = of(ForwardAuth { url: "app:door/verify".to_owned(), ..asked });
        let table: Value = serde_json::from_str(&render(&nobody, AGENT).text).expect("JSON");
        let routers = &table["http"]["routers"];
        assert_eq!(routers["app-1"]["service"], "wisehosting-closed");
        assert_eq!(routers["app-1-skipped"]["service"], "app-1");
        let own = behind(&nobody).routes[0].options.forward_auth.clone().expect("closed");
        assert!(own.instances.is_empty() && own.skip.is_empty());
    }

    #[test]
    fn nothing_in_a_table_is_a_template() {
        for path in ["/{{ env `HOME` }}", "/{{{{", "/{{{ x"] {
            let text = render(&spec(path), AGENT).text;
            assert!(!text.contains("{{"), "{text}");
            let table: Value = serde_json::from_str(&text).expect("JSON");
            let rule = table["http"]["routers"]["app-1"]["rule"].as_str().expect("a rule");
            assert!(rule.contains(&path[..4]), "{rule}");
        }
    }
}
