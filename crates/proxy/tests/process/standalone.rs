//! `wisehosting-proxy standalone`: a table from a file, and every new version of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::support::{App, ends_with, free_port, get, https, soon};

/// The process, its table and its log.
struct Standalone {
    folder: TempDir,
    child: Child,
    http: SocketAddr,
    https: SocketAddr,
    health: SocketAddr,
}

fn command(table: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wisehosting-proxy"));
    command
        .args(["standalone", "--drain-s", "0", "--routes"])
        .arg(table)
        .env("NO_COLOR", "1")
        .kill_on_drop(true);
    command
}

impl Standalone {
    fn start(folder: TempDir, table: &Value) -> Self {
        Self::with(folder, table, &[])
    }

    fn with(folder: TempDir, table: &Value, more: &[&str]) -> Self {
        daemon::crypto::install();
        let path = folder.path().join("routes.json");
        std::fs::write(&path, table.to_string()).expect("write");
        let log = std::fs::File::create(folder.path().join("log")).expect("log");
        let (http, https, health) = (free_port(), free_port(), free_port());
        let flags = [("--http", http), ("--https", https), ("--health", health)];
        let child = command(&path)
            .args(flags.into_iter().flat_map(|(flag, address)| [flag.to_owned(), address.to_string()]))
            .args(more)
            .stdout(log.try_clone().expect("log"))
            .stderr(log)
            .spawn()
            .expect("the proxy starts");
        Self { folder, child, http, https, health }
    }

    fn table(&self) -> PathBuf {
        self.folder.path().join("routes.json")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("log")
    }

    async fn answers(&self, host: &str, body: &str) {
        soon(&format!("{body} of {host}"), async || ends_with(&get(self.http, host, "/").await, body)).await;
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id().expect("it runs")).expect("a pid");
        kill(Pid::from_raw(id), signal).expect("signal");
    }

    async fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        let status = tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await;
        assert!(status.expect("ends in time").expect("waits").success(), "{}", self.log());
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("temp dir")
}

fn route(host: &str, app: &App) -> Value {
    json!({ "hosts": [host], "upstreams": [{ "address": app.address }] })
}

#[tokio::test]
async fn each_version_of_the_table_is_taken_and_a_bad_one_leaves_the_last_good_one() {
    let (one, two) = (App::start("one").await, App::start("two").await);
    let proxy = Standalone::start(folder(), &json!({ "routes": [route("a.test", &one)] }));
    proxy.answers("a.test", "one").await;
    assert!(get(proxy.health, "127.0.0.1", "/health").await.contains(r#""status":"ok""#));
    // Renamed over.
    let beside = proxy.folder.path().join("routes.json.new");
    std::fs::write(&beside, json!({ "routes": [route("a.test", &two)] }).to_string()).expect("write");
    std::fs::rename(&beside, proxy.table()).expect("rename");
    proxy.answers("a.test", "two").await;
    // Written in place, and bad: misspelt, cut off, not to be served.
    for (bad, said) in [
        ("{\n\"rutes\": []}".to_owned(), "line 2"),
        ("{\"routes\": [".to_owned(), "EOF"),
        (json!({ "routes": [route("NOT A HOST", &one)] }).to_string(), "NOT A HOST"),
    ] {
        std::fs::write(proxy.table(), bad).expect("write");
        soon(said, async || proxy.log().contains(said)).await;
        proxy.answers("a.test", "two").await;
    }
    std::fs::remove_file(proxy.table()).expect("remove");
    soon("a word about the missing file", async || proxy.log().contains("No such file")).await;
    proxy.answers("a.test", "two").await;
    std::fs::write(proxy.table(), json!({ "routes": [route("b.test", &one)] }).to_string()).expect("write");
    proxy.answers("b.test", "one").await;
    assert!(get(proxy.http, "a.test", "/").await.starts_with("HTTP/1.1 404"));
    proxy.signal(Signal::SIGHUP);
    proxy.answers("b.test", "one").await;
    proxy.stop().await;
}

/// What comes back for `bytes`, until the connection is closed.
async fn raw(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connect");
    let _ = stream.write_all(bytes.as_bytes()).await;
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    let _ = reading.expect("closed in time");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn flags_set_limits_and_the_networks_of_load_balancers() {
    let app = App::start("one").await;
    let table = json!({ "routes": [route("a.test", &app)] });
    let flags = ["--proxy-protocol", "127.0.0.0/8", "--header-bytes", "8192"];
    let proxy = Standalone::with(folder(), &table, &flags);
    let request = |field: &str| format!("GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n{field}\r\n");
    let header = "PROXY TCP4 192.0.2.1 198.51.100.1 56324 80\r\n";
    soon("an answer behind a balancer", async || {
        TcpStream::connect(proxy.http).await.is_ok()
            && ends_with(&raw(proxy.http, &format!("{header}{}", request(""))).await, "one")
    })
    .await;
    assert_eq!(raw(proxy.http, &request("")).await, "", "nothing is read without the balancer's header");
    let large = request(&format!("x: {}\r\n", "x".repeat(9000)));
    let refused = raw(proxy.http, &format!("{header}{large}")).await;
    assert!(refused.starts_with("HTTP/1.1 431"), "{refused}");
    proxy.stop().await;
}

fn write_certificate(folder: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
    std::fs::write(folder.join("chain.pem"), made.cert.pem()).expect("write");
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("write");
    made.cert.pem()
}

#[tokio::test]
async fn a_renewed_certificate_file_is_taken() {
    daemon::crypto::install();
    let (folder, app) = (folder(), App::start("secret").await);
    let mut root = write_certificate(folder.path());
    let certificate = json!({ "hosts": ["localhost"], "chain_file": "chain.pem", "key_file": "key.pem" });
    let table = json!({ "routes": [route("localhost", &app)], "certificates": [certificate] });
    let proxy = Standalone::start(folder, &table);
    for _ in 0..2 {
        soon("HTTPS", async || https(proxy.https, &root).await.as_deref() == Some("secret")).await;
        root = write_certificate(proxy.folder.path());
    }
    proxy.stop().await;
}

async fn ends(mut command: Command) -> Output {
    tokio::time::timeout(Duration::from_secs(10), command.output()).await.expect("ends").expect("runs")
}

#[tokio::test]
async fn check_tells_a_good_table_from_a_bad_one_and_a_bad_one_is_not_started_with() {
    let (folder, app) = (folder(), App::start("one").await);
    let path = folder.path().join("routes.json");
    std::fs::write(&path, json!({ "routes": [route("a.test", &app)] }).to_string()).expect("write");
    let mut check = command(&path);
    check.arg("--check");
    let good = ends(check).await;
    let said = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(good.status.success() && said.contains("1 hosts"), "{said}");
    std::fs::write(&path, "{\n\"routes\": [{\n\"hosts\": [\"a.test\"], \"port\": 80}]}").expect("write");
    for (flags, code) in
        [(vec!["--check".to_owned()], 78), (vec!["--http".to_owned(), free_port().to_string()], 1)]
    {
        let mut command = command(&path);
        command.args(flags);
        let bad = ends(command).await;
        let said = String::from_utf8_lossy(&bad.stderr).into_owned();
        assert_eq!(bad.status.code(), Some(code), "{said}");
        for part in ["routes.json", "routes[0].port", "line 3"] {
            assert!(said.contains(part), "{said}");
        }
    }
}

#[tokio::test]
async fn a_flag_that_cannot_be_used_ends_the_process_before_it_listens() {
    let (folder, app) = (folder(), App::start("one").await);
    let path = folder.path().join("routes.json");
    std::fs::write(&path, json!({ "routes": [route("a.test", &app)] }).to_string()).expect("write");
    for check in [true, false] {
        let mut wrong = command(&path);
        wrong.args(["--headers", "3", "--http", &free_port().to_string()]);
        wrong.args(check.then_some("--check"));
        let ended = ends(wrong).await;
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(78), "{said}");
        assert!(said.contains("`--headers` must be 10 to 10000, not 3"), "{said}");
    }
}
