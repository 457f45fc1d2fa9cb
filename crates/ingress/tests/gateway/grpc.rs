//! gRPC as it is on the wire, from an HTTP/2 client through the gateway to an app that speaks HTTP/2 without TLS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use protocol::spec::options::UpstreamProtocol;
use protocol::spec::{ProxySpec, Route};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

use crate::support::{Body, Edge, certificate, http2, nothing, route, spec, text, tls};

/// An app that speaks gRPC: its methods are paths.
struct GrpcApp {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl GrpcApp {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("free port");
        let address = listener.local_addr().expect("address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                open.spawn(async move {
                    let service =
                        service_fn(|request| async move { Ok::<_, Infallible>(serve(request).await) });
                    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, connections, _tasks: tasks }
    }
}

async fn serve(request: Request<Incoming>) -> Response<Body> {
    match request.uri().path() {
        "/test.Echo/Fail" => {
            let answer = Response::builder().header("content-type", "application/grpc");
            let answer = answer.header("grpc-status", "5").header("grpc-message", "no such thing");
            answer.body(nothing()).expect("answer")
        }
        "/test.Echo/Hang" => std::future::pending().await,
        "/test.Echo/Head" => grpc(text(framed(&head_of(&request)))),
        "/test.Echo/Sum" => {
            let collected = request.into_body().collect().await.expect("body");
            let said = collected.trailers().and_then(|trailers| trailers.get("x-client-trailer").cloned());
            let length = collected.to_bytes().len();
            grpc(text(framed(&format!("{length} {said:?}"))))
        }
        _ => {
            // Each message comes back as it comes in.
            let frames = request.into_body().into_data_stream().map(|data| data.map(Frame::data));
            grpc(BodyExt::boxed(StreamBody::new(frames)))
        }
    }
}

fn head_of(request: &Request<Incoming>) -> String {
    let mut seen = format!("{:?} {}\n", request.version(), request.uri());
    for (name, value) in request.headers() {
        for part in [name.as_str(), ": ", value.to_str().expect("text"), "\n"] {
            seen.push_str(part);
        }
    }
    seen
}

fn grpc(body: Body) -> Response<Body> {
    let body = body.with_trailers(async {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().expect("value"));
        trailers.insert("x-app-trailer", "told".parse().expect("value"));
        trailers.insert("content-length", "7".parse().expect("value"));
        Some(Ok(trailers))
    });
    Response::builder().header("content-type", "application/grpc").body(body.boxed()).expect("answer")
}

/// A message with gRPC's prefix: not compressed, length.
fn framed(message: &str) -> Bytes {
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    [&[0], &length[..], message.as_bytes()].concat().into()
}

fn call(method: &str, body: Body) -> Request<Body> {
    Request::post(format!("https://grpc.test/test.Echo/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .expect("request")
}

fn h2c_route(address: SocketAddr) -> Route {
    let mut route = route("grpc.test", &[address]);
    route.options.upstream_protocol = UpstreamProtocol::H2c;
    route
}

struct Setup {
    edge: Edge,
    client: SendRequest<Body>,
    wanted: ProxySpec,
    tasks: JoinSet<()>,
}

async fn setup(address: SocketAddr) -> Setup {
    let mut wanted = spec(vec![h2c_route(address)]);
    wanted.certificates.push(certificate(&["grpc.test"]));
    let edge = Edge::new(&wanted);
    let stream = tls(edge.https, "grpc.test", &[&wanted.certificates[0]], &["h2"]).await.expect("handshake");
    let mut tasks = JoinSet::new();
    let client = http2(stream, &mut tasks).await;
    Setup { edge, client, wanted, tasks }
}

fn status(headers: &HeaderMap) -> Option<&str> {
    headers.get("grpc-status").and_then(|status| status.to_str().ok())
}

#[tokio::test]
async fn a_unary_call_brings_its_message_and_trailers_both_ways() {
    let app = GrpcApp::start().await;
    let mut at = setup(app.address).await;
    let body = text(framed("hello")).with_trailers(async {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-client-trailer", "asked".parse().expect("value"));
        Some(Ok(trailers))
    });
    let response = at.client.send_request(call("Sum", body.boxed())).await.expect("answer");
    assert_eq!(response.status(), StatusCode::OK);
    let collected = response.into_body().collect().await.expect("body");
    let trailers = collected.trailers().expect("trailers").clone();
    assert_eq!(status(&trailers), Some("0"));
    assert_eq!(trailers["x-app-trailer"], "told");
    assert!(!trailers.contains_key("content-length"), "forbidden in trailers");
    assert_eq!(collected.to_bytes(), framed("10 Some(\"asked\")"));
}

#[tokio::test]
async fn the_app_sees_http2_with_the_authority_te_and_where_the_call_came_from() {
    let app = GrpcApp::start().await;
    let mut at = setup(app.address).await;
    let mut request = call("Head", text(framed("")));
    request.headers_mut().insert("x-forwarded-for", "6.6.6.6".parse().expect("value"));
    request.headers_mut().insert("grpc-timeout", "5S".parse().expect("value"));
    let response = at.client.send_request(request).await.expect("answer");
    let seen = response.into_body().collect().await.expect("body").to_bytes();
    let seen = String::from_utf8_lossy(&seen[5..]);
    for part in [
        "HTTP/2.0 http://grpc.test/test.Echo/Head\n",
        "te: trailers\n",
        "content-type: application/grpc\n",
        "grpc-timeout: 5S\n",
        "x-forwarded-for: 127.0.0.1\n",
        "x-forwarded-proto: https\n",
        "x-forwarded-host: grpc.test\n",
    ] {
        assert!(seen.contains(part), "{part:?} is missing in {seen}");
    }
    for part in ["6.6.6.6", "\nhost:", "connection"] {
        assert!(!seen.contains(part), "{part:?} is in {seen}");
    }
}

#[tokio::test]
async fn messages_pass_one_by_one_both_ways() {
    let app = GrpcApp::start().await;
    let mut at = setup(app.address).await;
    let (messages, sent) = mpsc::channel::<Result<Frame<Bytes>, hyper::Error>>(1);
    let body = BodyExt::boxed(StreamBody::new(ReceiverStream::new(sent)));
    // Headers of the answer come before any message was sent.
    let answering = at.client.send_request(call("Chat", body));
    let response = tokio::time::timeout(Duration::from_secs(5), answering).await;
    let mut answers = response.expect("headers at once").expect("answer").into_body();
    for message in ["one", "two", "three"] {
        messages.send(Ok(Frame::data(framed(message)))).await.expect("send");
        let frame = tokio::time::timeout(Duration::from_secs(5), answers.frame()).await;
        let frame = frame.expect("comes back at once").expect("open").expect("frame");
        assert_eq!(frame.into_data().expect("data"), framed(message));
    }
    drop(messages);
    let end = answers.frame().await.expect("trailers").expect("frame").into_trailers().expect("trailers");
    assert_eq!(status(&end), Some("0"));
}

#[tokio::test]
async fn an_answer_of_trailers_only_arrives_as_such() {
    let app = GrpcApp::start().await;
    let mut at = setup(app.address).await;
    let response = at.client.send_request(call("Fail", text(framed("x")))).await.expect("answer");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(status(response.headers()), Some("5"));
    assert_eq!(response.headers()["grpc-message"], "no such thing");
    assert!(response.into_body().collect().await.expect("body").to_bytes().is_empty());
}

#[tokio::test]
async fn what_keeps_a_call_from_its_app_is_a_status_of_grpc() {
    let app = GrpcApp::start().await;
    let mut at = setup(app.address).await;
    let mut hurried = call("Hang", text(framed("x")));
    hurried.headers_mut().insert("grpc-timeout", "100m".parse().expect("value"));
    let begun = std::time::Instant::now();
    let response = at.client.send_request(hurried).await.expect("answer");
    assert_eq!((response.status(), status(response.headers())), (StatusCode::OK, Some("4")));
    assert!(begun.elapsed() < Duration::from_millis(450), "the call's own deadline");
    let response = at.client.send_request(call("Hang", text(framed("x")))).await.expect("answer");
    assert_eq!(status(response.headers()), Some("4"), "the route's");

    Arc::make_mut(&mut at.wanted.routes[0]).upstreams.clear();
    assert_eq!(at.edge.gateway.apply(&at.wanted), []);
    let response = at.client.send_request(call("Chat", text(framed("x")))).await.expect("answer");
    assert_eq!((response.status(), status(response.headers())), (StatusCode::OK, Some("14")));
    assert_eq!(response.headers()["content-type"], "application/grpc");
    at.wanted.routes.clear();
    assert_eq!(at.edge.gateway.apply(&at.wanted), []);
    let response = at.client.send_request(call("Chat", text(framed("x")))).await.expect("answer");
    assert_eq!(status(response.headers()), Some("12"));
}

#[tokio::test]
async fn calls_share_a_connection_and_a_cancelled_one_harms_no_other() {
    let app = GrpcApp::start().await;
    let mut at = setup(app.address).await;
    let cancelled = at.client.send_request(call("Hang", text(framed("x"))));
    assert!(tokio::time::timeout(Duration::from_millis(50), cancelled).await.is_err());
    let mut calls = JoinSet::new();
    for number in 0..60 {
        let mut client = at.client.clone();
        calls.spawn(async move {
            let message = framed(&number.to_string());
            let response = client.send_request(call("Chat", text(message.clone()))).await.expect("answer");
            let collected = response.into_body().collect().await.expect("body");
            assert_eq!(status(collected.trailers().expect("trailers")), Some("0"));
            assert_eq!(collected.to_bytes(), message);
        });
    }
    while let Some(ended) = calls.join_next().await {
        ended.expect("answered");
    }
    assert_eq!(app.connections.load(Ordering::Relaxed), 1);
    at.tasks.shutdown().await;
}
