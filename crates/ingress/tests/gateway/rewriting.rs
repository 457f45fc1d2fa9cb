//! What a route changes about requests and answers: paths, headers, addresses.

use crate::support::{App, Edge, get, raw, route, spec, text};
use hyper::Response;
use protocol::spec::options::Redirect;

fn redirect(from: &str, to: &str, status: u16) -> Redirect {
    Redirect { from: from.to_owned(), to: to.to_owned(), status }
}

#[tokio::test]
async fn a_stripped_prefix_is_told_to_the_app() {
    let app = App::mirror().await;
    let mut api = route("app.test", &[app.address]);
    api.path = "/api".to_owned();
    api.options.strip_prefix = true;
    let edge = Edge::new(&spec(vec![api]));
    let request = "GET /api/x?y=1 HTTP/1.1\r\nhost: app.test\r\nx-forwarded-prefix: /forged\r\nconnection: close\r\n\r\n";
    let seen = raw(edge.http, request).await;
    assert!(seen.contains("GET /x?y=1 HTTP/1.1\n") && seen.contains("x-forwarded-prefix: /api\n"), "{seen}");
    assert!(!seen.contains("forged"), "{seen}");
    assert!(get(edge.http, "app.test", "/api").await.contains("GET / HTTP/1.1\n"));
    assert!(get(edge.http, "app.test", "/apix").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn redirects_are_answered_without_the_app_and_never_lead_where_a_visitor_wants() {
    let app = App::saying("hello").await;
    let mut shop = route("app.test", &[app.address]);
    shop.options.redirects = vec![
        redirect("/old", "/new", 301),
        redirect("/blog/*", "https://blog.test/*", 302),
        redirect("/moved/*", "/*", 308),
    ];
    let edge = Edge::new(&spec(vec![shop]));
    for (path, status, location) in [
        ("/old?a=1", "301", "/new?a=1"),
        ("/blog/a/b?c", "302", "https://blog.test/a/b?c"),
        ("/moved//evil.test", "308", "/evil.test"),
        ("/moved/\\evil.test", "308", "/evil.test"),
        ("/moved/%5cevil.test", "308", "/%5cevil.test"),
    ] {
        let answer = get(edge.http, "app.test", path).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
        assert!(answer.contains(&format!("location: {location}\r\n")), "{path}: {answer}");
    }
    assert!(get(edge.http, "app.test", "/other").await.ends_with("hello"));
}

#[tokio::test]
async fn other_hosts_lead_to_the_canonical_one_with_the_port_that_was_asked() {
    let app = App::saying("hello").await;
    let mut shop = route("app.test", &[app.address]);
    shop.hosts.push("*.app.test".to_owned());
    shop.options.canonical_host = Some("app.test".to_owned());
    shop.options.response_headers.set.insert("strict-transport-security".to_owned(), "max-age=60".to_owned());
    let edge = Edge::new(&spec(vec![shop]));
    let answer = get(edge.http, "www.app.test:8080", "/x?y=1").await;
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
    assert!(answer.contains("location: http://app.test:8080/x?y=1\r\n"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age=60\r\n"), "{answer}");
    assert!(get(edge.http, "APP.test", "/").await.ends_with("hello"));
}

#[tokio::test]
async fn headers_are_put_on_and_taken_off_both_ways() {
    let app = App::start(|request| async move {
        let seen = request.headers().get("x-tier").map(|value| value.to_str().expect("text").to_owned());
        let cookie = request.headers().contains_key("cookie");
        let mut response = Response::new(text(format!("tier {seen:?}, cookie {cookie}")));
        for (name, value) in [("server", "inside/1.2"), ("x-frame-options", "ALLOW")] {
            response.headers_mut().insert(name, value.parse().expect("value"));
        }
        response
    })
    .await;
    let mut shop = route("app.test", &[app.address]);
    shop.options.request_headers.set.insert("X-Tier".to_owned(), "gold".to_owned());
    shop.options.request_headers.remove.push("cookie".to_owned());
    shop.options.response_headers.set.insert("X-Frame-Options".to_owned(), "DENY".to_owned());
    shop.options.response_headers.remove.push("Server".to_owned());
    let edge = Edge::new(&spec(vec![shop]));
    let request =
        "GET / HTTP/1.1\r\nhost: app.test\r\nx-tier: forged\r\ncookie: a=1\r\nconnection: close\r\n\r\n";
    let answer = raw(edge.http, request).await;
    assert!(answer.ends_with("tier Some(\"gold\"), cookie false"), "{answer}");
    assert!(answer.contains("x-frame-options: DENY\r\n") && !answer.contains("ALLOW"), "{answer}");
    assert!(!answer.contains("inside"), "{answer}");
}
