//! A service that is asked about each request.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ingress::Options;
use protocol::spec::{ForwardAuth, ProxySpec, Route};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{App, Body, Edge, certificate, challenge, get, raw, route, spec, text};

/// Lets in whoever has the cookie of ann; sends others to a page of its own.
fn doorman(request: &Request<Incoming>) -> Response<Body> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let answer = Response::builder();
    if header("cookie").is_some_and(|cookies| cookies.contains("session=ann")) {
        let said = answer.status(204).header("remote-user", "ann").header("x-secret", "not for the app");
        return said.body(text("")).expect("answer");
    }
    let back = format!("/login?to={}", header("x-forwarded-uri").unwrap_or_default());
    answer
        .status(302)
        .header("location", back)
        .header("set-cookie", "try=1; HttpOnly")
        .header("www-authenticate", "Cookie")
        .body(text("sign in first"))
        .expect("answer")
}

async fn door() -> App {
    App::start(|request| async move { doorman(&request) }).await
}

fn guarded(app: &App, auth: ForwardAuth) -> Route {
    let mut route = route("app.test", &[app.address]);
    route.options.forward_auth = Some(auth);
    route
}

/// An app of the project at `instances`.
fn by(instances: &[SocketAddr]) -> ForwardAuth {
    ForwardAuth {
        instances: instances.to_vec(),
        response_headers: vec!["Remote-User".to_owned()],
        ..ForwardAuth::new("app:door/verify")
    }
}

async fn ask(edge: &Edge, path: &str, headers: &str) -> String {
    raw(edge.http, &format!("GET {path} HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n{headers}\r\n"))
        .await
}

#[tokio::test]
async fn whoever_is_let_in_is_introduced_and_nobody_introduces_himself() {
    let (app, door) = (App::mirror().await, door().await);
    let skip = vec!["/public/*".to_owned()];
    let edge = Edge::new(&spec(vec![guarded(&app, ForwardAuth { skip, ..by(&[door.address]) })]));
    let spoofed = "remote-user: admin\r\nRemote_User: admin\r\n";
    let seen = ask(&edge, "/a?b=c", &format!("cookie: session=ann\r\n{spoofed}")).await;
    assert!(seen.starts_with("HTTP/1.1 200") && seen.contains("GET /a?b=c HTTP/1.1"), "{seen}");
    assert!(seen.contains("remote-user: ann\n") && seen.contains("cookie: session=ann\n"), "{seen}");
    for hidden in ["admin", "x-secret", "x-wisehosting", "x-forwarded-uri"] {
        assert!(!seen.contains(hidden), "{hidden}: {seen}");
    }
    let open = ask(&edge, "/public/style.css", spoofed).await;
    assert!(open.starts_with("HTTP/1.1 200") && !open.contains("admin"), "{open}");
    let sneaked = ask(&edge, "/public/../a", "").await;
    assert!(sneaked.starts_with("HTTP/1.1 302"), "{sneaked}");
}

#[tokio::test]
async fn the_answer_to_whoever_is_not_is_the_services() {
    let (app, door) = (App::saying("inside").await, door().await);
    let edge = Edge::new(&spec(vec![guarded(&app, by(&[door.address]))]));
    let answer = ask(&edge, "/a?b=c", "cookie: session=eve\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");
    for line in
        ["location: /login?to=/a?b=c\r\n", "set-cookie: try=1; HttpOnly\r\n", "www-authenticate: Cookie\r\n"]
    {
        assert!(answer.contains(line), "{line}: {answer}");
    }
    assert!(answer.ends_with("sign in first") && !answer.contains("inside"), "{answer}");
    let posted = "POST /a HTTP/1.1\r\nhost: app.test\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbody";
    assert!(raw(edge.http, posted).await.starts_with("HTTP/1.1 302"));
}

#[tokio::test]
async fn the_service_sees_the_head_and_no_body() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let heads = Arc::clone(&seen);
    let door = App::start(move |request| {
        let heads = Arc::clone(&heads);
        async move {
            let mut head = format!("{} {}\n", request.method(), request.uri());
            for (name, value) in request.headers() {
                for part in [name.as_str(), ": ", value.to_str().expect("text"), "\n"] {
                    head.push_str(part);
                }
            }
            let body = request.into_body().collect().await.expect("a body").to_bytes();
            heads.lock().expect("lock").push(format!("{head}{}", String::from_utf8_lossy(&body)));
            Response::new(text(""))
        }
    })
    .await;
    let app = App::mirror().await;
    let edge = Edge::new(&spec(vec![guarded(&app, by(&[door.address]))]));
    let posted = "POST /a?b=c HTTP/1.1\r\nhost: app.test\r\nauthorization: Bearer x\r\nx-forwarded-for: 10.0.0.1\r\n\
                  content-length: 4\r\nconnection: close\r\n\r\nbody";
    let answer = raw(edge.http, posted).await;
    assert!(answer.contains("POST /a?b=c HTTP/1.1") && answer.ends_with("body"), "the app has it: {answer}");
    let heads = seen.lock().expect("lock").clone();
    let [head] = heads.as_slice() else { panic!("{heads:?}") };
    assert!(head.starts_with("GET /verify\n") && !head.contains("body"), "{head}");
    for line in [
        "host: app.test\n",
        "authorization: Bearer x\n",
        "x-forwarded-method: POST\n",
        "x-forwarded-proto: http\n",
        "x-forwarded-host: app.test\n",
        "x-forwarded-uri: /a?b=c\n",
        "x-forwarded-for: 127.0.0.1\n",
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
    assert!(!head.contains("10.0.0.1") && !head.contains("content-length"), "{head}");
}

#[tokio::test]
async fn a_service_that_does_not_answer_keeps_the_door_shut() {
    let app = App::saying("inside").await;
    let gone = door().await.stop().await;
    let slow = App::start(|_| async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        Response::new(text(""))
    })
    .await;
    let endless = App::start(|_| async {
        Response::builder().status(403).body(text("x".repeat(300 * 1024))).expect("answer")
    })
    .await;
    let late = ForwardAuth { timeout_s: 1, ..by(&[slow.address]) };
    let private = |address: SocketAddr| ForwardAuth::new(format!("http://{address}/verify"));
    for (auth, status, code) in [
        (by(&[gone]), 502, "auth_unreachable"),
        (by(&[]), 503, "auth_unavailable"),
        (late, 503, "auth_unavailable"),
        (by(&[endless.address]), 502, "auth_unreachable"),
        (ForwardAuth::new("http://localhost:1/verify"), 502, "auth_unreachable"),
    ] {
        let edge = Edge::new(&spec(vec![guarded(&app, auth.clone())]));
        let page = ask(&edge, "/", "accept: application/json\r\n").await;
        assert!(page.starts_with(&format!("HTTP/1.1 {status}")) && page.contains(code), "{auth:?}: {page}");
        assert!(!page.contains("inside") && !page.contains("127.0.0.1"), "{page}");
    }
    // The operator may ask inside, people may not.
    let open = door().await;
    let table = spec(vec![guarded(&app, private(open.address))]);
    let edge = Edge::new(&ProxySpec::default());
    assert_eq!(edge.gateway.apply(&table).len(), 1, "reported");
    assert!(ask(&edge, "/", "cookie: session=ann\r\n").await.starts_with("HTTP/1.1 502"));
    let edge = Edge::with(Options { asks_anywhere: true, ..Options::default() }, &table);
    assert!(ask(&edge, "/", "cookie: session=ann\r\n").await.ends_with("inside"));
    let refused = ask(&edge, "/", "").await;
    assert!(refused.contains(&format!("location: http://{}/login?to=/\r\n", open.address)), "{refused}");
}

#[tokio::test]
async fn another_instance_is_asked_for_one_that_is_gone_and_connections_are_kept() {
    let connections = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("free port");
    let address = listener.local_addr().expect("address");
    let counted = Arc::clone(&connections);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let mut served = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let service = hyper::service::service_fn(|request| async move {
                Ok::<_, std::convert::Infallible>(doorman(&request))
            });
            served.spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    let app = App::saying("inside").await;
    let gone = door().await.stop().await;
    let edge = Edge::new(&spec(vec![guarded(&app, by(&[gone, address]))]));
    for _ in 0..6 {
        assert!(ask(&edge, "/", "cookie: session=ann\r\n").await.ends_with("inside"));
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_upgrade_is_asked_about_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("free port");
    let chat = listener.local_addr().expect("address");
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut socket = tokio_tungstenite::accept_async(stream).await.expect("handshake");
            while let Some(Ok(message @ Message::Text(_))) = socket.next().await {
                socket.send(message).await.expect("send");
            }
        }
    });
    let door = door().await;
    let mut route = route("127.0.0.1", &[chat]);
    route.options.forward_auth = Some(by(&[door.address]));
    let edge = Edge::new(&spec(vec![route]));
    let address = format!("ws://{}/chat", edge.http);
    let refused = tokio_tungstenite::connect_async(&address).await.expect_err("nobody signed in");
    assert!(refused.to_string().contains("302"), "{refused}");
    let mut request =
        tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request(&address)
            .expect("request");
    request.headers_mut().insert("cookie", "session=ann".parse().expect("value"));
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.expect("let in");
    socket.send(Message::text("hello")).await.expect("send");
    assert_eq!(socket.next().await.expect("an answer").expect("message"), Message::text("hello"));
}

#[tokio::test]
async fn a_service_that_is_asked_about_itself_ends_there() {
    // The address is that of the very route: each question would be another one.
    let app = App::saying("inside").await;
    let options = || Options { asks_anywhere: true, ..Options::default() };
    let edge = Edge::with(options(), &ProxySpec::default());
    let mut route = route("127.0.0.1", &[app.address]);
    route.options.forward_auth = Some(ForwardAuth::new(format!("http://{}/verify", edge.http)));
    assert_eq!(edge.gateway.apply(&spec(vec![route])), []);
    let page = get(edge.http, "127.0.0.1", "/").await;
    assert!(page.starts_with("HTTP/1.1 502") && !page.contains("inside"), "{page}");
}

#[tokio::test]
async fn challenges_and_the_way_to_https_come_before_the_question() {
    let (app, gone) = (App::saying("inside").await, door().await.stop().await);
    let mut wanted = spec(vec![Route { https_only: true, ..guarded(&app, by(&[gone])) }]);
    wanted.certificates.push(certificate(&["app.test"]));
    wanted.challenges.push(challenge("app.test", "token", "answer"));
    let edge = Edge::new(&wanted);
    assert!(ask(&edge, "/.well-known/acme-challenge/token", "").await.ends_with("answer"));
    assert!(ask(&edge, "/", "").await.contains("location: https://app.test:8443/\r\n"));
}
