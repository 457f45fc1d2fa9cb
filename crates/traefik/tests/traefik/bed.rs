//! A Traefik, apps that tell what reached them, and a client that says exactly what it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use protocol::spec::ProxySpec;
use tempfile::TempDir;
use traefik::file;

const SOON: Duration = Duration::from_secs(20);

pub(crate) fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

/// Answers with its name, and with the request's head as it arrived.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    http2: Arc<AtomicBool>,
}

impl App {
    pub(crate) fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let http2 = Arc::<AtomicBool>::default();
        let seen = Arc::clone(&http2);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || serve(name, &stream, &seen));
            }
        });
        Self { address, http2 }
    }

    pub(crate) fn saw_http2(&self, within: Duration) {
        let until = Instant::now() + within;
        while !self.http2.load(Ordering::Relaxed) {
            assert!(Instant::now() < until, "nobody spoke HTTP/2 with the app");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn serve(name: &str, stream: &TcpStream, http2: &AtomicBool) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_head(&mut reader) {
        if request.starts_with("PRI * HTTP/2.0") {
            http2.store(true, Ordering::Relaxed);
            return;
        }
        let mut body = vec![0; length_of(&request)];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        if request.contains("/slow ") {
            std::thread::sleep(Duration::from_secs(3));
        }
        if let Some(verdict) = verdict(&request) {
            if (&mut &*stream).write_all(verdict.as_bytes()).is_err() {
                return;
            }
            continue;
        }
        let kind = if request.contains("/big.bin") { "application/octet-stream" } else { "text/html" };
        let padding = if request.contains("/big") { "text ".repeat(1000) } else { String::new() };
        let answer = format!("{name}\n{request}{padding}");
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nX-Powered-By: test\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        if (&mut &*stream).write_all(format!("{head}{answer}").as_bytes()).is_err() {
            return;
        }
    }
}

/// What a service says that is asked about requests.
fn verdict(request: &str) -> Option<&'static str> {
    let asked = request.starts_with("GET /verify");
    let known = request.contains("session=ann") && request.contains("X-Forwarded-Uri: /inside?a=b");
    asked.then_some(if known {
        "HTTP/1.1 200 OK\r\nRemote-User: ann\r\nX-Secret: 1\r\nContent-Length: 0\r\n\r\n"
    } else {
        "HTTP/1.1 302 Found\r\nLocation: /login\r\nSet-Cookie: try=1\r\nContent-Length: 5\r\n\r\nfirst"
    })
}

fn read_head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            return Some(head);
        }
        head.push_str(&line);
    }
}

fn length_of(head: &str) -> usize {
    let value =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:").map(str::to_owned));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// Which app answered.
    pub(crate) fn app(&self) -> &str {
        self.body.lines().next().unwrap_or_default()
    }

    /// What it was asked for.
    pub(crate) fn path(&self) -> &str {
        self.body.lines().nth(1).and_then(|line| line.split(' ').nth(1)).unwrap_or_default()
    }
}

/// A running Traefik with a table.
pub(crate) struct Bed {
    pub(crate) web: SocketAddr,
    pub(crate) secure: SocketAddr,
    process: Child,
    log: PathBuf,
    _folder: TempDir,
}

impl Bed {
    pub(crate) fn start(spec: &ProxySpec, agent: SocketAddr) -> Self {
        Self::with(spec, agent, &[])
    }

    /// With more of the static configuration.
    pub(crate) fn with(spec: &ProxySpec, agent: SocketAddr, settings: &[String]) -> Self {
        let program = std::env::var("WH_TRAEFIK")
            .expect("WH_TRAEFIK is not set: `scripts/test e2e` gets Traefik and sets it to the program");
        let folder = tempfile::tempdir().expect("a folder");
        let (dynamic, log) = (folder.path().join("dynamic.yaml"), folder.path().join("log"));
        let (web, secure, api) = (free_port(), free_port(), free_port());
        let table = file::render(spec, agent);
        std::fs::write(&dynamic, &table.text).expect("write");
        let process = Command::new(program)
            .arg(format!("--entryPoints.web.address={web}"))
            .arg(format!("--entryPoints.websecure.address={secure}"))
            .arg(format!("--entryPoints.traefik.address={api}"))
            .arg(format!("--providers.file.filename={}", dynamic.display()))
            .arg(format!("--log.filePath={}", log.display()))
            .args(["--api.insecure=true", "--log.format=json", "--log.level=INFO"])
            .args(["--global.checkNewVersion=false", "--global.sendAnonymousUsage=false"])
            .args(settings)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Traefik starts");
        let bed = Self { web, secure, process, log, _folder: folder };
        let marker = format!("/api/http/middlewares/{}@file", table.marker);
        let until = Instant::now() + SOON;
        let ask = format!("GET {marker} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        while send(api, &ask).is_none_or(|answer| answer.status != 200) {
            assert!(Instant::now() < until, "Traefik does not take the table: {}", bed.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        bed
    }

    pub(crate) fn get(&self, host: &str, path: &str, headers: &[&str]) -> Answer {
        let host = format!("Host: {host}");
        let lines = [&[host.as_str()], headers, &["Connection: close", "\r\n"]].concat().join("\r\n");
        self.send(&format!("GET {path} HTTP/1.1\r\n{lines}"))
    }

    /// As a browser names a host on a port that is not HTTP's own.
    pub(crate) fn get_at_port(&self, host: &str, path: &str) -> Answer {
        self.get(&format!("{host}:{}", self.web.port()), path, &[])
    }

    pub(crate) fn post(&self, host: &str, body: &str) -> Answer {
        let length = body.len();
        self.send(&format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        ))
    }

    fn send(&self, request: &str) -> Answer {
        send(self.web, request).unwrap_or_else(|| panic!("no answer to {request}"))
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has noticed.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn send(address: SocketAddr, request: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(SOON)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}
