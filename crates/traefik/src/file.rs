//! The file that a proxy's agent writes and Traefik's file provider watches: the table, the way of ACME's challenges to
//! the agent, and a marker by which Traefik's API tells which table it serves.

use std::net::SocketAddr;

use protocol::spec::ProxySpec;
use sha2::{Digest, Sha256};

use crate::{Dynamic, Http, Middleware, Router, dynamic};

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

/// `spec` for Traefik's file provider; requests for ACME's challenges go to `challenges`.
pub fn render(spec: &ProxySpec, challenges: SocketAddr) -> File {
    let mut table = dynamic(spec);
    let http = table.http.get_or_insert_default();
    add_challenges(http, challenges);
    let marker = format!("wisehosting-{}", digest(&table));
    table.http.get_or_insert_default().middlewares.insert(marker.clone(), Middleware::ContentType {});
    File { marker, text: text(&table) }
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
    http.serve(CHALLENGES.to_owned(), [agent]);
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
        ProxySpec { routes: vec![route(path)], ..ProxySpec::default() }
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
        let renewed = ProxySpec { certificates: vec![certificate], ..spec("/") };
        assert_ne!(file.marker, render(&renewed, AGENT).marker);
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
