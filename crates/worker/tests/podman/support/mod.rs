//! A host of its own for each test: private namespaces for network, processes, mounts and names, private storage, a
//! Podman service in it. The test runs itself again inside.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::ids::InstanceId;
use protocol::message::FromAgent;
use tokio::time::Instant;
use worker::uplink::{DownloadError, LinkEnded, Uplink};

const INSIDE: &str = "WISEHOSTING_INSIDE_TEST_HOST";
pub(crate) const SOCKET: &str = "/run/podman/podman.sock";
/// The host's address on the mesh.
pub(crate) const MESH: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 50, 0, 11);

const SET_UP: &str = r#"
set -e
mount -t tmpfs tmpfs /run -o mode=755
mkdir -p /run/containers /run/lock /run/netns /run/podman
mount -t tmpfs tmpfs /dev/shm
mkdir -p /var/lib/containers "$HOST/containers" "$HOST/etc" "$HOST/tree/bin" "$HOST/tree/tmp" "$HOST/tree/etc"
mount --bind "$HOST/containers" /var/lib/containers
if [ -n "$STORAGE" ]; then
  truncate -s 1G "$HOST/disk"
  "mkfs.$STORAGE" -q "$HOST/disk" && mount -t "$STORAGE" -o "loop$STORAGE_OPTIONS" "$HOST/disk" /var/lib/containers || exit 77
fi
if [ "$STORAGE" = btrfs ]; then
  btrfs quota enable /var/lib/containers
  printf '[storage]\ndriver="btrfs"\ngraphroot="/var/lib/containers/storage"\nrunroot="/run/containers/storage"\n' > "$HOST/etc/storage.conf"
fi
cat > "$HOST/etc/containers.conf" <<E
[containers]
default_ulimits=["nofile=1024:1024","nproc=1024:1024"]
[engine]
runtime="runc"
cgroup_manager="cgroupfs"
events_logger="file"
[network]
network_backend="netavark"
E
echo '{"default":[{"type":"insecureAcceptAnything"}]}' > "$HOST/etc/policy.json"
mkdir -p /etc/containers
mount --bind "$HOST/etc" /etc/containers
ip link set lo up
ip link add eth0 type bridge; ip addr add 198.51.100.20/24 dev eth0; ip link set eth0 up
ip link add wh0 type bridge; ip addr add 10.50.0.11/24 dev wh0; ip link set wh0 up
ip route add default via 198.51.100.1
sysctl -qw net.ipv4.ip_forward=1
cp /bin/busybox "$HOST/tree/bin/"
for applet in sh httpd cat echo sleep ls id true false touch nc wget dd mkdir stty; do ln -s busybox "$HOST/tree/bin/$applet"; done
tar -C "$HOST/tree" -c . | podman import -q --change 'CMD=["/bin/sh"]' - docker.io/library/busybox:latest >/dev/null 2>&1
podman system service --time=0 unix:///run/podman/podman.sock >"$HOST/podman.log" 2>&1 &
for i in $(seq 100); do [ -S /run/podman/podman.sock ] && break; sleep 0.05; done
"$@"
podman rm -fa -t 0 >/dev/null 2>&1 || true
"#;

/// What the host has its containers on, beside its own disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disk {
    Own,
    /// Podman's driver of that name, with quotas switched on.
    Btrfs,
    /// With project quotas.
    Xfs,
}

/// Runs `test` in a host of its own. `name` is the test's path for the harness.
pub(crate) fn on_a_host(name: &str, test: impl Future<Output = ()>) {
    on_a_host_with(Disk::Own, name, test);
}

/// As [`on_a_host`]. Where the kernel or the programs for the disk are missing, it says so and tests nothing.
pub(crate) fn on_a_host_with(disk: Disk, name: &str, test: impl Future<Output = ()>) {
    if std::env::var_os(INSIDE).is_some() {
        daemon::crypto::install();
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime").block_on(test);
        return;
    }
    let (storage, options) = match disk {
        Disk::Own => ("", ""),
        Disk::Btrfs => ("btrfs", ""),
        Disk::Xfs => ("xfs", ",pquota"),
    };
    let host = tempfile::tempdir().expect("temp dir");
    let program = std::env::current_exe().expect("this program");
    let status = Command::new("unshare")
        .args([
            "--net",
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
            "--uts",
            "--ipc",
        ])
        .args(["--mount-proc", "bash", "-c", SET_UP, "host"])
        .arg(&program)
        .args(["--exact", name, "--nocapture", "--include-ignored"])
        .env(INSIDE, "1")
        .env("HOST", host.path())
        .env("STORAGE", storage)
        .env("STORAGE_OPTIONS", options)
        .stdin(Stdio::null())
        .status()
        .expect("unshare");
    if disk != Disk::Own && status.code() == Some(77) {
        let said = format!("{name} is not shown here: no {storage} with quotas can be made and mounted");
        writeln!(std::io::stderr(), "{said}").expect("said");
        return;
    }
    assert!(status.success(), "{name} failed on its host: {status}");
}

/// Where this host keeps its state.
pub(crate) fn state_dir() -> PathBuf {
    PathBuf::from(std::env::var_os("HOST").expect("inside a host")).join("state")
}

/// The control plane, as far as the worker's parts see it: hears everything, acknowledges at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct ControlPlane {
    heard: Arc<Mutex<Vec<FromAgent>>>,
    archive: Arc<Vec<u8>>,
}

impl ControlPlane {
    pub(crate) fn with_archive(archive: Vec<u8>) -> Self {
        Self { archive: Arc::new(archive), ..Self::default() }
    }

    /// What `pick` makes of the messages so far, as soon as it makes something.
    pub(crate) async fn wait<T>(
        &self,
        what: &str,
        seconds: u64,
        pick: impl Fn(&[FromAgent]) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(found) = pick(&self.heard.lock().unwrap_or_else(PoisonError::into_inner)) {
                return found;
            }
            assert!(Instant::now() < deadline, "no {what} within {seconds} s; heard {:?}", self.heard);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How often the instance printed the line.
    pub(crate) fn printed(&self, id: InstanceId, text: &str) -> usize {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = heard.iter().filter_map(|message| match message {
            FromAgent::InstanceLog(log) if log.instance_id == id => Some(&log.lines),
            _ => None,
        });
        lines.flatten().filter(|line| line.text == text).count()
    }

    fn hear(&self, message: FromAgent) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }
}

impl Uplink for ControlPlane {
    async fn deliver(&self, message: FromAgent) -> Result<(), LinkEnded> {
        self.hear(message);
        Ok(())
    }

    async fn say(&self, message: FromAgent) {
        self.hear(message);
    }

    async fn get(&self, _path: &str) -> Result<reqwest::Response, DownloadError> {
        Ok(http::Response::new(reqwest::Body::from(self.archive.to_vec())).into())
    }
}

/// A gzipped tar of the given files.
pub(crate) fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, path, content.as_bytes()).expect("append");
    }
    let mut gzip = builder.into_inner().expect("tar");
    gzip.flush().expect("flush");
    gzip.finish().expect("gzip")
}

/// How many processes have `text` in their command line.
pub(crate) fn processes(text: &str) -> usize {
    let matches = |path: &Path| {
        std::fs::read(path.join("cmdline")).is_ok_and(|line| {
            let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
            words.join(" ").trim() == text
        })
    };
    let all = std::fs::read_dir("/proc").expect("proc");
    all.filter_map(Result::ok).filter(|entry| matches(&entry.path())).count()
}

/// A control plane that is away: takes nothing, acknowledges nothing, but once gave out the archive.
#[derive(Debug, Clone)]
pub(crate) struct Deaf(pub ControlPlane);

impl Uplink for Deaf {
    async fn deliver(&self, _message: FromAgent) -> Result<(), LinkEnded> {
        std::future::pending().await
    }

    async fn say(&self, _message: FromAgent) {}

    async fn get(&self, path: &str) -> Result<reqwest::Response, DownloadError> {
        self.0.get(path).await
    }
}
