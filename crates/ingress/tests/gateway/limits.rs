//! Clients that are slow, or many connections of one.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use ingress::Options;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{App, Edge, get, route, spec};

fn options() -> Options {
    let mut options = Options { upstream_timeout: Duration::from_secs(4), ..Options::default() };
    options.limits.head_timeout = Duration::from_millis(500);
    options.limits.download_stall = Duration::from_secs(1);
    options.limits.connections_per_client = 8;
    options
}

#[tokio::test]
async fn a_head_that_does_not_end_is_not_waited_for() {
    let app = App::saying("hello").await;
    let edge = Edge::with(options(), &spec(vec![route("app.test", &[app.address])]));
    let mut slow = TcpStream::connect(edge.http).await.expect("connect");
    slow.write_all(b"GET / HTTP/1.1\r\nhost: app.test\r\n").await.expect("send");
    let begun = Instant::now();
    // A field now and then does not make it longer.
    while slow.write_all(b"x-more: 1\r\n").await.is_ok() && begun.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(get(edge.http, "app.test", "/").await.ends_with("hello"));
}

#[tokio::test]
async fn one_client_has_its_connections_and_no_more() {
    let app = App::saying("hello").await;
    let mut options = options();
    options.limits.head_timeout = Duration::from_secs(5);
    let edge = Edge::with(options, &spec(vec![route("app.test", &[app.address])]));
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(TcpStream::connect(edge.http).await.expect("connect"));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(get(edge.http, "app.test", "/").await, "", "the ninth is closed");
    held.pop();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(get(edge.http, "app.test", "/").await.ends_with("hello"), "a place is free again");
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up_on() {
    let app = App::mirror().await;
    let edge = Edge::with(options(), &spec(vec![route("app.test", &[app.address])]));
    let stream = TcpStream::connect(edge.http).await.expect("connect");
    let (mut incoming, mut out) = stream.into_split();
    let head = "POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 100000\r\n\r\n";
    out.write_all(head.as_bytes()).await.expect("head");
    let trickle = async {
        while out.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let mut answer = String::new();
    let begun = Instant::now();
    tokio::select! {
        () = trickle => {}
        _ = incoming.read_to_string(&mut answer) => {}
        () = tokio::time::sleep(Duration::from_secs(25)) => panic!("still waited for"),
    }
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(begun.elapsed() > Duration::from_secs(9), "not before it is clear: {:?}", begun.elapsed());
}

#[tokio::test]
async fn an_answer_that_is_not_taken_is_cut_and_one_that_is_quiet_is_not() {
    let app = App::start(|request| async move {
        if request.uri().path() == "/quiet" {
            let events = futures_util::stream::unfold(0, |count| async move {
                if count == 2 {
                    return None;
                }
                tokio::time::sleep(Duration::from_secs(2)).await;
                Some((Ok(Frame::data(Bytes::from(format!("data: {count}\n\n")))), count + 1))
            });
            return Response::new(BodyExt::boxed(StreamBody::new(events)));
        }
        let piece = Bytes::from(vec![7; 65_536]);
        let pieces = (0..4096).map(move |_| Ok(Frame::data(piece.clone())));
        Response::new(BodyExt::boxed(StreamBody::new(futures_util::stream::iter(pieces))))
    })
    .await;
    let edge = Edge::with(options(), &spec(vec![route("app.test", &[app.address])]));
    let mut stalled = TcpStream::connect(edge.http).await.expect("connect");
    stalled.write_all(b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n").await.expect("send");
    let quiet = get(edge.http, "app.test", "/quiet").await;
    assert!(quiet.contains("data: 1"), "server-sent events may take their time: {quiet}");
    let mut total = 0;
    let mut buffer = vec![0; 256 * 1024];
    while let Ok(read @ 1..) = stalled.read(&mut buffer).await {
        total += read;
    }
    assert!(total < 4096 * 65_536, "the connection was closed with {total} bytes on their way");
    assert_eq!(edge.drain.open(), 0);
}

#[tokio::test]
async fn limits_of_the_head_are_settings() {
    let mut options = options();
    (options.limits.headers, options.limits.header_bytes) = (200, 64 * 1024);
    let edge = Edge::with(options, &spec(vec![]));
    let ask = async |headers: String| {
        let request = format!("GET / HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n{headers}\r\n");
        crate::support::raw(edge.http, &request).await
    };
    assert!(ask("x-a: 1\r\n".repeat(150)).await.starts_with("HTTP/1.1 404"));
    assert!(ask(format!("x-a: {}\r\n", "a".repeat(50_000))).await.starts_with("HTTP/1.1 404"));
    assert!(ask("x-a: 1\r\n".repeat(201)).await.starts_with("HTTP/1.1 431"));
    assert!(ask(format!("x-a: {}\r\n", "a".repeat(70_000))).await.starts_with("HTTP/1.1 431"));
}
