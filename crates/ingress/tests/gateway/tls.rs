//! HTTPS through the gateway: names, versions, HTTP/2.

use crate::support::{App, Edge, certificate, http2, nothing, read, route, spec, text, tls, tls_by};
use hyper::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

#[tokio::test]
async fn http2_reaches_the_app_as_http1_with_its_body() {
    let app = App::mirror().await;
    let mut wanted = spec(vec![route("app.test", &[app.address])]);
    wanted.certificates.push(certificate(&["app.test"]));
    let edge = Edge::new(&wanted);
    let stream = tls(edge.https, "app.test", &[&wanted.certificates[0]], &["h2", "http/1.1"])
        .await
        .expect("handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(stream.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let mut tasks = JoinSet::new();
    let mut client = http2(stream, &mut tasks).await;
    for _ in 0..3 {
        let request = Request::post("https://app.test/x")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .body(text("body"));
        let response = client.send_request(request.expect("request")).await.expect("answer");
        assert_eq!(response.status(), StatusCode::OK);
        let seen = read(response).await;
        for part in [
            "POST /x HTTP/1.1\n",
            "host: app.test\n",
            "x-forwarded-proto: https\n",
            "cookie: a=1; b=2\n",
            "\nbody",
        ] {
            assert!(seen.contains(part), "{part:?} is missing in {seen}");
        }
    }
}

#[tokio::test]
async fn aes_128_is_chosen_unless_the_client_has_no_aes_in_its_processor() {
    use rustls::CipherSuite::{
        TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
    };

    let mut wanted = spec(vec![]);
    wanted.certificates.push(certificate(&["app.test"]));
    let edge = Edge::new(&wanted);
    for (named, chosen) in [
        ([TLS13_AES_256_GCM_SHA384, TLS13_AES_128_GCM_SHA256], TLS13_AES_128_GCM_SHA256),
        ([TLS13_CHACHA20_POLY1305_SHA256, TLS13_AES_128_GCM_SHA256], TLS13_CHACHA20_POLY1305_SHA256),
        ([TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256], TLS13_AES_256_GCM_SHA384),
    ] {
        let all = rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES;
        let of = |name: &_| *all.iter().find(|suite| suite.suite() == *name).expect("known");
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.cipher_suites = named.iter().map(of).collect();
        let stream = tokio::net::TcpStream::connect(edge.https).await.expect("connect");
        let stream = tls_by(provider, stream, "app.test", &[&wanted.certificates[0]], &[]).await;
        let stream = stream.expect("handshake");
        let suite = stream.get_ref().1.negotiated_cipher_suite().expect("a suite").suite();
        assert_eq!(suite, chosen, "of {named:?}");
    }
}

#[tokio::test]
async fn a_name_without_certificate_is_refused_with_unrecognized_name() {
    let mut wanted = spec(vec![]);
    wanted.certificates.push(certificate(&["app.test"]));
    let edge = Edge::new(&wanted);
    let error = tls(edge.https, "other.test", &[&wanted.certificates[0]], &[]).await.unwrap_err();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
}

#[tokio::test]
async fn a_new_certificate_is_used_by_the_next_handshake() {
    let app = App::saying("hello").await;
    let mut wanted = spec(vec![route("app.test", &[app.address])]);
    wanted.certificates.push(certificate(&["app.test"]));
    let edge = Edge::new(&wanted);
    let first = wanted.certificates[0].clone();
    tls(edge.https, "app.test", &[&first], &[]).await.expect("the first certificate");
    wanted.certificates[0] = certificate(&["app.test"]);
    assert_eq!(edge.gateway.apply(&wanted), []);
    tls(edge.https, "app.test", &[&first], &[]).await.expect_err("the first is gone");
    let mut stream = tls(edge.https, "app.test", &[&wanted.certificates[0]], &[]).await.expect("the second");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n").await.expect("send");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn a_connection_for_one_name_carries_no_request_for_a_name_of_another_certificate() {
    let app = App::saying("hello").await;
    let mut wanted = spec(vec![
        route("a.test", &[app.address]),
        route("b.test", &[app.address]),
        route("c.test", &[app.address]),
    ]);
    wanted.certificates.push(certificate(&["a.test", "b.test"]));
    wanted.certificates.push(certificate(&["c.test"]));
    let edge = Edge::new(&wanted);
    let stream = tls(edge.https, "a.test", &[&wanted.certificates[0]], &["h2"]).await.expect("handshake");
    let mut tasks = JoinSet::new();
    let mut client = http2(stream, &mut tasks).await;
    for (host, status) in [("a.test", 200), ("b.test", 200), ("c.test", 421)] {
        let request = Request::get(format!("https://{host}/")).body(nothing()).expect("request");
        let response = client.send_request(request).await.expect("answer");
        assert_eq!(response.status(), status, "{host}");
    }
}
