//! HTTP/1.1 through the gateway, against real servers on loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{App, Edge, certificate, challenge, get, raw, route, spec, text};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use ingress::Drain;
use protocol::spec::options::Maintenance;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

#[tokio::test]
async fn a_request_reaches_its_app_and_says_where_it_came_from() {
    let app = App::mirror().await;
    let edge = Edge::new(&spec(vec![route("app.test", &[app.address])]));
    let request = "POST /x?y=1 HTTP/1.1\r\nhost: APP.test:8080\r\nx-forwarded-for: 6.6.6.6\r\n\
                   x-forwarded-proto: https\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbody";
    let answer = raw(edge.http, request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    for part in [
        "POST /x?y=1 HTTP/1.1\n",
        "host: APP.test:8080\n",
        "x-forwarded-for: 127.0.0.1\n",
        "x-forwarded-proto: http\n",
        "x-forwarded-host: APP.test:8080\n",
        "content-length: 4\n",
        "\nbody",
    ] {
        assert!(answer.contains(part), "{part:?} is missing in {answer}");
    }
    assert!(!answer.contains("6.6.6.6"));
}

#[tokio::test]
async fn an_unknown_host_gets_a_page_that_says_so_in_the_form_asked_for() {
    let edge = Edge::new(&spec(vec![]));
    let page = get(edge.http, "nobody.test", "/").await;
    assert!(page.starts_with("HTTP/1.1 404"), "{page}");
    assert!(page.contains("No app answers on this name") && page.contains("text/html"), "{page}");
    let request =
        "GET / HTTP/1.1\r\nhost: nobody.test\r\naccept: application/json\r\nconnection: close\r\n\r\n";
    let json = raw(edge.http, request).await;
    assert!(json.contains(r#""code":"unknown_host""#) && json.contains("application/json"), "{json}");
}

#[tokio::test]
async fn what_has_two_readings_is_refused() {
    let app = App::mirror().await;
    let edge = Edge::new(&spec(vec![route("a.test", &[app.address]), route("b.test", &[app.address])]));
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.test\r\nhost: b.test\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.test/../\r\n\r\n",
        "GET http://b.test/ HTTP/1.1\r\nhost: a.test\r\n\r\n",
        "CONNECT a.test:443 HTTP/1.1\r\nhost: a.test\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nbody",
        "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.test\r\n x-folded: 1\r\n\r\n",
    ] {
        let answer = raw(edge.http, request).await;
        assert!(
            answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.0 400"),
            "{request:?}: {answer}"
        );
        assert!(!answer.contains("200 OK"), "{request:?}: {answer}");
        assert!(answer.to_ascii_lowercase().contains("connection: close"), "{request:?}: {answer}");
    }
}

#[tokio::test]
async fn a_length_beside_chunks_is_dropped_and_nothing_after_the_chunks_is_a_request() {
    let app = App::mirror().await;
    let edge = Edge::new(&spec(vec![route("a.test", &[app.address])]));
    for lengths in
        ["content-length: 4\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 4"]
    {
        let request = format!(
            "POST / HTTP/1.1\r\nhost: a.test\r\n{lengths}\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a.test\r\n\r\n"
        );
        let answer = raw(edge.http, &request).await;
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1, "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(!answer.contains("smuggled") && !answer.contains("content-length: 4\n"), "{answer}");
    }
}

#[tokio::test]
async fn requests_in_chunks_share_a_connection() {
    let app = App::mirror().await;
    let edge = Edge::new(&spec(vec![route("a.test", &[app.address])]));
    let mut stream = TcpStream::connect(edge.http).await.expect("connect");
    for number in 0..3 {
        let request = format!(
            "POST /{number} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("the connection is open");
        let mut answer = String::new();
        while !answer.ends_with("\nbody") {
            let mut piece = [0; 4096];
            let read = stream.read(&mut piece).await.expect("an answer");
            assert_ne!(read, 0, "closed after {answer}");
            answer.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
        assert!(answer.contains(&format!("POST /{number} HTTP/1.1")), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn a_length_beside_chunks_ends_the_connection_whoever_answers() {
    let app = App::mirror().await;
    let mut closed = route("closed.test", &[app.address]);
    closed.options.maintenance = Some(Maintenance::default());
    let edge = Edge::new(&spec(vec![route("a.test", &[app.address]), closed]));
    let chunked = |host: &str, length: &str| {
        format!(
            "POST / HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\n{length}\r\n4\r\nbody\r\n0\r\n\r\n"
        )
    };
    for (host, status, served) in
        [("a.test", "200 OK", 2), ("closed.test", "503", 1), ("nobody.test", "404", 1)]
    {
        let three = [chunked("a.test", ""), chunked(host, "content-length: 4\r\n"), chunked("a.test", "")];
        let answer = raw(edge.http, &three.concat()).await;
        assert!(answer.contains(&format!("HTTP/1.1 {status}")), "{host}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), served, "{host}: {answer}");
        assert_eq!(answer.matches("connection: close").count(), 1, "{host}: {answer}");
    }
}

#[tokio::test]
async fn too_many_or_too_large_headers_are_refused() {
    let edge = Edge::new(&spec(vec![]));
    let many = "x-header: 1\r\n".repeat(150);
    let large = format!("x-large: {}\r\n", "a".repeat(100_000));
    for headers in [many, large] {
        let answer = raw(edge.http, &format!("GET / HTTP/1.1\r\nhost: a.test\r\n{headers}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}

#[tokio::test]
async fn a_dead_upstream_is_passed_over_even_for_a_post() {
    let dead = App::saying("").await.stop().await;
    let alive = App::mirror().await;
    let edge = Edge::new(&spec(vec![route("app.test", &[dead, alive.address])]));
    for _ in 0..6 {
        let request =
            "POST / HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\ncontent-length: 4\r\n\r\nonce";
        let answer = raw(edge.http, request).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\nonce"), "{answer}");
    }
}

#[tokio::test]
async fn no_instance_and_no_answer_are_told_apart() {
    let dead = App::saying("").await.stop().await;
    let silent = App::start(|_| std::future::pending()).await;
    let edge = Edge::new(&spec(vec![
        route("none.test", &[]),
        route("dead.test", &[dead]),
        route("silent.test", &[silent.address]),
    ]));
    assert!(get(edge.http, "none.test", "/").await.starts_with("HTTP/1.1 503"));
    assert!(get(edge.http, "dead.test", "/").await.starts_with("HTTP/1.1 502"));
    assert!(get(edge.http, "silent.test", "/").await.starts_with("HTTP/1.1 504"));
    let whole = "POST / HTTP/1.1\r\nhost: silent.test\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbody";
    assert!(raw(edge.http, whole).await.starts_with("HTTP/1.1 504"));
}

#[tokio::test]
async fn a_client_that_stops_half_way_through_its_body_is_told_so() {
    let app = App::mirror().await;
    let edge = Edge::new(&spec(vec![route("app.test", &[app.address])]));
    let half = "POST / HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\ncontent-length: 8\r\n\r\nhalf";
    assert!(raw(edge.http, half).await.starts_with("HTTP/1.1 408"));
}

/// A server that answers one request per connection with keep-alive and then closes without a word.
async fn closes_after_each_answer(served: Arc<AtomicUsize>, tasks: &mut JoinSet<()>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("free port");
    let address = listener.local_addr().expect("address");
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            if stream.read(&mut head).await.unwrap_or(0) > 0 {
                served.fetch_add(1, Ordering::Relaxed);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        }
    });
    address
}

#[tokio::test]
async fn upstream_connections_that_close_after_an_answer_cost_no_request() {
    let (served, mut tasks) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    let address = closes_after_each_answer(Arc::clone(&served), &mut tasks).await;
    let edge = Edge::new(&spec(vec![route("app.test", &[address])]));
    for _ in 0..50 {
        let answer = get(edge.http, "app.test", "/").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(served.load(Ordering::Relaxed), 50, "each request was carried out once");
}

#[tokio::test]
async fn a_connection_that_went_stale_unnoticed_costs_no_request_and_no_post_is_sent_twice() {
    let (bodies, mut tasks) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("free port");
    let address = listener.local_addr().expect("address");
    let seen = Arc::clone(&bodies);
    tasks.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            open.spawn(async move {
                // The first request is answered; the second is read and the connection ends without a word.
                for answered in [true, false] {
                    let mut head = [0; 4096];
                    let read = stream.read(&mut head).await.unwrap_or(0);
                    if head[..read].starts_with(b"POST") {
                        seen.fetch_add(1, Ordering::Relaxed);
                    }
                    if answered {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                    }
                }
            });
        }
    });
    let edge = Edge::new(&spec(vec![route("app.test", &[address])]));
    assert!(get(edge.http, "app.test", "/").await.starts_with("HTTP/1.1 200"));
    tokio::time::sleep(Duration::from_millis(1600)).await;
    assert!(
        get(edge.http, "app.test", "/").await.starts_with("HTTP/1.1 200"),
        "asked again on a new connection"
    );
    tokio::time::sleep(Duration::from_millis(1600)).await;
    let post = "POST / HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\ncontent-length: 4\r\n\r\nonce";
    assert!(raw(edge.http, post).await.starts_with("HTTP/1.1 200"), "sent on a new connection at once");
    assert_eq!(bodies.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn upstream_connections_are_used_again() {
    let connections = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("free port");
    let address = listener.local_addr().expect("address");
    let mut tasks = JoinSet::new();
    let counted = Arc::clone(&connections);
    tasks.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            open.spawn(async move {
                let mut head = [0; 4096];
                while stream.read(&mut head).await.unwrap_or(0) > 0 {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
            });
        }
    });
    let edge = Edge::new(&spec(vec![route("app.test", &[address])]));
    for _ in 0..20 {
        get(edge.http, "app.test", "/").await;
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_websocket_passes_both_ways_and_survives_a_table_swap() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("free port");
    let address = listener.local_addr().expect("address");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut socket = tokio_tungstenite::accept_async(stream).await.expect("handshake");
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() || message.is_binary() {
                    socket.send(message).await.expect("echo");
                }
            }
        }
    });
    let edge = Edge::new(&spec(vec![route("127.0.0.1", &[address])]));
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://{}/chat", edge.http)).await.expect("upgrade");
    let large = "x".repeat(300_000);
    for message in ["hello", large.as_str()] {
        socket.send(message.into()).await.expect("send");
        assert_eq!(socket.next().await.expect("open").expect("message").into_text().expect("text"), message);
    }
    edge.gateway.apply(&spec(vec![]));
    socket.send("still here".into()).await.expect("send");
    assert_eq!(socket.next().await.expect("open").expect("message").into_text().expect("text"), "still here");
}

#[tokio::test]
async fn bodies_stream_both_ways_without_being_collected() {
    let app = App::start(|request| async move {
        // Echoes frame by frame.
        let frames = request.into_body().into_data_stream().map(|data| data.map(Frame::data));
        Response::new(BodyExt::boxed(StreamBody::new(frames)))
    })
    .await;
    let edge = Edge::new(&spec(vec![route("app.test", &[app.address])]));
    let mut stream = TcpStream::connect(edge.http).await.expect("connect");
    let head = "POST / HTTP/1.1\r\nhost: app.test\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("head");
    let mut seen = String::new();
    // Each piece comes back before the next is sent: a proxy that collects would wait forever.
    for piece in ["one", "two", "three"] {
        stream.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).await.expect("piece");
        let mut buffer = [0; 4096];
        while !seen.contains(piece) {
            let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer));
            let read = read.await.expect("comes back at once").expect("read");
            assert!(read > 0, "closed early: {seen}");
            seen += &String::from_utf8_lossy(&buffer[..read]);
        }
    }
}

#[tokio::test]
async fn a_large_body_arrives_whole_at_a_slow_reader() {
    const SIZE: usize = 32 * 1024 * 1024;
    let app = App::start(|_| async {
        let piece = Bytes::from(vec![7; 65_536]);
        let pieces = (0..SIZE / 65_536).map(move |_| Ok(Frame::data(piece.clone())));
        Response::new(BodyExt::boxed(StreamBody::new(futures_util::stream::iter(pieces))))
    })
    .await;
    let edge = Edge::new(&spec(vec![route("app.test", &[app.address])]));
    let mut stream = TcpStream::connect(edge.http).await.expect("connect");
    stream.write_all(b"GET / HTTP/1.0\r\nhost: app.test\r\n\r\n").await.expect("send");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut total = 0;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = stream.read(&mut buffer).await.expect("read");
        if read == 0 {
            break;
        }
        total += read;
    }
    assert!(total >= SIZE, "{total} of {SIZE}");
}

#[tokio::test]
async fn https_only_redirects_once_there_is_a_certificate_and_challenges_always_win() {
    let app = App::saying("hello").await;
    let mut only = route("app.test", &[app.address]);
    only.https_only = true;
    let mut wanted = spec(vec![only]);
    wanted.challenges.push(challenge("app.test", "token-1", "token-1.key"));
    let edge = Edge::new(&wanted);
    let pending = get(edge.http, "app.test", "/x").await;
    assert!(
        pending.starts_with("HTTP/1.1 503") && pending.contains("certificate is being issued"),
        "{pending}"
    );
    wanted.certificates.push(certificate(&["app.test"]));
    assert_eq!(edge.gateway.apply(&wanted), []);
    let redirect = get(edge.http, "APP.test:8080", "/x?y=1").await;
    assert!(redirect.starts_with("HTTP/1.1 308"), "{redirect}");
    assert!(redirect.contains("location: https://app.test:8443/x?y=1\r\n"), "{redirect}");
    let answer = get(edge.http, "app.test", "/.well-known/acme-challenge/token-1").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("token-1.key"), "{answer}");
    let unknown = get(edge.http, "app.test", "/.well-known/acme-challenge/other").await;
    assert!(unknown.starts_with("HTTP/1.1 308"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_swaps_under_load_lose_no_request() {
    let (old, new) = (App::saying("hello").await, App::saying("hello").await);
    let edge = Edge::new(&spec(vec![route("app.test", &[old.address])]));
    let mut clients = JoinSet::new();
    let address = edge.http;
    for _ in 0..8 {
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("connect");
            let mut buffer = [0; 4096];
            for _ in 0..200 {
                stream.write_all(b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n").await.expect("send");
                let read = stream.read(&mut buffer).await.expect("read");
                let answer = String::from_utf8_lossy(&buffer[..read]).into_owned();
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            }
        });
    }
    let mut swaps = 0;
    while !clients.is_empty() {
        let address = if swaps % 2 == 0 { new.address } else { old.address };
        edge.gateway.apply(&spec(vec![route("app.test", &[address])]));
        swaps += 1;
        if let Ok(Some(ended)) = tokio::time::timeout(Duration::from_millis(2), clients.join_next()).await {
            ended.expect("every request was answered");
        }
    }
    assert!(swaps > 3, "{swaps} swaps while the clients ran");
}

#[tokio::test]
async fn a_stop_lets_running_requests_finish_and_closes_idle_connections() {
    let app = App::start(|_| async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Response::new(text("late but whole"))
    })
    .await;
    let mut edge = Edge::new(&spec(vec![route("app.test", &[app.address])]));
    let mut idle = TcpStream::connect(edge.http).await.expect("connect");
    idle.write_all(b"GET / HTTP/1.1\r\nhost: nobody.test\r\n\r\n").await.expect("send");
    let mut buffer = vec![0; 16 * 1024];
    assert!(idle.read(&mut buffer).await.expect("read") > 0);
    let mut running = TcpStream::connect(edge.http).await.expect("connect");
    running.write_all(b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n").await.expect("send");
    tokio::time::sleep(Duration::from_millis(100)).await;
    edge.stop_accepting().await;
    assert!(TcpStream::connect(edge.http).await.is_err(), "nothing new is accepted");
    assert_eq!(edge.drain.finish(Duration::from_secs(5)).await, 0, "nothing had to be cut");
    let mut answer = String::new();
    running.read_to_string(&mut answer).await.expect("read");
    assert!(answer.contains("late but whole") && answer.contains("connection: close"), "{answer}");
    assert_eq!(idle.read(&mut buffer).await.expect("closed"), 0);
}

#[tokio::test]
async fn what_does_not_finish_within_the_grace_is_cut() {
    let silent = App::start(|_| std::future::pending()).await;
    let options = ingress::Options::default();
    let mut edge = Edge::with(options, &spec(vec![route("app.test", &[silent.address])]));
    let mut running = TcpStream::connect(edge.http).await.expect("connect");
    running.write_all(b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n").await.expect("send");
    tokio::time::sleep(Duration::from_millis(100)).await;
    edge.stop_accepting().await;
    let drain: &Drain = &edge.drain;
    assert_eq!(drain.finish(Duration::from_millis(200)).await, 1);
}
