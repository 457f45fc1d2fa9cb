//! Requests that two readers could read differently, from the published lists: RFC 9112 sections 2, 5, 6 and 7, RFC
//! 9113 section 8, `PortSwigger`'s desync research, the HTTP Garden's and smuggler's mutations, and advisories of other
//! servers. Each is refused, or the app gets exactly one message that has one reading.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::recorder::Recorder;
use crate::support::{Edge, route, spec};

/// What follows a request that would be another one to a wrong reader.
pub(crate) const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: a.test\r\n\r\n";
const FORWARDED: &str = "x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: a.test\r\n\
                         forwarded: for=127.0.0.1;proto=http\r\n";

/// All that came back until the connection was closed; `None` if it was left open.
async fn exchange(edge: &Edge, request: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(edge.http).await.expect("connect");
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut answer)).await.is_ok();
    ended.then(|| String::from_utf8_lossy(&answer).into_owned())
}

async fn setup() -> (Recorder, Edge) {
    let app = Recorder::start().await;
    let edge = Edge::new(&spec(vec![route("a.test", &[app.address])]));
    (app, edge)
}

fn one_error(answer: &str) -> bool {
    let statuses = answer.matches("HTTP/1.").count();
    let refused = answer.get(8..10).is_some_and(|part| part.starts_with(" 4"));
    statuses == 1 && refused && answer.to_ascii_lowercase().contains("connection: close")
}

/// Request lines and fields, without the empty line.
const HEADS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test\r\nhost: b.test\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test\r\nHost: a.test\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test, b.test\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test/x\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test@b.test\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test:80:80\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test#\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test%00\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test b.test\r\n",
    b"GET / HTTP/1.1\r\nhost: [::1\r\n",
    b"GET / HTTP/1.1\r\nhost:\r\n",
    b"GET http://b.test/ HTTP/1.1\r\nhost: a.test\r\n",
    b"GET http://a.test@b.test/ HTTP/1.1\r\nhost: a.test\r\n",
    b"CONNECT a.test:443 HTTP/1.1\r\nhost: a.test\r\n",
    b"OPTIONS * HTTP/1.1\r\nhost: a.test\r\n",
    // The request line.
    b" GET / HTTP/1.1\r\nhost: a.test\r\n",
    b"\tGET / HTTP/1.1\r\nhost: a.test\r\n",
    b"GET  / HTTP/1.1\r\nhost: a.test\r\n",
    b"GET /  HTTP/1.1\r\nhost: a.test\r\n",
    b"GET\t/\tHTTP/1.1\r\nhost: a.test\r\n",
    b"GET /a b HTTP/1.1\r\nhost: a.test\r\n",
    b"GET / HTTP/1.1 \r\nhost: a.test\r\n",
    b"GET / HTTP/1.1x\r\nhost: a.test\r\n",
    b"GET / HTTP/1.2\r\nhost: a.test\r\n",
    b"GET / HTTP/2.0\r\nhost: a.test\r\n",
    b"GET / HTTP/01.1\r\nhost: a.test\r\n",
    b"GET / http/1.1\r\nhost: a.test\r\n",
    b"GET /\r\nhost: a.test\r\n",
    b"G(T / HTTP/1.1\r\nhost: a.test\r\n",
    b"GE\0T / HTTP/1.1\r\nhost: a.test\r\n",
    b"GET /\0 HTTP/1.1\r\nhost: a.test\r\n",
    b"GET /\rx HTTP/1.1\r\nhost: a.test\r\n",
    b"GET / HTTP/1.1\rhost: a.test\r\n",
    // Fields.
    b"GET / HTTP/1.1\r\n host: a.test\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test\r\n folded: 1\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test\r\n\tfolded: 1\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test\r\nx: 1\r\n transfer-encoding: chunked\r\n",
    b"GET / HTTP/1.1\r\nhost : a.test\r\n",
    b"GET / HTTP/1.1\r\nhost\t: a.test\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test\r\nx y: 1\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test\r\nno colon\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test\r\n: no name\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test\r\nx: a\0b\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test\r\nx\0: 1\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test\r\nx: a\rb\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test\r\nx: a\rtransfer-encoding: chunked\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test\r\nx\r: 1\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test\r\nx: a\x7fb\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test\r\nx\xc3\xa9: 1\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test\r\n\x0btransfer-encoding: chunked\r\n",
    // Content-Length.
    b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 4\r\ncontent-length: 5\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\ncontent-length: 44\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 4, 4\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 4, 5\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: +4\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: -4\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0x4\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 4.0\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 4e0\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 4 4\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 4;\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: \"4\"\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: \x0b4\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length:\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 18446744073709551616\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length : 4\r\n",
    // Transfer-Encoding.
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding : chunked\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding\t: chunked\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked, gzip\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: gzip, chunked\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked, chunked\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked, identity\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: identity, chunked\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\ntransfer-encoding: x\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: x\r\ntransfer-encoding: chunked\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: identity\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: xchunked\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunkedx\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: x chunked\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked;q=1\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: \"chunked\"\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: 'chunked'\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: \x0bchunked\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\x0c\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: \xc2\xa0chunked\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding:\r\n chunked\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding:\r\n",
    b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: ,chunked\r\n",
    b"POST / HTTP/1.0\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n",
    b"POST / HTTP/1.0\r\nhost: a.test\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n",
];

#[tokio::test]
async fn heads_with_more_than_one_reading_are_refused_before_the_app_hears_of_them() {
    let (app, edge) = setup().await;
    for line in HEADS {
        let request = [line, &b"\r\n0\r\n\r\n"[..], SMUGGLED.as_bytes()].concat();
        let shown = String::from_utf8_lossy(line);
        let answer = exchange(&edge, &request).await.unwrap_or_else(|| panic!("left open: {shown:?}"));
        assert!(one_error(&answer), "{shown:?}: {answer}");
        let (whole, more) = app.take();
        assert!(whole.is_empty() && !more, "{shown:?} reached the app: {whole:?}");
    }
}

#[tokio::test]
async fn bodies_with_more_than_one_reading_never_become_a_whole_request() {
    let (app, edge) = setup().await;
    let long = format!("4;{}\r\nbody\r\n0\r\n\r\n", "x".repeat(20_000));
    let many = format!("4\r\nbody\r\n0\r\n{}\r\n", "x: 1\r\n".repeat(200));
    let large = format!("4\r\nbody\r\n0\r\nx: {}\r\n\r\n", "x".repeat(40_000));
    for body in [
        "0x4\r\nbody\r\n0\r\n\r\n",
        "-4\r\nbody\r\n0\r\n\r\n",
        "+4\r\nbody\r\n0\r\n\r\n",
        " 4\r\nbody\r\n0\r\n\r\n",
        "\t4\r\nbody\r\n0\r\n\r\n",
        "4 4\r\nbody\r\n0\r\n\r\n",
        "4\0\r\nbody\r\n0\r\n\r\n",
        "4\x0b\r\nbody\r\n0\r\n\r\n",
        "4_0\r\nbody\r\n0\r\n\r\n",
        "4.\r\nbody\r\n0\r\n\r\n",
        "g\r\nbody\r\n0\r\n\r\n",
        "\r\nbody\r\n0\r\n\r\n",
        "10000000000000004\r\nbody\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nbody\r\n0\r\n\r\n",
        "4\nbody\n0\n\n",
        "4\rbody\r0\r\r",
        "4\r\nbody\n0\r\n\r\n",
        "4\r\nbody\r0\r\n\r\n",
        "4\r\nbodybody\r\n0\r\n\r\n",
        "3\r\nbody\r\n0\r\n\r\n",
        "4\r\nbody0\r\n\r\n",
        "4;a\nb\r\nbody\r\n0\r\n\r\n",
        "4;a=\"\n\"\r\nbody\r\n0\r\n\r\n",
        "4;a\rb\r\nbody\r\n0\r\n\r\n",
        "4\r\nbody\r\n0\n\r\n",
        "4\r\nbody\r\n0\r\nno colon\r\n\r\n",
        "4\r\nbody\r\n0\r\nx y: 1\r\n\r\n",
        "4\r\nbody\r\n0\r\nx: a\0b\r\n\r\n",
        &long,
        &many,
        &large,
    ] {
        let shown = &body[..body.len().min(40)];
        let request =
            format!("POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n{body}{SMUGGLED}");
        let answer =
            exchange(&edge, request.as_bytes()).await.unwrap_or_else(|| panic!("left open: {shown:?}"));
        assert!(answer.is_empty() || one_error(&answer), "{shown:?}: {answer}");
        tokio::time::sleep(Duration::from_millis(5)).await;
        let (whole, _) = app.take();
        assert!(whole.is_empty(), "{shown:?} became {whole:?}");
    }
}

#[tokio::test]
async fn what_has_one_reading_arrives_in_its_plainest_form() {
    let (app, edge) = setup().await;
    let close = "connection: close\r\n";
    let get = format!("GET / HTTP/1.1\r\nhost: a.test\r\n{FORWARDED}\r\n");
    let chunked = |body: &str| {
        format!("POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n{FORWARDED}\r\n{body}")
    };
    let sized = format!("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 4\r\n{FORWARDED}\r\nbody");
    let post =
        |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nhost: a.test\r\n{close}{fields}\r\n{body}");
    let te = "transfer-encoding: chunked\r\n";
    let cases: Vec<(String, String)> = vec![
        (format!("\r\n\r\nGET / HTTP/1.1\r\nhost: a.test\r\n{close}\r\n"), get.clone()),
        (format!("GET / HTTP/1.1\nhost: a.test\n{}\n", close.trim_end()) + "\n", get.clone()),
        (format!("GET http://a.test/ HTTP/1.1\r\n{close}\r\n"), get.clone()),
        (format!("GET http://a.test/ HTTP/1.1\r\nhost: a.test\r\n{close}\r\n"), get.clone()),
        (format!("GET / HTTP/1.1\r\nhost:  a.test\t\r\n{close}\r\n"), get.clone()),
        (format!("GET /#x HTTP/1.1\r\nhost: a.test\r\n{close}\r\n"), get.clone()),
        // Framing of another version, disguised or for one connection.
        (format!("GET / HTTP/1.1\r\nhost: a.test\r\n{close}transfer_encoding: chunked\r\n\r\n"), get.clone()),
        (format!("GET / HTTP/1.1\r\nhost: a.test\r\n{close}content_length: 44\r\n\r\n"), get.clone()),
        (format!("GET / HTTP/1.1\r\nhost: a.test\r\n{close}x_forwarded_for: 6.6.6.6\r\nx-forwarded_for: 6.6.6.6\r\n\r\n"), get.clone()),
        (
            "GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close, upgrade, http2-settings\r\nupgrade: h2c\r\n\
             http2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
                .to_owned(),
            get.clone(),
        ),
        // Lengths.
        (post("content-length: 4\r\n", "body"), sized.clone()),
        (post("content-length: 4\r\ncontent-length: 4\r\n", "body"), sized.clone()),
        (post("content-length: 04\r\n", "body"), sized.replace("length: 4", "length: 04")),
        (post("content-length: 4\r\n", &format!("body{SMUGGLED}")), sized),
        // Chunks.
        (post(te, "4\r\nbody\r\n0\r\n\r\n"), chunked("4\r\nbody\r\n0\r\n\r\n")),
        (post("Transfer-Encoding:   CHUNKED \t\r\n", "4\r\nbody\r\n0\r\n\r\n"), chunked("4\r\nbody\r\n0\r\n\r\n")),
        (post(te, "0004\r\nbody\r\n000\r\n\r\n"), chunked("4\r\nbody\r\n0\r\n\r\n")),
        (post(te, "4;a=1;b=\"2\"\r\nbody\r\n0;c\r\n\r\n"), chunked("4\r\nbody\r\n0\r\n\r\n")),
        (post(te, "4 \t\r\nbody\r\n0\r\n\r\n"), chunked("4\r\nbody\r\n0\r\n\r\n")),
        (post(te, "A\r\n0\r\n\r\nGET /\r\n0\r\n\r\n"), chunked("A\r\n0\r\n\r\nGET /\r\n0\r\n\r\n")),
        (post(te, "4\r\nbody\r\n0\r\ncontent-length: 44\r\nhost: b.test\r\nx: 1\r\n\r\n"), chunked("4\r\nbody\r\n0\r\n\r\n")),
        (post(te, &format!("0\r\n\r\n{SMUGGLED}")), chunked("0\r\n\r\n")),
        // Both: the chunks hold, the length goes, and the connection ends.
        (post(&format!("content-length: 4\r\n{te}"), &format!("0\r\n\r\n{SMUGGLED}")), chunked("0\r\n\r\n")),
        (post(&format!("{te}content-length: 99\r\n"), &format!("0\r\n\r\n{SMUGGLED}")), chunked("0\r\n\r\n")),
    ];
    for (request, expected) in cases {
        let answer =
            exchange(&edge, request.as_bytes()).await.unwrap_or_else(|| panic!("left open: {request:?}"));
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1, "{request:?}: {answer}");
        let (whole, more) = app.take();
        let sorted = |text: &str| {
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            let mut fields: Vec<_> = head.split("\r\n").map(str::to_owned).collect();
            fields[1..].sort();
            (fields, body.to_owned())
        };
        assert_eq!(whole.len(), 1, "{request:?}: {whole:?}");
        assert_eq!(sorted(&whole[0]), sorted(&expected), "{request:?}");
        assert!(!more, "{request:?}");
    }
}

#[tokio::test]
async fn requests_in_a_row_stay_apart() {
    let (app, edge) = setup().await;
    let request = "POST /one HTTP/1.1\r\nhost: a.test\r\ncontent-length: 4\r\n\r\nbody\
                   GET /two HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\n\r\n\
                   POST /three HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n\
                   GET /four HTTP/1.1\r\nhost: a.test\r\n\r\n\
                   POST /five HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n4\r\nbody\r\n0\r\n\r\n\
                   GET /six HTTP/1.1\r\nhost: a.test\r\n\r\n";
    let answer = exchange(&edge, request.as_bytes()).await.expect("closed after the fifth");
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 5, "{answer}");
    let (whole, more) = app.take();
    let lines: Vec<_> = whole.iter().map(|request| request.lines().next().unwrap_or_default()).collect();
    assert_eq!(
        lines,
        [
            "POST /one HTTP/1.1",
            "GET /two HTTP/1.1",
            "POST /three HTTP/1.1",
            "GET /four HTTP/1.1",
            "POST /five HTTP/1.1"
        ]
    );
    assert!(!more);
}
