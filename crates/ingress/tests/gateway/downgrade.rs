//! What a request over HTTP/2 could carry into HTTP/1.1, where it would mean something else (RFC 9113 sections 8.2 and
//! 10.3, `PortSwigger`'s "HTTP/2: the sequel is always worse").

use std::time::Duration;

use crate::recorder::Recorder;
use crate::smuggling::SMUGGLED;
use crate::support::{Edge, certificate, route, spec, tls};
use crate::wire::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, Wire, field, frame};

fn pseudo(method: &str, path: &str, authority: &str) -> Vec<u8> {
    [
        field(":method", method.as_bytes()),
        field(":scheme", b"https"),
        field(":path", path.as_bytes()),
        field(":authority", authority.as_bytes()),
    ]
    .concat()
}

/// A request over HTTP/2: the header block, and what follows it.
struct Http2 {
    name: &'static str,
    block: Vec<u8>,
    data: Option<&'static [u8]>,
    trailers: Option<Vec<u8>>,
}

fn http2(name: &'static str, block: Vec<u8>) -> Http2 {
    Http2 { name, block, data: None, trailers: None }
}

fn with(name: &'static str, field_name: &str, value: &[u8]) -> Http2 {
    http2(name, [pseudo("GET", "/", "a.test"), field(field_name, value)].concat())
}

/// Whether it was answered with 200; `None` when it was refused.
async fn ask(
    edge: &Edge,
    trusted: &std::sync::Arc<protocol::spec::Certificate>,
    request: &Http2,
) -> Option<()> {
    let stream = tls(edge.https, "a.test", &[trusted], &["h2"]).await.expect("handshake");
    let mut wire = Wire::open(stream, &[]).await;
    let ends = request.data.is_none() && request.trailers.is_none();
    let flags = END_HEADERS | if ends { END_STREAM } else { 0 };
    wire.send(&frame(HEADERS, flags, 1, &request.block)).await;
    if let Some(data) = request.data {
        let flags = if request.trailers.is_none() { END_STREAM } else { 0 };
        wire.send(&frame(DATA, flags, 1, data)).await;
    }
    if let Some(trailers) = &request.trailers {
        wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, trailers)).await;
    }
    let answered = wire.wait(|frame| match frame.kind {
        // 0x88 is `:status: 200` in HPACK's static table.
        HEADERS => Some(frame.payload.first() == Some(&0x88)),
        RST_STREAM | GOAWAY => Some(false),
        _ => None,
    });
    answered.await.filter(|passed| *passed).map(|_| ())
}

fn fields() -> Vec<Http2> {
    vec![
        with("CR LF in a value", "x", b"1\r\ntransfer-encoding: chunked"),
        with("LF in a value", "x", b"1\ntransfer-encoding: chunked"),
        with("CR in a value", "x", b"1\rx: 2"),
        with("NUL in a value", "x", b"1\x002"),
        with("CR LF in a name", "x\r\ny", b"1"),
        with("colon in a name", "x: 1\r\ny", b"1"),
        with("space in a name", "x y", b"1"),
        with("upper case in a name", "X", b"1"),
        with("empty name", "", b"1"),
        with("transfer-encoding", "transfer-encoding", b"chunked"),
        with("connection", "connection", b"close"),
        with("keep-alive", "keep-alive", b"1"),
        with("proxy-connection", "proxy-connection", b"close"),
        with("upgrade", "upgrade", b"h2c"),
        with("te other than trailers", "te", b"gzip"),
        with("another host", "host", b"b.test"),
        with("host with a path", "host", b"a.test/x"),
        with("unknown pseudo header", ":x", b"1"),
        with("second path", ":path", b"/x"),
        with("second authority", ":authority", b"a.test"),
        with("second method", ":method", b"POST"),
        with("status in a request", ":status", b"200"),
    ]
}

fn pseudo_headers() -> Vec<Http2> {
    vec![
        http2("pseudo header after others", [field("x", b"1"), pseudo("GET", "/", "a.test")].concat()),
        http2("space in the path", pseudo("GET", "/ HTTP/1.1\r\nx: 1", "a.test")),
        http2("path with a bare space", pseudo("GET", "/a b", "a.test")),
        http2("empty path", pseudo("GET", "", "a.test")),
        http2("path without slash", pseudo("GET", "x", "a.test")),
        http2("asterisk", pseudo("OPTIONS", "*", "a.test")),
        http2("path that is an address", pseudo("GET", "http://b.test/", "a.test")),
        http2("method with more", pseudo("GET / HTTP/1.1\r\nx: 1", "/", "a.test")),
        http2("method with a space", pseudo("GET x", "/", "a.test")),
        http2("empty method", pseudo("", "/", "a.test")),
        http2("authority with more", pseudo("GET", "/", "a.test\r\nx: 1")),
        http2("authority with a user", pseudo("GET", "/", "x@a.test")),
        http2("authority with a path", pseudo("GET", "/", "a.test/x")),
        http2("two authorities in one", pseudo("GET", "/", "a.test,b.test")),
        http2("connect", [field(":method", b"CONNECT"), field(":authority", b"a.test:443")].concat()),
        http2(
            "no method",
            [field(":scheme", b"https"), field(":path", b"/"), field(":authority", b"a.test")].concat(),
        ),
        http2(
            "no path",
            [field(":method", b"GET"), field(":scheme", b"https"), field(":authority", b"a.test")].concat(),
        ),
        http2(
            "no host at all",
            [field(":method", b"GET"), field(":scheme", b"https"), field(":path", b"/")].concat(),
        ),
    ]
}

fn lengths() -> Vec<Http2> {
    let post =
        |length: &str| [pseudo("POST", "/", "a.test"), field("content-length", length.as_bytes())].concat();
    vec![
        http2("a length and no body", post("4")),
        http2("a length that is none", post("x")),
        http2("two lengths", [post("4"), field("content-length", b"5")].concat()),
        Http2 { name: "body longer than its length", block: post("4"), data: Some(b"body!"), trailers: None },
        Http2 { name: "body shorter than its length", block: post("4"), data: Some(b"bod"), trailers: None },
        Http2 {
            name: "body and length 0",
            block: post("0"),
            data: Some(SMUGGLED.as_bytes()),
            trailers: None,
        },
        Http2 {
            name: "CR LF in trailers",
            block: pseudo("POST", "/", "a.test"),
            data: Some(b"body"),
            trailers: Some(field("x", b"1\r\n\r\nGET / HTTP/1.1")),
        },
    ]
}

#[tokio::test]
async fn what_http2_could_carry_into_http1_is_refused() {
    let app = Recorder::start().await;
    let mut wanted = spec(vec![route("a.test", &[app.address])]);
    wanted.certificates.push(certificate(&["a.test"]));
    let edge = Edge::new(&wanted);
    for request in fields().iter().chain(&pseudo_headers()).chain(&lengths()) {
        assert_eq!(ask(&edge, &wanted.certificates[0], request).await, None, "{}", request.name);
        tokio::time::sleep(Duration::from_millis(5)).await;
        let (whole, _) = app.take();
        assert!(whole.is_empty(), "{}: {whole:?}", request.name);
    }
    // The same client without the mutation is served.
    assert_eq!(
        ask(&edge, &wanted.certificates[0], &http2("plain", pseudo("GET", "/", "a.test"))).await,
        Some(())
    );
    let announced = [pseudo("POST", "/", "a.test"), field("trailer", b"x, content-length")].concat();
    let trailers = [field("x", b"1"), field("content-length", b"9")].concat();
    let request = Http2 { name: "trailers", block: announced, data: Some(b"body"), trailers: Some(trailers) };
    assert_eq!(ask(&edge, &wanted.certificates[0], &request).await, Some(()));
    // A pseudo header in trailers is read by nobody.
    let trailers = Some(field(":path", b"/smuggled"));
    let block = pseudo("POST", "/", "a.test");
    let request = Http2 { name: "pseudo header in trailers", block, data: Some(b"body"), trailers };
    assert_eq!(ask(&edge, &wanted.certificates[0], &request).await, Some(()));
    let (whole, more) = app.take();
    assert_eq!(whole.len(), 3);
    assert!(
        whole[2].ends_with("\r\n\r\n4\r\nbody\r\n0\r\n\r\n") && !whole[2].contains("smuggled"),
        "{}",
        whole[2]
    );
    assert!(whole[1].ends_with("\r\n\r\n4\r\nbody\r\n0\r\nx: 1\r\n\r\n"), "{}", whole[1]);
    assert!(!more);
}
