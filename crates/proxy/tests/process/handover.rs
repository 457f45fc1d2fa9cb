//! A proxy that is restarted or taken out: no connection and no request is lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use protocol::spec::{ProxySpec, Versioned};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::hub::Hub;
use crate::support::{App, Folders, Proxy, get, route, soon};

/// What one client did.
#[derive(Debug, Default)]
struct Outcome {
    answers: usize,
    failures: Vec<String>,
    longest: Duration,
}

/// Asks at a steady pace, whatever becomes of the answers; a wait counts from the moment that the pace says.
struct Client {
    address: SocketAddr,
    host: &'static str,
    says: &'static str,
    every: Duration,
    keeps: bool,
}

impl Client {
    async fn run(self, stop: Arc<AtomicBool>) -> Outcome {
        let (mut outcome, mut open) = (Outcome::default(), None);
        let mut due = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep_until(due.into()).await;
            match tokio::time::timeout(Duration::from_secs(20), self.ask(&mut open)).await {
                Ok(Ok(())) => outcome.answers += 1,
                Ok(Err(error)) => outcome.failures.push(error.to_string()),
                Err(_) => outcome.failures.push("no answer".to_owned()),
            }
            outcome.longest = outcome.longest.max(due.elapsed());
            due += self.every;
        }
        outcome
    }

    async fn ask(&self, open: &mut Option<TcpStream>) -> std::io::Result<()> {
        let mut stream = match open.take() {
            Some(stream) => stream,
            None => TcpStream::connect(self.address).await?,
        };
        let close = if self.keeps { "" } else { "connection: close\r\n" };
        let request = format!("GET / HTTP/1.1\r\nhost: {}\r\n{close}\r\n", self.host);
        stream.write_all(request.as_bytes()).await?;
        let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
        while !answer.ends_with(self.says.as_bytes()) {
            let read = stream.read(&mut piece).await?;
            if read == 0 {
                return Err(std::io::Error::other(format!("ended: {}", String::from_utf8_lossy(&answer))));
            }
            answer.extend_from_slice(&piece[..read]);
        }
        let last = answer.windows(17).any(|window| window == b"connection: close");
        *open = (self.keeps && !last).then_some(stream);
        Ok(())
    }
}

#[tokio::test]
async fn five_restarts_under_load_refuse_no_connection_and_lose_no_request() {
    let folders = Folders::new();
    let (fast, slow) = (App::start("fast").await, App::slow("slow", Duration::from_millis(700)).await);
    let routes = vec![route("fast.test", fast.address).into(), route("slow.test", slow.address).into()];
    folders.write_routes(&Versioned { generation: 1, spec: ProxySpec { routes, ..ProxySpec::default() } });
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("free port");
    let address = socket.local_addr().expect("address");
    let mut proxy = Proxy::with_socket(&folders, &socket, 1);
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for (host, says, every, keeps, count) in [
        ("fast.test", "fast", 50, true, 8),
        ("fast.test", "fast", 50, false, 4),
        ("slow.test", "slow", 1000, false, 2),
        ("slow.test", "slow", 1000, true, 2),
    ] {
        for _ in 0..count {
            let every = Duration::from_millis(every);
            let client = Client { address, host, says, every, keeps };
            clients.spawn(client.run(Arc::clone(&stop)));
        }
    }
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        proxy.stop().await;
        proxy = Proxy::with_socket(&folders, &socket, 1);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.store(true, Ordering::Relaxed);
    let mut all = Outcome::default();
    while let Some(one) = clients.join_next().await {
        let one = one.expect("no panic");
        all.longest = all.longest.max(one.longest);
        all.answers += one.answers;
        all.failures.extend(one.failures);
    }
    proxy.stop().await;
    let Outcome { answers, failures, longest } = all;
    eprintln!("5 restarts: {answers} answers, {} failures, longest wait {longest:?}", failures.len());
    assert_eq!(failures, Vec::<String>::new());
    assert!(answers > 500, "{answers}");
    // Generous, because a loaded machine starts processes slowly; one slow answer at a time must not add up.
    assert!(longest < Duration::from_secs(15), "{longest:?}");
}

#[tokio::test]
async fn a_draining_proxy_says_so_serves_on_takes_new_routes_and_ends() {
    let (folders, app) = (Folders::new(), App::start("hello").await);
    let mut hub = Hub::start().await;
    folders.write_identity(&hub.identity());
    let proxy = Proxy::draining(&folders, 3);
    let mut agent = hub.connection().await;
    let spec = |host| ProxySpec { routes: vec![route(host, app.address).into()], ..ProxySpec::default() };
    agent.push(1, spec("one.test")).await;
    assert_eq!(agent.applied().await, 1);
    soon("health", async || get(proxy.mesh, "127.0.0.1", "/health").await.starts_with("HTTP/1.1 200")).await;
    let mut kept = TcpStream::connect(proxy.http).await.expect("connect");
    proxy.terminate();
    let draining = async || get(proxy.mesh, "127.0.0.1", "/health").await;
    soon("draining", async || draining().await.contains(r#"{"status":"draining"}"#)).await;
    assert!(draining().await.starts_with("HTTP/1.1 503"));
    agent.push(2, spec("two.test")).await;
    assert_eq!(agent.applied().await, 2, "while it serves it takes new routes");
    assert!(get(proxy.http, "two.test", "/").await.ends_with("hello"));
    kept.write_all(b"GET / HTTP/1.1\r\nhost: two.test\r\n\r\n").await.expect("send");
    let mut answer = String::new();
    kept.read_to_string(&mut answer).await.expect("the connection ends after its answer");
    assert!(answer.contains("connection: close") && answer.ends_with("hello"), "{answer}");
    proxy.ended().await;
}
