//! Who reaches an app, and what the others see.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::support::{App, Edge, certificate, get, raw, route, spec};
use protocol::spec::options::{BasicAuth, Maintenance, Redirect};
use protocol::spec::{Route, Unavailable};

const HERE: &str = "127.0.0.0/8";
const ELSEWHERE: &str = "192.0.2.0/24";

fn networks(texts: &[&str]) -> Vec<ipnet::IpNet> {
    texts.iter().map(|text| text.parse().expect("network")).collect()
}

fn locked(app: &App, users: &[(&str, &str)]) -> Route {
    let mut route = route("app.test", &[app.address]);
    let users: BTreeMap<String, String> = users
        .iter()
        .map(|(name, password)| ((*name).to_owned(), bcrypt::hash(password, 4).expect("hash")))
        .collect();
    route.options.basic_auth = Some(BasicAuth { realm: "Staging".to_owned(), users });
    route
}

async fn get_with(edge: &Edge, path: &str, headers: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n{headers}\r\n");
    raw(edge.http, &head).await
}

#[tokio::test]
async fn only_the_networks_of_the_allow_list_get_in() {
    let app = App::saying("hello").await;
    let mut shop = route("app.test", &[app.address]);
    shop.options.allow = networks(&[ELSEWHERE]);
    let mut wanted = spec(vec![shop]);
    let edge = Edge::new(&wanted);
    let page = get_with(&edge, "/", "accept: application/json\r\n").await;
    assert!(page.starts_with("HTTP/1.1 403") && page.contains(r#""code":"forbidden""#), "{page}");
    assert!(!page.contains("127.0.0.1"), "{page}");
    Arc::make_mut(&mut wanted.routes[0]).options.allow = networks(&[ELSEWHERE, HERE]);
    assert_eq!(edge.gateway.apply(&wanted), []);
    assert!(get(edge.http, "app.test", "/").await.ends_with("hello"));
}

#[tokio::test]
async fn maintenance_shows_its_message_to_all_but_its_networks() {
    let app = App::saying("hello").await;
    let mut shop = route("app.test", &[app.address]);
    shop.options.maintenance = Some(Maintenance {
        message: "Back at <b>five</b>".to_owned(),
        retry_after_s: Some(120),
        allow: networks(&[ELSEWHERE]),
    });
    let mut wanted = spec(vec![shop]);
    let edge = Edge::new(&wanted);
    let page = get(edge.http, "app.test", "/").await;
    assert!(page.starts_with("HTTP/1.1 503") && page.contains("retry-after: 120\r\n"), "{page}");
    assert!(page.contains("Back at &lt;b&gt;five&lt;/b&gt;"), "{page}");
    let maintenance = Arc::make_mut(&mut wanted.routes[0]).options.maintenance.as_mut().expect("set");
    maintenance.allow = networks(&[HERE]);
    assert_eq!(edge.gateway.apply(&wanted), []);
    assert!(get(edge.http, "app.test", "/").await.ends_with("hello"));
}

#[tokio::test]
async fn a_password_is_asked_for_once_right_and_never_reaches_the_app() {
    let app = App::mirror().await;
    let edge = Edge::new(&spec(vec![locked(&app, &[("ada", "lovelace")])]));
    // ada:lovelace and ada:wrong
    let (right, wrong) = ("Basic YWRhOmxvdmVsYWNl", "Basic YWRhOndyb25n");
    let asked = get_with(&edge, "/", "").await;
    assert!(asked.starts_with("HTTP/1.1 401"), "{asked}");
    assert!(asked.contains("www-authenticate: Basic realm=\"Staging\", charset=\"UTF-8\"\r\n"), "{asked}");
    assert!(get_with(&edge, "/", &format!("authorization: {wrong}\r\n")).await.starts_with("HTTP/1.1 401"));
    for _ in 0..2 {
        let answer = get_with(&edge, "/", &format!("authorization: {right}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(!answer.contains("authorization") && !answer.contains("YWRh"), "{answer}");
    }
}

#[tokio::test]
async fn each_check_comes_before_what_would_say_more() {
    let app = App::saying("hello").await;
    let mut shop = locked(&app, &[("ada", "x")]);
    shop.hosts.push("www.app.test".to_owned());
    shop.https_only = true;
    shop.options.allow = networks(&[ELSEWHERE]);
    shop.options.maintenance = Some(Maintenance::default());
    shop.options.canonical_host = Some("www.app.test".to_owned());
    shop.options.redirects =
        vec![Redirect { from: "/old".to_owned(), to: "/secret".to_owned(), status: 301 }];
    let mut wanted = spec(vec![shop]);
    wanted.certificates.push(certificate(&["app.test", "www.app.test"]));
    let edge = Edge::new(&wanted);
    let change = |change: &dyn Fn(&mut Route)| {
        let mut next = wanted.clone();
        change(Arc::make_mut(&mut next.routes[0]));
        assert_eq!(edge.gateway.apply(&next), []);
        wanted = next;
    };
    let mut change = change;
    let old = || get(edge.http, "app.test", "/old");
    assert!(old().await.contains("location: https://app.test:8443/old\r\n"), "HTTPS comes first");
    change(&|route| route.https_only = false);
    assert!(old().await.starts_with("HTTP/1.1 403"), "an allow list hides even the maintenance");
    change(&|route| route.options.allow.clear());
    assert!(old().await.starts_with("HTTP/1.1 503"), "a closed app asks for no password");
    change(&|route| route.options.maintenance = None);
    assert!(old().await.contains("location: http://www.app.test/old\r\n"), "passwords are kept by host");
    change(&|route| route.options.canonical_host = None);
    assert!(old().await.starts_with("HTTP/1.1 401"), "redirects say something about the app");
    change(&|route| route.options.basic_auth = None);
    assert!(old().await.contains("location: /secret\r\n"));
}

#[tokio::test]
async fn an_app_without_instances_says_why() {
    let of = |host: &str, unavailable| Route { unavailable, ..route(host, &[]) };
    let edge = Edge::new(&spec(vec![
        of("a.test", None),
        of("b.test", Some(Unavailable::Starting)),
        of("c.test", Some(Unavailable::Unhealthy)),
        of("d.test", Some(Unavailable::Stopped)),
    ]));
    for (host, says) in [
        ("a.test", "This app is not running"),
        ("b.test", "This app is starting"),
        ("c.test", "This app is not well"),
        ("d.test", "This app is stopped"),
    ] {
        let page = get(edge.http, host, "/").await;
        assert!(page.starts_with("HTTP/1.1 503") && page.contains(says), "{page}");
    }
}
