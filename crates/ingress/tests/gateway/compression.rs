//! Text that is compressed on its way.

use std::io::{Read, Write};
use std::time::Duration;

use crate::support::{App, Body, Edge, get, raw, route, spec, text};
use bytes::Bytes;
use flate2::read::GzDecoder;
use flate2::write;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use protocol::spec::Route;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

fn compressed(app: &App) -> Route {
    let mut route = route("app.test", &[app.address]);
    route.options.compress = true;
    route
}

fn html(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", "text/html".parse().expect("value"));
    response.headers_mut().insert("etag", "\"one\"".parse().expect("value"));
    response
}

/// Head and body of an answer over HTTP/1.0, whose body ends with the connection.
async fn gzipped(edge: &Edge) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(edge.http).await.expect("connect");
    let request = b"GET / HTTP/1.0\r\nhost: app.test\r\naccept-encoding: gzip\r\n\r\n";
    stream.write_all(request).await.expect("send");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("answer");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    (String::from_utf8_lossy(&answer[..end]).into_owned(), answer[end..].to_vec())
}

fn page() -> String {
    let lines: Vec<String> = (0..40_000).map(|number| format!("<li>{number}</li>")).collect();
    lines.join("\n")
}

#[tokio::test]
async fn a_page_arrives_smaller_and_whole_for_those_who_take_gzip() {
    let app = App::start(|_| async { html(text(page())) }).await;
    let edge = Edge::new(&spec(vec![compressed(&app)]));
    let (head, body) = gzipped(&edge).await;
    for line in ["content-encoding: gzip", "vary: accept-encoding", "etag: W/\"one\""] {
        assert!(head.contains(line), "{line} is missing in {head}");
    }
    assert!(!head.contains("content-length"), "{head}");
    let mut unpacked = String::new();
    GzDecoder::new(&body[..]).read_to_string(&mut unpacked).expect("gzip");
    assert!(unpacked == page() && body.len() * 4 < unpacked.len(), "{} bytes", body.len());
    let plain = get(edge.http, "app.test", "/").await;
    assert!(plain.ends_with(&page()) && plain.contains("etag: \"one\"\r\n"), "{}", &plain[..300]);
    assert!(plain.contains("vary: accept-encoding\r\n"), "caches have to know");
}

#[tokio::test]
async fn what_the_app_has_sent_is_passed_on_before_more_is_waited_for() {
    let app = App::start(|_| async {
        let first = stream::once(async { Ok(Frame::data(Bytes::from_static(b"first"))) });
        html(BodyExt::boxed(StreamBody::new(first.chain(stream::pending()))))
    })
    .await;
    let edge = Edge::new(&spec(vec![compressed(&app)]));
    let mut stream = TcpStream::connect(edge.http).await.expect("connect");
    let request = b"GET / HTTP/1.0\r\nhost: app.test\r\naccept-encoding: gzip\r\n\r\n";
    stream.write_all(request).await.expect("send");
    let mut answer = Vec::new();
    let seen = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.expect("read");
            assert!(read > 0, "closed early");
            answer.extend_from_slice(&buffer[..read]);
            let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let mut decoder = write::GzDecoder::new(Vec::new());
            let _ = decoder.write_all(&answer[end + 4..]);
            let _ = decoder.flush();
            if decoder.get_ref() == b"first" {
                return;
            }
        }
    });
    seen.await.expect("the first piece comes at once");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_made_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("free port");
    let address = listener.local_addr().expect("address");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 1000000\r\n\r\n";
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(page().as_bytes()).await;
        }
    });
    let mut shop = route("app.test", &[address]);
    shop.options.compress = true;
    let edge = Edge::new(&spec(vec![shop]));
    let request = "GET / HTTP/1.1\r\nhost: app.test\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n";
    let answer = raw(edge.http, request).await;
    assert!(answer.contains("content-encoding: gzip"), "{}", &answer[..300]);
    assert!(!answer.ends_with("0\r\n\r\n"), "it looks whole");
}
