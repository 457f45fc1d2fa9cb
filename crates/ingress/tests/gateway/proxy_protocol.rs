//! Connections that a load balancer passes on with the PROXY protocol.

use std::time::Duration;

use ingress::Options;
use protocol::spec::ProxySpec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{App, Edge, certificate, get, route, spec, tls_on};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const REQUEST: &str = "GET / HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n";

fn edge(trusted: &str, wanted: &ProxySpec) -> Edge {
    let mut options =
        Options { proxy_protocol: vec![trusted.parse().expect("network")], ..Options::default() };
    options.limits.connections_per_client = 2;
    options.limits.head_timeout = Duration::from_millis(500);
    Edge::with(options, wanted)
}

fn v2(rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [SIGNATURE, &[0x21, 0x11], &length, rest].concat()
}

async fn send(edge: &Edge, pieces: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(edge.http).await.expect("connect");
    stream.set_nodelay(true).expect("option");
    for piece in pieces {
        if stream.write_all(piece).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn the_address_that_a_trusted_sender_names_is_the_clients() {
    let app = App::mirror().await;
    let edge = edge("127.0.0.0/8", &spec(vec![route("app.test", &[app.address])]));
    let line = b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n";
    let request = REQUEST.as_bytes();
    let binary = v2(&[192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80]);
    for pieces in [
        &[&[&line[..], request].concat()[..]][..],
        &[&line[..9], &line[9..20], &line[20..], request],
        &[&[&binary[..], request].concat()],
        &[&binary[..5], &binary[5..15], &binary[15..20], &binary[20..], request],
    ] {
        let answer = send(&edge, pieces).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{pieces:?}: {answer}");
        assert!(answer.contains("\nx-forwarded-for: 192.0.2.7\n"), "{answer}");
        assert!(answer.contains("\nx-forwarded-proto: http\n"), "{answer}");
        assert!(answer.contains("\nforwarded: for=192.0.2.7;proto=http\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_client_whose_tls_ended_at_the_balancer_is_not_sent_to_https_again() {
    let app = App::mirror().await;
    let mut only = route("app.test", &[app.address]);
    only.https_only = true;
    let mut wanted = spec(vec![only]);
    wanted.certificates.push(certificate(&["app.test"]));
    let edge = edge("127.0.0.0/8", &wanted);
    let ssl = [0x20, 0, 5, 0x01, 0, 0, 0, 0];
    let plain = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80];
    let answer = send(&edge, &[&v2(&[&plain[..], &ssl].concat()), REQUEST.as_bytes()]).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("\nx-forwarded-proto: https\n"),
        "{answer}"
    );
    let answer = send(&edge, &[&v2(&plain), REQUEST.as_bytes()]).await;
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
}

#[tokio::test]
async fn tls_follows_the_header_untouched() {
    let app = App::mirror().await;
    let mut wanted = spec(vec![route("app.test", &[app.address])]);
    wanted.certificates.push(certificate(&["app.test"]));
    let edge = edge("127.0.0.0/8", &wanted);
    let mut stream = TcpStream::connect(edge.https).await.expect("connect");
    stream.write_all(b"PROXY TCP6 2001:db8::7 2001:db8::1 1 443\r\n").await.expect("header");
    let mut stream = tls_on(stream, "app.test", &[&wanted.certificates[0]], &[])
        .await
        .expect("handshake after the header");
    stream.write_all(REQUEST.as_bytes()).await.expect("send");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.contains("\nx-forwarded-for: 2001:db8::7\n"), "{answer}");
    assert!(answer.contains("\nforwarded: for=\"[2001:db8::7]\";proto=https\n"), "{answer}");
}

#[tokio::test]
async fn a_trusted_sender_without_a_header_is_not_served() {
    let app = App::mirror().await;
    let edge = edge("127.0.0.0/8", &spec(vec![route("app.test", &[app.address])]));
    for nonsense in [REQUEST, "PROXY TCP4 192.0.2.7\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2"] {
        let begun = std::time::Instant::now();
        assert_eq!(send(&edge, &[nonsense.as_bytes()]).await, "", "{nonsense:?}");
        assert!(begun.elapsed() < Duration::from_secs(2), "ended, not left open");
    }
}

#[tokio::test]
async fn nobody_else_can_claim_an_address() {
    let app = App::mirror().await;
    let edge = edge("192.0.2.0/24", &spec(vec![route("app.test", &[app.address])]));
    let line = format!("PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n{REQUEST}");
    let answer = send(&edge, &[line.as_bytes()]).await;
    assert!(answer.starts_with("HTTP/1.1 400") && !answer.contains("200 OK"), "{answer}");
    let answer = get(edge.http, "app.test", "/").await;
    assert!(answer.contains("\nx-forwarded-for: 127.0.0.1\n"), "{answer}");
}

#[tokio::test]
async fn clients_are_counted_by_their_own_address_and_the_balancers_checks_by_none() {
    let app = App::mirror().await;
    let edge = edge("127.0.0.0/8", &spec(vec![route("app.test", &[app.address])]));
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(edge.http).await.expect("connect");
        stream.write_all(b"PROXY TCP4 192.0.2.7 10.0.0.1 1 80\r\n").await.expect("header");
        held.push(stream);
    }
    let ask = async |header: &[u8]| send(&edge, &[header, REQUEST.as_bytes()]).await;
    assert_eq!(ask(b"PROXY TCP4 192.0.2.7 10.0.0.1 1 80\r\n").await, "", "one too many");
    assert!(ask(b"PROXY TCP4 192.0.2.8 10.0.0.1 1 80\r\n").await.starts_with("HTTP/1.1 200"));
    for _ in 0..3 {
        let mut stream = TcpStream::connect(edge.http).await.expect("connect");
        stream.write_all(b"PROXY UNKNOWN\r\n").await.expect("header");
        held.push(stream);
    }
    assert!(ask(b"PROXY UNKNOWN\r\n").await.starts_with("HTTP/1.1 200"));
}
