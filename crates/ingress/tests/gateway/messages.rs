//! Messages out of the ordinary: trailers, interim answers, answers without a body, answers before the body, old
//! clients, web sockets over HTTP/2.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::recorder::Recorder;
use crate::support::{App, Body, Edge, certificate, http2, nothing, raw, read, route, spec, text, tls};

/// An app that reads one head and answers with `says`, byte by byte as it stands.
struct Literal {
    address: std::net::SocketAddr,
    _tasks: JoinSet<()>,
}

impl Literal {
    async fn start(says: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("free port");
        let address = listener.local_addr().expect("address");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(says.as_bytes()).await;
            }
        });
        Self { address, _tasks: tasks }
    }
}

async fn through(says: &'static str, request: &str) -> String {
    let app = Literal::start(says).await;
    let edge = Edge::new(&spec(vec![route("app.test", &[app.address])]));
    raw(edge.http, request).await
}

const GET: &str = "GET / HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn trailers_pass_over_http1_to_clients_that_take_them() {
    let says = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum, content-length\r\n\r\n\
                4\r\nbody\r\n0\r\nx-sum: 7\r\ncontent-length: 9\r\n\r\n";
    let takes = "GET / HTTP/1.1\r\nhost: app.test\r\nte: trailers\r\nconnection: close, te\r\n\r\n";
    let answer = through(says, takes).await;
    assert!(answer.ends_with("\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 7\r\n\r\n"), "{answer}");
    let answer = through(says, GET).await;
    assert!(answer.ends_with("\r\n\r\n4\r\nbody\r\n0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn announced_trailers_of_a_request_reach_the_app() {
    let app = Recorder::start().await;
    let edge = Edge::new(&spec(vec![route("app.test", &[app.address])]));
    let request = "POST / HTTP/1.1\r\nhost: app.test\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                   4\r\nbody\r\n0\r\nx-sum: 7\r\nx-forwarded-for: 6.6.6.6\r\ntransfer-encoding: gzip\r\n\r\n";
    assert!(raw(edge.http, request).await.starts_with("HTTP/1.1 200"));
    let (whole, _) = app.take();
    assert!(whole[0].ends_with("\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 7\r\n\r\n"), "{}", whole[0]);
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_it_when_the_app_takes_the_body() {
    let app = App::mirror().await;
    let edge = Edge::new(&spec(vec![route("app.test", &[app.address])]));
    let mut stream = TcpStream::connect(edge.http).await.expect("connect");
    let head = "POST / HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("head");
    let mut interim = [0; 25];
    tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut interim))
        .await
        .expect("100")
        .expect("read");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").await.expect("body");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\nbody"), "{answer}");
    assert!(!answer.contains("expect:"), "answered here, not asked again: {answer}");
}

#[tokio::test]
async fn a_client_that_waits_for_100_and_has_no_app_gets_the_final_answer_alone() {
    let edge = Edge::new(&spec(vec![route("app.test", &[])]));
    for (host, status) in [("app.test", "503"), ("nobody.test", "404")] {
        let request =
            format!("POST / HTTP/1.1\r\nhost: {host}\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n");
        let begun = std::time::Instant::now();
        let answer = raw(edge.http, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(!answer.contains("100 Continue"), "{answer}");
        assert!(begun.elapsed() < Duration::from_secs(4), "closed, as its body was not read: {answer}");
    }
}

#[tokio::test]
async fn an_answer_before_the_body_was_read_is_not_lost() {
    let says = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig";
    for expects in ["", "expect: 100-continue\r\n"] {
        let app = Literal::start(says).await;
        let edge = Edge::new(&spec(vec![route("app.test", &[app.address])]));
        let stream = TcpStream::connect(edge.http).await.expect("connect");
        let (mut incoming, mut out) = stream.into_split();
        let head = format!("POST / HTTP/1.1\r\nhost: app.test\r\n{expects}content-length: 100000000\r\n\r\n");
        let sending = async {
            out.write_all(head.as_bytes()).await?;
            loop {
                out.write_all(&[7; 16 * 1024]).await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let mut answer = Vec::new();
        let reading = async {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = incoming.read(&mut buffer).await {
                answer.extend_from_slice(&buffer[..read]);
                if answer.ends_with(b"big") {
                    break;
                }
            }
        };
        let both = async {
            let sending: std::io::Result<()> = tokio::select! {
                sent = sending => sent,
                () = reading => Ok(()),
            };
            sending
        };
        let _ = tokio::time::timeout(Duration::from_secs(10), both).await.expect("does not hang");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains("HTTP/1.1 413") && answer.ends_with("big"), "{expects:?}: {answer}");
    }
}

#[tokio::test]
async fn interim_answers_of_the_app_are_dropped() {
    let says = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
                HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let answer = through(says, GET).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nok"), "{answer}");
}

#[tokio::test]
async fn answers_without_a_body_have_none_whatever_their_length_says() {
    let head = GET.replace("GET", "HEAD");
    for (says, request) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", &head[..]),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", &head),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 1000\r\netag: \"x\"\r\n\r\n", GET),
        ("HTTP/1.1 204 No Content\r\n\r\n", GET),
    ] {
        let answer = through(says, request).await;
        assert!(answer.starts_with(&says[..12]), "{says:?}: {answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{says:?}: {answer}");
        let whole = request == head && says.contains("1000");
        assert_eq!(answer.contains("content-length: 1000"), whole, "{says:?}: {answer}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_arrives_whole_and_one_cut_short_does_not_look_whole() {
    let answer = through("HTTP/1.1 200 OK\r\n\r\nto the end", GET).await;
    assert!(answer.ends_with("A\r\nto the end\r\n0\r\n\r\n"), "{answer}");
    let answer = through("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ncut", GET).await;
    assert!(answer.contains("content-length: 100") && answer.ends_with("\r\n\r\ncut"), "{answer}");
    let answer = through("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\ncut\r\n", GET).await;
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn answers_of_the_app_with_more_than_one_reading_are_not_passed_on() {
    for says in [
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nbody!",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nbody",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\nbody",
        "HTTP/1.1 200 OK\r\nx : 1\r\n\r\nbody",
        "HTTP/1.1 200 OK\r\nx: 1\r\n folded\r\n\r\nbody",
        "HTTP/3.0 200 OK\r\n\r\nbody",
        "HELLO\r\n\r\n",
    ] {
        let answer = through(says, GET).await;
        assert!(answer.starts_with("HTTP/1.1 502"), "{says:?}: {answer}");
    }
}

#[tokio::test]
async fn clients_of_http_1_0_get_no_chunks_and_may_keep_their_connection() {
    let says = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    let answer = through(says, "GET / HTTP/1.0\r\nhost: app.test\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("\r\n\r\nbody"), "{answer}");
    assert!(!answer.contains("transfer-encoding"), "{answer}");
    let app = App::saying("hello").await;
    let edge = Edge::new(&spec(vec![route("app.test", &[app.address])]));
    let kept = "GET / HTTP/1.0\r\nhost: app.test\r\nconnection: keep-alive\r\n\r\n".repeat(2);
    let last = "GET / HTTP/1.0\r\nhost: app.test\r\n\r\n";
    let answer = raw(edge.http, &(kept + last)).await;
    assert_eq!(answer.matches("200 OK").count(), 3, "{answer}");
}

/// A `WebSocket` app that echoes bytes once it has upgraded, or says no.
async fn echo(willing: bool) -> App {
    App::start(move |mut request| async move {
        if !willing {
            return Response::new(text("no sockets here"));
        }
        let asked = ["upgrade", "connection", "sec-websocket-version"]
            .map(|name| request.headers().get(name).cloned());
        let keyed = request.headers().get("sec-websocket-key").is_some_and(|key| key.len() == 24);
        assert!(keyed && asked.iter().all(Option::is_some), "{asked:?}");
        let upgrading = hyper::upgrade::on(&mut request);
        // The app's own task in this test.
        #[expect(clippy::disallowed_methods, reason = "ends with the connection")]
        tokio::spawn(async move {
            let mut io = hyper_util::rt::TokioIo::new(upgrading.await.expect("upgrade"));
            let mut buffer = [0; 1024];
            while let Ok(read @ 1..) = io.read(&mut buffer).await {
                if io.write_all(&buffer[..read]).await.is_err() {
                    break;
                }
            }
        });
        Response::builder()
            .status(101)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-accept", "x")
            .header("sec-websocket-protocol", "chat")
            .body(nothing())
            .expect("answer")
    })
    .await
}

#[tokio::test]
async fn a_websocket_comes_over_http2_too() {
    let (willing, unwilling) = (echo(true).await, echo(false).await);
    let mut wanted = spec(vec![route("a.test", &[willing.address]), route("b.test", &[unwilling.address])]);
    wanted.certificates.push(certificate(&["a.test", "b.test"]));
    let edge = Edge::new(&wanted);
    let stream = tls(edge.https, "a.test", &[&wanted.certificates[0]], &["h2"]).await.expect("handshake");
    let mut tasks = JoinSet::new();
    let mut client = http2(stream, &mut tasks).await;
    let plain = hyper::Request::get("https://b.test/").body(nothing()).expect("request");
    assert_eq!(client.send_request(plain).await.expect("answer").status(), 200);
    let connect = |host: &str| {
        hyper::Request::builder()
            .method("CONNECT")
            .uri(format!("https://{host}/chat?x=1"))
            .extension(hyper::ext::Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .header("sec-websocket-protocol", "chat")
            .body::<Body>(nothing())
            .expect("request")
    };
    let refused = client.send_request(connect("b.test")).await.expect("answer");
    assert_eq!(refused.status(), 502, "a success would open the stream");
    assert!(read(refused).await.contains("did not open"));
    let mut response = client.send_request(connect("a.test")).await.expect("answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    assert!(!response.headers().contains_key("sec-websocket-accept"));
    let upgraded = hyper::upgrade::on(&mut response).await.expect("stream");
    let mut io = hyper_util::rt::TokioIo::new(upgraded);
    for message in [&b"hello"[..], b"again"] {
        io.write_all(message).await.expect("send");
        let mut back = [0; 5];
        tokio::time::timeout(Duration::from_secs(5), io.read_exact(&mut back))
            .await
            .expect("echo")
            .expect("read");
        assert_eq!(back, message);
    }
    let other = hyper::Request::get("https://b.test/").body(nothing()).expect("request");
    let answer = client.send_request(other).await.expect("requests go on beside it");
    assert_eq!(answer.into_body().collect().await.expect("body").to_bytes(), "no sockets here");
}
