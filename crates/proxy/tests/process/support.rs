//! The process under test, apps behind it, and plain clients.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use daemon::http::ClientOptions;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protocol::identity::NodeIdentity;
use protocol::ids::InstanceId;
use protocol::spec::{ProxySpec, Route, Upstream, Versioned};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

pub(crate) struct Folders {
    root: TempDir,
}

impl Folders {
    pub(crate) fn new() -> Self {
        daemon::crypto::install();
        let root = tempfile::tempdir().expect("temp dir");
        std::fs::create_dir(root.path().join("node")).expect("folder");
        Self { root }
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn write_routes(&self, spec: &Versioned<ProxySpec>) {
        let folder = self.root.path().join("proxy");
        std::fs::create_dir_all(&folder).expect("folder");
        std::fs::write(folder.join("routes.json"), serde_json::to_vec(spec).expect("JSON")).expect("write");
    }

    pub(crate) fn write_identity(&self, identity: &NodeIdentity) {
        node::identity::write(&self.root.path().join("node"), identity).expect("write");
    }
}

/// `wisehosting-proxy run`.
pub(crate) struct Proxy {
    child: Child,
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) mesh: SocketAddr,
}

/// A port that is free, and given to nobody else of this process. Not one that the kernel would pick:
/// those are also the source ports of everybody's connections.
pub(crate) fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 200).expect("below 200") * 100;
    loop {
        let port = 10_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if let Ok(listener) = std::net::TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().expect("address");
        }
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_wisehosting-proxy");

/// Writes the configuration; returns the arguments.
fn configure(
    folders: &Folders,
    [http, https, mesh]: [SocketAddr; 3],
    drain_s: u16,
) -> [std::ffi::OsString; 3] {
    let (root, config) = (folders.path(), folders.path().join("proxy.toml"));
    let text = format!(
        "node_dir = '{0}/node'\nstate_dir = '{0}/proxy'\nhttp = '{http}'\nhttps = '{https}'\nmesh_port = {1}\ndrain_s = {drain_s}\n",
        root.display(),
        mesh.port()
    );
    std::fs::write(&config, text).expect("write");
    ["run".into(), "--config".into(), config.into()]
}

impl Proxy {
    pub(crate) fn start(folders: &Folders) -> Self {
        Self::draining(folders, 0)
    }

    /// One that drains for `drain_s` seconds.
    pub(crate) fn draining(folders: &Folders, drain_s: u16) -> Self {
        let [http, https, mesh] = [free_port(), free_port(), free_port()];
        let mut command = Command::new(PROGRAM);
        command.args(configure(folders, [http, https, mesh], drain_s));
        let child = command.kill_on_drop(true).spawn().expect("the proxy starts");
        Self { child, http, https, mesh }
    }

    /// One that gets `socket` for plain HTTP as systemd would pass it.
    pub(crate) fn with_socket(folders: &Folders, socket: &std::net::TcpListener, drain_s: u16) -> Self {
        let http = socket.local_addr().expect("address");
        let [https, mesh] = [free_port(), free_port()];
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" \"$@\"",
            PROGRAM,
        ]);
        command.args(configure(folders, [http, https, mesh], drain_s));
        command.stdin(Stdio::from(std::os::fd::OwnedFd::from(socket.try_clone().expect("a copy"))));
        let child = command.kill_on_drop(true).spawn().expect("the proxy starts");
        Self { child, http, https, mesh }
    }

    pub(crate) async fn run_to_end(folders: &Folders, http: SocketAddr) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(configure(folders, [http, free_port(), free_port()], 0)).kill_on_drop(true);
        let ended = command.stdin(Stdio::null()).output();
        tokio::time::timeout(Duration::from_secs(10), ended).await.expect("ends").expect("runs")
    }

    /// SIGTERM, and a good end.
    pub(crate) async fn stop(self) {
        self.terminate();
        self.ended().await;
    }

    pub(crate) fn terminate(&self) {
        let id = self.child.id().expect("it runs");
        kill(Pid::from_raw(i32::try_from(id).expect("a pid")), Signal::SIGTERM).expect("signal");
    }

    /// A good end, after [`Proxy::terminate`].
    pub(crate) async fn ended(mut self) {
        let status = tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await;
        assert!(status.expect("ends in time").expect("waits").success());
    }
}

/// An app that answers every connection with one text.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl App {
    pub(crate) async fn start(says: &'static str) -> Self {
        Self::slow(says, Duration::ZERO).await
    }

    pub(crate) async fn slow(says: &'static str, pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("free port");
        let address = listener.local_addr().expect("address");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                open.spawn(async move {
                    let mut head = [0; 4096];
                    while stream.read(&mut head).await.unwrap_or(0) > 0 {
                        tokio::time::sleep(pause).await;
                        let answer =
                            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{says}", says.len());
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                });
            }
        });
        Self { address, _tasks: tasks }
    }
}

pub(crate) fn route(host: &str, address: SocketAddr) -> Route {
    Route {
        id: host.to_owned(),
        app: host.to_owned(),
        hosts: vec![host.to_owned()],
        path: "/".to_owned(),
        upstreams: vec![Upstream { instance: InstanceId::new(), address, weight: 1 }],
        https_only: false,
        options: Box::default(),
        unavailable: None,
    }
}

/// One `GET` on a connection of its own; empty when there is no answer.
pub(crate) async fn get(address: SocketAddr, host: &str, path: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address).await else { return String::new() };
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let exchange = async {
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut answer).await
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), exchange).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The body of `https://localhost/`, from a client that trusts `root` alone.
pub(crate) async fn https(address: SocketAddr, root: &str) -> Option<String> {
    let root_pem = Some(root.as_bytes().to_vec());
    let options = ClientOptions { timeout: Some(Duration::from_secs(5)), direct: true, root_pem };
    let client = daemon::http::client(&options).expect("client");
    let answer = client.get(format!("https://localhost:{}/", address.port())).send().await.ok()?;
    answer.text().await.ok()
}

pub(crate) fn ends_with(answer: &str, body: &str) -> bool {
    answer.starts_with("HTTP/1.1 200") && answer.ends_with(body)
}

/// Asks again and again for ten seconds.
pub(crate) async fn soon(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(10), "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
