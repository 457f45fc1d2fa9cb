//! What the gateway tells of the requests that it answered.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use ingress::Options;
use protocol::spec::options::Redirect;
use protocol::spec::{ProxySpec, Route};
use protocol::traffic::{AccessSample, AppTraffic, MAX_PATHS, MAX_SAMPLES};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::{App, Edge, certificate, get, http2, nothing, raw, read, route, spec, text, tls};

fn edge(spec: &ProxySpec) -> Edge {
    Edge::with(
        Options { traffic: true, upstream_timeout: Duration::from_secs(2), ..Options::default() },
        spec,
    )
}

fn app_route(app: &App) -> Route {
    route("app.test", &[app.address])
}

/// What was told by the time that `enough` is.
async fn told(edge: &Edge, enough: impl Fn(&AppTraffic) -> bool) -> AppTraffic {
    let mut all = AppTraffic::default();
    let wait = async {
        loop {
            for part in edge.gateway.traffic() {
                all.app = part.app;
                for (sum, count) in all.requests.iter_mut().zip(part.requests) {
                    *sum += count;
                }
                all.received_bytes += part.received_bytes;
                all.sent_bytes += part.sent_bytes;
                all.upstream_errors += part.upstream_errors;
                all.latency.merge(&part.latency);
                all.paths.extend(part.paths);
                all.samples.extend(part.samples);
            }
            if enough(&all) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let enough = tokio::time::timeout(Duration::from_secs(5), wait).await.is_ok();
    assert!(enough, "not enough: {all:?}");
    all
}

async fn after(edge: &Edge, requests: u64) -> AppTraffic {
    let all = told(edge, |all| all.requests.iter().sum::<u64>() >= requests).await;
    assert_eq!(all.requests.iter().sum::<u64>(), requests, "each counts once");
    assert_eq!(all.latency.count(), requests);
    all
}

fn only(all: &AppTraffic) -> &AccessSample {
    let [sample] = all.samples.as_slice() else { panic!("{all:?}") };
    sample
}

fn body_bytes(answer: &str) -> u64 {
    answer.split_once("\r\n\r\n").expect("a head").1.len() as u64
}

#[tokio::test]
async fn a_request_is_told_as_its_client_sent_it_and_without_its_query() {
    let app = App::mirror().await;
    let mut wanted = app_route(&app);
    "/shop".clone_into(&mut wanted.path);
    wanted.options.strip_prefix = true;
    let edge = edge(&spec(vec![wanted]));
    let answer = raw(
        edge.http,
        "POST /shop/users/17?token=secret HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\
         user-agent: probe/1\r\nreferer: http://other.test/?q=secret\r\ncontent-length: 4\r\n\r\nbody",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let all = after(&edge, 1).await;
    assert_eq!((all.app.as_str(), all.requests), ("app.test", [0, 1, 0, 0, 0]));
    assert_eq!((all.received_bytes, all.sent_bytes), (4, body_bytes(&answer)));
    assert_eq!((all.paths.len(), all.paths[0].path.as_str()), (1, "/shop/users/*"));
    let sample = only(&all);
    let expected = AccessSample {
        at: sample.at,
        method: "POST".to_owned(),
        host: "app.test".to_owned(),
        path: "/shop/users/17".to_owned(),
        status: 200,
        took_us: sample.took_us,
        received_bytes: 4,
        sent_bytes: all.sent_bytes,
        client: [127, 0, 0, 1].into(),
        protocol: "HTTP/1.1".to_owned(),
        tls: false,
        user_agent: Some("probe/1".to_owned()),
        referer: Some("http://other.test/".to_owned()),
        upstream: Some(app.address),
    };
    assert_eq!(*sample, expected);
    assert!(sample.took_us > 0 && (chrono::Utc::now() - sample.at).num_seconds() < 10);
}

#[tokio::test]
async fn over_http2_and_tls_the_name_is_told_too() {
    let app = App::saying("hello").await;
    let certificate = certificate(&["app.test"]);
    let edge = edge(&ProxySpec { certificates: vec![certificate.clone()], ..spec(vec![app_route(&app)]) });
    let mut tasks = JoinSet::new();
    let stream = tls(edge.https, "app.test", &[&certificate], &["h2"]).await.expect("TLS");
    let mut client = http2(stream, &mut tasks).await;
    let request = hyper::Request::get("https://app.test/").body(nothing()).expect("request");
    assert_eq!(read(client.send_request(request).await.expect("answer")).await, "hello");
    let all = after(&edge, 1).await;
    let sample = only(&all);
    assert_eq!((sample.host.as_str(), sample.protocol.as_str(), sample.tls), ("app.test", "HTTP/2.0", true));
    assert_eq!(sample.sent_bytes, 5);
}

#[tokio::test]
async fn what_the_gateway_answers_by_itself_counts_with_its_bytes_and_no_instance() {
    let mut redirecting = route("app.test", &[]);
    redirecting.options.redirects =
        vec![Redirect { from: "/old".to_owned(), to: "/new".to_owned(), status: 301 }];
    let edge = edge(&spec(vec![redirecting]));
    assert!(get(edge.http, "app.test", "/old").await.starts_with("HTTP/1.1 301"));
    let page = get(edge.http, "app.test", "/").await;
    assert!(page.starts_with("HTTP/1.1 503"), "{page}");
    assert!(get(edge.http, "other.test", "/").await.starts_with("HTTP/1.1 404"), "no app's request");
    let all = after(&edge, 2).await;
    assert_eq!(all.requests, [0, 0, 1, 0, 1]);
    assert_eq!(all.sent_bytes, body_bytes(&page));
    assert!(all.samples.iter().all(|sample| sample.upstream.is_none()), "{all:?}");
}

#[tokio::test]
async fn attempts_without_an_answer_are_counted_apart_from_requests() {
    let gone = App::saying("").await.stop().await;
    let app = App::saying("hello").await;
    let edge = edge(&spec(vec![route("app.test", &[gone, app.address])]));
    for _ in 0..2 {
        assert!(get(edge.http, "app.test", "/").await.ends_with("hello"));
    }
    let all = after(&edge, 2).await;
    assert_eq!((all.requests, all.upstream_errors), ([0, 2, 0, 0, 0], 1));
}

#[tokio::test]
async fn of_compressed_answers_the_bytes_count_that_were_sent() {
    let app = App::start(|_| async {
        let mut response = Response::new(text(vec![b'a'; 100_000]));
        response.headers_mut().insert("content-type", "text/css".parse().expect("value"));
        response
    })
    .await;
    let mut wanted = app_route(&app);
    wanted.options.compress = true;
    let edge = edge(&spec(vec![wanted]));
    let request = "GET / HTTP/1.0\r\nhost: app.test\r\naccept-encoding: gzip\r\n\r\n";
    let mut stream = TcpStream::connect(edge.http).await.expect("connect");
    stream.write_all(request.as_bytes()).await.expect("send");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("answer");
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    let all = after(&edge, 1).await;
    assert_eq!(all.sent_bytes, (answer.len() - head) as u64);
    assert!(all.sent_bytes < 10_000, "{}", all.sent_bytes);
}

#[tokio::test]
async fn a_download_that_its_client_breaks_off_counts_with_what_was_sent() {
    let app = App::start(|_| async {
        let piece = |()| async { Some((Ok(Frame::data(Bytes::from(vec![7; 1000]))), ())) };
        Response::new(BodyExt::boxed(StreamBody::new(stream::unfold((), piece))))
    })
    .await;
    let edge = edge(&spec(vec![app_route(&app)]));
    let mut stream = TcpStream::connect(edge.http).await.expect("connect");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n").await.expect("send");
    stream.read_exact(&mut vec![0; 50_000]).await.expect("the begin of it");
    drop(stream);
    let all = after(&edge, 1).await;
    assert_eq!(all.requests, [0, 1, 0, 0, 0]);
    assert!(all.sent_bytes > 40_000 && only(&all).sent_bytes == all.sent_bytes, "{all:?}");
}

#[tokio::test]
async fn a_client_that_does_not_wait_for_the_answer_counts_as_499() {
    let app = App::start(|_| async { std::future::pending().await }).await;
    let edge = edge(&spec(vec![app_route(&app)]));
    let mut stream = TcpStream::connect(edge.http).await.expect("connect");
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: app.test\r\n\r\n").await.expect("send");
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(stream);
    let all = after(&edge, 1).await;
    let sample = only(&all);
    assert_eq!((all.requests, sample.status, sample.path.as_str()), ([0, 0, 0, 1, 0], 499, "/slow"));
}

#[tokio::test]
async fn a_websocket_counts_once_and_its_bytes_when_it_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("free port");
    let address = listener.local_addr().expect("address");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (stream, _) = listener.accept().await.expect("connection");
        let mut socket = tokio_tungstenite::accept_async(stream).await.expect("upgrade");
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                socket.send(message).await.expect("echo");
            }
        }
    });
    let edge = edge(&spec(vec![route("127.0.0.1", &[address])]));
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://{}/chat", edge.http)).await.expect("upgrade");
    let all = after(&edge, 1).await;
    assert_eq!((all.requests, only(&all).status, all.sent_bytes), ([1, 0, 0, 0, 0], 101, 0));
    socket.send("x".repeat(5000).into()).await.expect("send");
    socket.next().await.expect("echo").expect("echo");
    // Without a word, as browsers do that lose their network.
    drop(socket);
    let all = told(&edge, |all| all.sent_bytes > 0).await;
    assert_eq!(all.requests, [0; 5]);
    assert!(all.sent_bytes > 5000 && all.received_bytes > 5000, "{all:?}");
}

/// `GET` of each path over one connection.
async fn get_all(edge: &Edge, paths: impl Iterator<Item = String>) {
    let mut stream = TcpStream::connect(edge.http).await.expect("connect");
    let requests = paths.map(|path| format!("GET {path} HTTP/1.1\r\nhost: app.test\r\n\r\n"));
    let requests = requests.collect::<Vec<_>>().concat();
    let last = "GET /last HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n";
    let (mut incoming, mut out) = stream.split();
    let all = [requests.as_bytes(), last.as_bytes()].concat();
    let mut answers = Vec::new();
    let (sent, read) = tokio::join!(out.write_all(&all), incoming.read_to_end(&mut answers));
    sent.and(read.map(drop)).expect("answers");
}

#[tokio::test]
async fn whatever_paths_are_asked_for_those_asked_for_most_are_told() {
    let app = App::saying("hello").await;
    let edge = edge(&spec(vec![app_route(&app)]));
    let scan = (0..600).map(|number| match number % 3 {
        0 => format!("/users/{number}"),
        _ => format!("/scan-{number}.php"),
    });
    get_all(&edge, scan).await;
    let drained = edge.gateway.traffic();
    assert_eq!(drained[0].requests.iter().sum::<u64>(), 601);
    assert!(drained[0].paths.len() <= MAX_PATHS);
    let first = &drained[0].paths[0];
    assert_eq!((first.path.as_str(), first.requests, first.errors), ("/users/*", 200, 0));
}

#[tokio::test]
async fn errors_are_told_up_to_a_bound_and_before_others() {
    let app = App::start(|request| async move {
        let mut response = Response::new(text("oh"));
        if request.uri().path() == "/broken" {
            *response.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
        }
        response
    })
    .await;
    let edge = edge(&spec(vec![app_route(&app)]));
    let broken = (0..60).map(|number| if number % 2 == 0 { "/broken" } else { "/" }.to_owned());
    get_all(&edge, broken).await;
    let drained = edge.gateway.traffic();
    let errors = drained[0].samples.iter().take_while(|sample| sample.status == 500).count();
    assert_eq!((errors, drained[0].requests[4]), (30, 30));
    assert!(drained[0].samples.len() > 30 && drained[0].samples.len() < 60, "others in part");
    get_all(&edge, (0..200).map(|_| "/broken".to_owned())).await;
    let drained = edge.gateway.traffic();
    assert!(drained[0].samples.len() <= MAX_SAMPLES);
    assert_eq!(drained[0].requests[4], 200);
}

#[tokio::test]
async fn an_app_that_left_the_table_is_told_once_more() {
    let app = App::saying("hello").await;
    let edge = edge(&spec(vec![app_route(&app)]));
    get(edge.http, "app.test", "/").await;
    assert_eq!(edge.gateway.apply(&spec(Vec::new())), []);
    after(&edge, 1).await;
    assert!(edge.gateway.traffic().is_empty());
    assert_eq!(edge.gateway.apply(&spec(vec![app_route(&app)])), []);
    get(edge.http, "app.test", "/").await;
    after(&edge, 1).await;
}

#[tokio::test]
async fn behind_a_balancer_the_client_is_the_one_that_it_names() {
    let app = App::saying("hello").await;
    let trusted = vec!["127.0.0.0/8".parse().expect("network")];
    let options = Options { traffic: true, proxy_protocol: trusted, ..Options::default() };
    let edge = Edge::with(options, &spec(vec![app_route(&app)]));
    let request = "PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\nGET / HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n";
    assert!(raw(edge.http, request).await.ends_with("hello"));
    assert_eq!(only(&after(&edge, 1).await).client.to_string(), "192.0.2.7");
}

#[tokio::test]
async fn nothing_is_recorded_unless_it_is_asked_for() {
    let app = App::saying("hello").await;
    let edge = Edge::new(&spec(vec![app_route(&app)]));
    assert!(get(edge.http, "app.test", "/").await.ends_with("hello"));
    assert!(edge.gateway.traffic().is_empty());
}
