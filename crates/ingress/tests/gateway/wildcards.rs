//! Hosts that stand for many.

use crate::support::{App, Edge, certificate, get, http2, nothing, read, route, spec, tls};
use hyper::Request;
use tokio::task::JoinSet;

#[tokio::test]
async fn a_wildcard_answers_for_one_label_and_tells_the_app_which() {
    let (any, own) = (App::mirror().await, App::saying("own").await);
    let mut tenants = route("tenants", &[any.address]);
    tenants.hosts = vec!["*.app.test".to_owned()];
    let edge = Edge::new(&spec(vec![tenants, route("own.app.test", &[own.address])]));
    assert!(get(edge.http, "a.app.test", "/").await.contains("host: a.app.test\n"));
    assert!(get(edge.http, "own.app.test", "/").await.ends_with("own"));
    for host in ["app.test", "a.b.app.test"] {
        assert!(get(edge.http, host, "/").await.starts_with("HTTP/1.1 404"), "{host}");
    }
}

#[tokio::test]
async fn one_connection_carries_requests_for_all_names_of_a_wildcard_certificate() {
    let app = App::mirror().await;
    let mut tenants = route("tenants", &[app.address]);
    tenants.hosts = vec!["*.app.test".to_owned()];
    tenants.https_only = true;
    let mut wanted = spec(vec![tenants]);
    wanted.certificates.push(certificate(&["*.app.test"]));
    let edge = Edge::new(&wanted);
    let stream = tls(edge.https, "a.app.test", &[&wanted.certificates[0]], &["h2"]).await.expect("handshake");
    let mut tasks = JoinSet::new();
    let mut client = http2(stream, &mut tasks).await;
    for host in ["a.app.test", "b.app.test"] {
        let request = Request::get(format!("https://{host}/")).body(nothing()).expect("request");
        let answer = client.send_request(request).await.expect("answer");
        assert!(read(answer).await.contains(&format!("host: {host}\n")));
    }
    let redirect = get(edge.http, "b.app.test", "/x").await;
    assert!(redirect.contains("location: https://b.app.test:8443/x\r\n"), "{redirect}");
}
