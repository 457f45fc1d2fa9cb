//! The soft end in steps: nobody is turned away while something slow ends.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::Response;
use ingress::bind::Inherited;
use ingress::{Drain, Gateway, Options, Scheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::{App, route, spec, text};

const GRACE: Duration = Duration::from_secs(5);

struct Edge {
    address: SocketAddr,
    drain: Drain,
    tasks: JoinSet<()>,
}

async fn edge() -> (Edge, App) {
    daemon::crypto::install();
    let app = App::start(|request| async move {
        if request.uri().path() == "/slow" {
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        Response::new(text("done"))
    })
    .await;
    let gateway = Gateway::new(Options::default());
    assert_eq!(gateway.apply(&spec(vec![route("app.test", &[app.address])])), []);
    let drain = Drain::in_steps();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Inherited::default().listen("test", any).expect("free port");
    let address = listener.local_addr().expect("address");
    let serving = ingress::serve(gateway, listener, Scheme::Http, drain.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { serving.await.expect("serves") });
    (Edge { address, drain, tasks }, app)
}

impl Edge {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("accepted")
    }
}

async fn send(stream: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: app.test\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("send");
}

/// What comes until the connection ends, or one answer of one that stays open.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    let reading = tokio::time::timeout(Duration::from_secs(3), stream.read_to_string(&mut answer));
    reading.await.expect("the connection ends").expect("read");
    answer
}

fn is_last(answer: &str) -> bool {
    answer.ends_with("done") && answer.contains("connection: close")
}

#[tokio::test]
async fn answers_say_so_from_the_begin_and_newcomers_are_served_while_slow_ones_end() {
    let (mut edge, _app) = edge().await;
    let (mut kept, mut slow, mut silent) = (edge.connect().await, edge.connect().await, edge.connect().await);
    send(&mut kept, "/").await;
    let mut first = [0; 1024];
    let read = kept.read(&mut first).await.expect("an answer");
    assert!(!String::from_utf8_lossy(&first[..read]).contains("connection: close"));
    edge.drain.begin();
    send(&mut kept, "/").await;
    assert!(is_last(&rest(&mut kept).await));
    send(&mut slow, "/slow").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (drain, began) = (edge.drain.clone(), Instant::now());
    let mut finishing = JoinSet::new();
    finishing.spawn(async move { drain.finish(GRACE).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut newcomer = edge.connect().await;
    // Accepted before, its first request comes now.
    send(&mut silent, "/").await;
    send(&mut newcomer, "/").await;
    assert!(is_last(&rest(&mut newcomer).await) && is_last(&rest(&mut silent).await));
    assert!(began.elapsed() < Duration::from_millis(500), "nobody waited for the slow one");
    assert!(is_last(&rest(&mut slow).await));
    assert_eq!(finishing.join_next().await.expect("one").expect("ends"), 0);
    assert!(edge.tasks.join_next().await.is_some(), "nothing is accepted any more");
    assert!(TcpStream::connect(edge.address).await.is_err());
}

#[tokio::test]
async fn a_connection_without_a_request_does_not_hold_the_end_up() {
    let (edge, _app) = edge().await;
    let mut silent = edge.connect().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    edge.drain.begin();
    let began = Instant::now();
    assert_eq!(edge.drain.finish(GRACE).await, 0);
    assert!(began.elapsed() < GRACE, "{:?}", began.elapsed());
    assert_eq!(rest(&mut silent).await, "");
}
