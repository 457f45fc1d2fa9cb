//! An app that keeps every byte it is sent, and answers each request that came whole.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Kept {
    /// Requests that came whole, as they came.
    whole: Vec<String>,
    /// Bytes that did not become one.
    rest: usize,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("free port");
        let address = listener.local_addr().expect("address");
        let kept = Arc::<Mutex<Kept>>::default();
        let keeping = Arc::clone(&kept);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(record(stream, Arc::clone(&keeping)));
            }
        });
        Self { address, kept, _tasks: tasks }
    }

    /// What came whole since the last call, and whether there was more.
    pub(crate) fn take(&self) -> (Vec<String>, bool) {
        let kept = std::mem::take(&mut *self.kept.lock().expect("lock"));
        (kept.whole, kept.rest > 0)
    }
}

async fn record(mut stream: TcpStream, kept: Arc<Mutex<Kept>>) {
    let (mut pending, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        pending.extend_from_slice(&buffer[..read]);
        while let Some(length) = whole(&pending) {
            let request = pending.drain(..length).collect::<Vec<_>>();
            kept.lock().expect("lock").whole.push(String::from_utf8_lossy(&request).into_owned());
            if stream.write_all(ANSWER).await.is_err() {
                return;
            }
        }
    }
    kept.lock().expect("lock").rest += pending.len();
}

/// Length of the request that `bytes` begin with, read by the letter: CR LF, one length or `chunked`.
fn whole(bytes: &[u8]) -> Option<usize> {
    let find = |from: usize, end: &[u8]| {
        bytes[from..].windows(end.len()).position(|window| window == end).map(|at| from + at + end.len())
    };
    let head = find(0, b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    if text.contains("\r\ntransfer-encoding: chunked\r\n") {
        let mut at = head;
        loop {
            let data = find(at, b"\r\n")?;
            let size = std::str::from_utf8(&bytes[at..data - 2]).expect("text");
            let size = usize::from_str_radix(size, 16).expect("a bare size");
            if size == 0 {
                return if bytes.get(data..data + 2)? == b"\r\n" {
                    Some(data + 2)
                } else {
                    find(data, b"\r\n\r\n")
                };
            }
            at = data + size + 2;
            if at > bytes.len() {
                return None;
            }
        }
    }
    let length =
        text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    (bytes.len() >= head + length).then_some(head + length)
}
