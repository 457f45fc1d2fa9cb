//! Clients: `wrk` for many requests, our own for what it cannot do.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::engine::HOST;
use crate::process::float;

/// What came of a load.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// One answer, head and body, of a connection of its own.
pub(crate) fn get(address: SocketAddr, host: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// `wrk` with one thread.
#[derive(Debug, Clone)]
pub(crate) struct Wrk<'a> {
    pub(crate) url: String,
    pub(crate) connections: u32,
    pub(crate) seconds: u32,
    /// A new connection for each request.
    pub(crate) close: bool,
    /// A script in Lua.
    pub(crate) script: Option<&'a std::path::Path>,
}

impl Wrk<'_> {
    pub(crate) fn run(&self) -> Result<Report> {
        let mut command = Command::new("wrk");
        command.args(["-t1", "--latency", "--timeout", "10s"]);
        command.arg(format!("-c{}", self.connections)).arg(format!("-d{}s", self.seconds));
        if self.close {
            command.args(["-H", "Connection: close"]);
        }
        if let Some(script) = self.script {
            command.arg("-s").arg(script);
        }
        let output = command.arg(&self.url).output().context("wrk")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
        parse(&text).with_context(|| format!("wrk said: {text}"))
    }
}

fn parse(text: &str) -> Option<Report> {
    let after = |label: &str| text.lines().find_map(|line| line.trim().strip_prefix(label)).map(str::trim);
    let requests = text.lines().find(|line| line.contains(" requests in "))?;
    let failed: u64 = text
        .lines()
        .filter(|line| line.contains("Socket errors:") || line.contains("Non-2xx"))
        .flat_map(|line| line.split(|character: char| !character.is_ascii_digit()))
        .skip_while(|word| word.is_empty())
        .filter_map(|word| word.parse::<u64>().ok())
        .sum();
    // "Non-2xx or 3xx responses: N" names two classes before the number.
    let classes = if text.contains("Non-2xx") { 2 + 3 } else { 0 };
    Some(Report {
        requests: requests.trim().split(' ').next()?.parse().ok()?,
        failed: failed.saturating_sub(classes),
        per_second: after("Requests/sec:")?.parse().ok()?,
        p50_ms: milliseconds(after("50%")?)?,
        p99_ms: milliseconds(after("99%")?)?,
    })
}

fn milliseconds(text: &str) -> Option<f64> {
    for (unit, factor) in [("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            return number.parse::<f64>().ok().map(|number| number * factor);
        }
    }
    None
}

/// Full TLS handshakes with one request each, nothing resumed, from 32 clients.
pub(crate) fn handshakes(address: SocketAddr, root_pem: &str, time: Duration) -> Result<Report> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root_pem.as_bytes())?)?;
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    let connector = TlsConnector::from(Arc::new(config));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut waits = runtime.block_on(async {
        let mut clients = tokio::task::JoinSet::new();
        let end = Instant::now() + time;
        for _ in 0..32 {
            let connector = connector.clone();
            clients.spawn(async move {
                let mut waits = Vec::new();
                while Instant::now() < end {
                    let began = Instant::now();
                    let good =
                        handshake(&connector, address).await.is_ok_and(|answer| answer.contains(" 200 "));
                    waits.push(good.then(|| began.elapsed().as_secs_f64() * 1000.0));
                }
                waits
            });
        }
        clients.join_all().await.concat()
    });
    let all = waits.len() as u64;
    waits.retain(Option::is_some);
    let mut good: Vec<f64> = waits.into_iter().flatten().collect();
    good.sort_by(f64::total_cmp);
    let at =
        |percent: usize| good.get((good.len() * percent / 100).min(good.len().saturating_sub(1))).copied();
    Ok(Report {
        requests: all,
        failed: all - good.len() as u64,
        per_second: float(all) / time.as_secs_f64(),
        p50_ms: at(50).unwrap_or(f64::NAN),
        p99_ms: at(99).unwrap_or(f64::NAN),
    })
}

async fn handshake(connector: &TlsConnector, address: SocketAddr) -> io::Result<String> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(HOST).map_err(io::Error::other)?;
    let mut stream = connector.connect(name, stream).await?;
    let request = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // Not all say goodbye before they close.
    if let Err(error) = stream.read_to_end(&mut answer).await
        && error.kind() != io::ErrorKind::UnexpectedEof
    {
        return Err(error);
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// MiB per second of one body from the app.
pub(crate) fn download(address: SocketAddr, bytes: u64) -> Result<f64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let began = Instant::now();
    write!(stream, "GET /bytes/{bytes} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n")?;
    let (mut piece, mut read) = (vec![0; 256 * 1024], 0);
    loop {
        match stream.read(&mut piece)? {
            0 => break,
            count => read += count as u64,
        }
    }
    ensure!(read > bytes && read < bytes + 4096, "{read} bytes came of {bytes}");
    Ok(float(bytes) / 1_048_576.0 / began.elapsed().as_secs_f64())
}

/// MiB per second of one body to the app.
pub(crate) fn upload(address: SocketAddr, bytes: u64) -> Result<f64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let began = Instant::now();
    write!(
        stream,
        "POST / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\ncontent-length: {bytes}\r\n\r\n"
    )?;
    let (piece, mut left) = (vec![b'x'; 256 * 1024], bytes);
    while left > 0 {
        let now = usize::try_from(left)?.min(piece.len());
        stream.write_all(&piece[..now])?;
        left -= now as u64;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.ends_with(&bytes.to_string()), "the app counted otherwise: {answer}");
    Ok(float(bytes) / 1_048_576.0 / began.elapsed().as_secs_f64())
}

/// Readers of 100 MiB each at 2 MB/s, until dropped.
pub(crate) struct SlowReaders {
    stop: Arc<AtomicBool>,
    readers: Vec<thread::JoinHandle<io::Result<()>>>,
}

impl SlowReaders {
    pub(crate) fn start(address: SocketAddr, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let reader = |_| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || read_slowly(address, &stop))
        };
        let readers = (0..count).map(reader).collect();
        Self { stop, readers }
    }

    /// How many were served until now.
    pub(crate) fn end(self) -> usize {
        let alive = self.readers.iter().filter(|reader| !reader.is_finished()).count();
        self.stop.store(true, Ordering::Relaxed);
        for reader in self.readers {
            let _ = reader.join();
        }
        alive
    }
}

fn read_slowly(address: SocketAddr, stop: &AtomicBool) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // Else the kernel's buffers take what is to be seen.
    socket.set_recv_buffer_size(64 * 1024)?;
    socket.connect(&address.into())?;
    let mut stream = TcpStream::from(socket);
    write!(stream, "GET /bytes/104857600 HTTP/1.1\r\nhost: {HOST}\r\n\r\n")?;
    let mut piece = vec![0; 20_000];
    while !stop.load(Ordering::Relaxed) {
        stream.read_exact(&mut piece)?;
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Messages of `bytes` there and back, one after the other.
pub(crate) fn echoes(address: SocketAddr, bytes: usize, time: Duration) -> Result<Report> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (mut socket, _) = tungstenite::client(format!("ws://{HOST}/"), stream)?;
    let message = Message::binary(vec![b'x'; bytes]);
    let (mut waits, began) = (Vec::new(), Instant::now());
    while began.elapsed() < time {
        let sent = Instant::now();
        socket.send(message.clone())?;
        ensure!(socket.read()? == message, "another message came back");
        waits.push(sent.elapsed().as_secs_f64() * 1000.0);
    }
    let per_second = float(waits.len() as u64) / began.elapsed().as_secs_f64();
    waits.sort_by(f64::total_cmp);
    Ok(Report {
        requests: waits.len() as u64,
        failed: 0,
        per_second,
        p50_ms: waits[waits.len() / 2],
        p99_ms: waits[waits.len() * 99 / 100],
    })
}
