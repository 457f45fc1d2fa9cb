//! Bodies that are longer than a route takes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crate::support::{App, Edge, http2, raw, read, route, spec, tls};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::Request;
use hyper::body::Frame;
use protocol::spec::Route;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

fn limited(address: SocketAddr) -> Route {
    let mut route = route("app.test", &[address]);
    route.options.max_body_bytes = Some(8);
    route
}

/// Keeps what it is sent and never answers.
async fn listener(seen: Arc<Mutex<Vec<u8>>>, tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("free port");
    let address = listener.local_addr().expect("address");
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                seen.lock().expect("lock").extend_from_slice(&buffer[..read]);
            }
            seen.lock().expect("lock").extend_from_slice(b"(closed)");
        }
    });
    address
}

#[tokio::test]
async fn a_length_beyond_the_limit_is_refused_before_the_app_hears_of_it() {
    let (seen, mut tasks) = (Arc::default(), JoinSet::new());
    let edge = Edge::new(&spec(vec![limited(listener(Arc::clone(&seen), &mut tasks).await)]));
    let request =
        "POST / HTTP/1.1\r\nhost: app.test\r\naccept: application/json\r\ncontent-length: 9\r\n\r\n123456789";
    let answer = raw(edge.http, request).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains(r#""code":"body_too_large""#), "{answer}");
    assert!(seen.lock().expect("lock").is_empty());
}

#[tokio::test]
async fn a_body_that_grows_beyond_the_limit_never_looks_whole_to_the_app() {
    let (seen, mut tasks) = (Arc::<Mutex<Vec<u8>>>::default(), JoinSet::new());
    let edge = Edge::new(&spec(vec![limited(listener(Arc::clone(&seen), &mut tasks).await)]));
    let request = "POST / HTTP/1.1\r\nhost: app.test\r\ntransfer-encoding: chunked\r\n\r\n\
                   5\r\n12345\r\n5\r\n67890\r\n0\r\n\r\n";
    let answer = raw(edge.http, request).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let end = tokio::time::timeout(std::time::Duration::from_secs(5), async {
        loop {
            let text = String::from_utf8_lossy(&seen.lock().expect("lock")).into_owned();
            if text.ends_with("(closed)") {
                return text;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    let text = end.await.expect("the connection to the app is closed");
    assert!(!text.contains("0\r\n\r\n") && !text.contains("67890"), "{text}");
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_passes_either_way() {
    let app = App::mirror().await;
    let edge = Edge::new(&spec(vec![limited(app.address)]));
    for body in
        ["content-length: 8\r\n\r\n12345678", "transfer-encoding: chunked\r\n\r\n8\r\n12345678\r\n0\r\n\r\n"]
    {
        let request = format!("POST / HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n{body}");
        let answer = raw(edge.http, &request).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("12345678"), "{answer}");
    }
}

#[tokio::test]
async fn over_http2_the_stream_alone_is_refused() {
    let app = App::mirror().await;
    let mut wanted = spec(vec![limited(app.address)]);
    wanted.certificates.push(crate::support::certificate(&["app.test"]));
    let edge = Edge::new(&wanted);
    let stream = tls(edge.https, "app.test", &[&wanted.certificates[0]], &["h2"]).await.expect("handshake");
    let mut tasks = JoinSet::new();
    let mut client = http2(stream, &mut tasks).await;
    for (pieces, status) in [(3, 413), (1, 200)] {
        let frames = (0..pieces).map(|_| Ok(Frame::data(Bytes::from_static(b"12345678"))));
        let body = BodyExt::boxed(StreamBody::new(stream::iter(frames)));
        let request = Request::post("https://app.test/").body(body).expect("request");
        let answer = client.send_request(request).await.expect("answer");
        assert_eq!(answer.status(), status);
        read(answer).await;
    }
}
