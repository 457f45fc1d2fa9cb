//! Real tunnels between two hosts on this machine. A host is a set of namespaces held by one process: network, mounts
//! (the device's socket has a fixed path), processes. All of it ends with that process.
//!
//! Needs root, and says so: `cargo test -p node --features root-tests --test tunnel`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const AGENT: &str = env!("CARGO_BIN_EXE_wisehosting-mesh");
const LIMIT: Duration = Duration::from_secs(20);

/// Looks again and again until `check` gives something.
fn wait_for<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn must(command: &mut Command) -> String {
    let output = command.output().expect("runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The first child of a process, which for `unshare --fork` and `nsenter --pid` is the one that matters.
fn child_of(pid: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn signal(pid: u32, name: &str) {
    must(Command::new("kill").args(["-s", name, &pid.to_string()]));
}

struct Host {
    name: &'static str,
    /// The `unshare` that holds the namespaces; killing it kills the host.
    holder: Child,
    pid: u32,
    folder: TempDir,
    agent: Option<Child>,
}

impl Host {
    fn start(name: &'static str) -> Self {
        let holder = Command::new("unshare")
            .args([
                "--net",
                "--mount",
                "--propagation",
                "private",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .args([
                "sh",
                "-c",
                "mount -t tmpfs tmpfs /run && mkdir /run/wireguard && ip link set lo up && exec sleep 300",
            ])
            .spawn()
            .expect("unshare");
        let pid = wait_for("the host's first process", || {
            let pid = child_of(holder.id())?;
            let command = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            (command.trim() == "sleep").then_some(pid)
        });
        Self { name, holder, pid, folder: tempfile::tempdir().expect("temp dir"), agent: None }
    }

    fn enter(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid.to_string(), "--net", "--mount", "--pid", program]);
        command
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("agent.log")).unwrap_or_default()
    }

    /// Starts the agent with a log of its own. Nobody answers at its control plane.
    fn run_agent(&mut self, address: &str, peers: &str) {
        let config = self.folder.path().join("mesh.toml");
        let text = format!(
            "state_dir = {:?}\nbackend = \"userspace\"\n[node]\nname = \"{}\"\nroles = [\"worker\"]\n\
             [declared]\naddress = \"{address}/24\"\ncontrol_planes = [\"http://127.0.0.1:1\"]\npeers = [{peers}]\n",
            self.state(),
            self.name
        );
        std::fs::write(&config, text).expect("write");
        let log = File::create(self.folder.path().join("agent.log")).expect("create");
        let agent = self
            .enter(AGENT)
            .args(["run", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("nsenter");
        self.agent = Some(agent);
    }

    fn public_key(&self) -> String {
        let path = self.state().join("public.key");
        wait_for("public.key", || std::fs::read_to_string(&path).ok()).trim().to_owned()
    }

    fn kill_agent(&mut self) {
        let mut agent = self.agent.take().expect("an agent runs");
        signal(child_of(agent.id()).expect("the agent"), "KILL");
        agent.wait().expect("nsenter ends with it");
    }

    /// Changes whenever the interface is made anew.
    fn interface(&self) -> Option<u64> {
        let output = self.enter("ip").args(["-json", "link", "show", "dev", "wh0"]).output().expect("runs");
        let links: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        links[0]["ifindex"].as_u64()
    }

    fn reaches(&self, address: &str) -> bool {
        let ping = self.enter("ping").args(["-c", "1", "-W", "1", address]).output();
        ping.expect("ping").status.success()
    }

    /// The tunnel process in this host's process namespace.
    fn tunnel_process(&self) -> u32 {
        let space = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let own = space(self.pid).expect("the host runs");
        let processes = std::fs::read_dir("/proc").expect("/proc");
        let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let is_tunnel = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word == b"tunnel") && space(*pid).as_ref() == Some(&own)
        };
        let found: Vec<u32> = pids.filter(is_tunnel).collect();
        assert_eq!(found.len(), 1, "tunnel processes on {}", self.name);
        found[0]
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("agent of {}:\n{}", self.name, self.log());
            let tunnel = std::fs::read_to_string(self.state().join("tunnel.log"));
            eprintln!("tunnel of {}:\n{}", self.name, tunnel.unwrap_or_default());
        }
        // The namespace's first process takes all others with it.
        signal(self.pid, "KILL");
        let _ = self.holder.wait();
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.wait();
        }
    }
}

/// Two hosts on one wire, 198.51.100.10 and .20, with a tunnel between them.
struct World {
    a: Host,
    b: Host,
}

fn peer(name: &str, key: &str, address: &str, endpoint: &str) -> String {
    format!(
        "{{ name = \"{name}\", public_key = \"{key}\", mesh_address = \"{address}\", endpoint = \"{endpoint}:51821\" }}"
    )
}

impl World {
    fn start() -> Self {
        let root = must(Command::new("id").arg("-u"));
        assert_eq!(root.trim(), "0", "these tests make namespaces and tunnels: run them as root");
        let (mut a, mut b) = (Host::start("a"), Host::start("b"));
        let (pid_a, pid_b) = (a.pid.to_string(), b.pid.to_string());
        must(
            Command::new("ip")
                .args(["link", "add", "eth0", "netns", &pid_a, "type", "veth"])
                .args(["peer", "name", "eth0", "netns", &pid_b]),
        );
        for (host, address) in [(&a, "198.51.100.10/24"), (&b, "198.51.100.20/24")] {
            must(host.enter("ip").args(["address", "add", address, "dev", "eth0"]));
            must(host.enter("ip").args(["link", "set", "eth0", "up"]));
        }
        // b alone first, as a control plane's host starts: it makes its key without knowing anybody.
        b.run_agent("10.50.0.2", "");
        let key_b = b.public_key();
        a.run_agent("10.50.0.1", &peer("b", &key_b, "10.50.0.2", "198.51.100.20"));
        let key_a = a.public_key();
        wait_for("b's interface", || b.interface());
        b.kill_agent();
        b.run_agent("10.50.0.2", &peer("a", &key_a, "10.50.0.1", "198.51.100.10"));
        let world = Self { a, b };
        wait_for("a ping through the tunnel", || world.a.reaches("10.50.0.2").then_some(()));
        world
    }
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().expect("metadata").permissions().mode() & 0o777
}

#[test]
fn two_hosts_reach_each_other_and_keep_their_secrets() {
    let world = World::start();
    assert!(world.b.reaches("10.50.0.1"));
    assert_eq!(mode(&world.a.state().join("private.key")), 0o600);
    let socket = format!("/proc/{}/root/run/wireguard/wh0.sock", world.a.pid);
    assert_eq!(mode(Path::new(&socket)) & 0o077, 0, "the socket gives the private key away");
    let link = must(world.a.enter("ip").args(["-json", "link", "show", "dev", "wh0"]));
    assert!(link.contains("\"mtu\":1420"), "{link}");
}

#[test]
fn the_tunnel_outlives_its_agent_and_the_next_agent_adopts_it() {
    let mut world = World::start();
    let before = world.a.interface();
    world.a.kill_agent();
    assert!(world.a.reaches("10.50.0.2"), "the tunnel went with the agent");
    let key_b = world.b.public_key();
    world.a.run_agent("10.50.0.1", &peer("b", &key_b, "10.50.0.2", "198.51.100.20"));
    wait_for("adoption", || world.a.log().contains("adopted the existing interface").then_some(()));
    assert!(world.a.reaches("10.50.0.2"));
    assert_eq!(world.a.interface(), before);
    assert!(!world.a.log().contains("changing the tunnel"), "nothing had changed: {}", world.a.log());
}

#[test]
fn a_peer_with_a_new_endpoint_is_replaced_and_the_device_lives() {
    let mut world = World::start();
    let before = world.a.interface();
    // b moves; nobody may learn the new place by roaming, so b is silent until a calls.
    world.b.kill_agent();
    let tunnel = world.b.tunnel_process();
    signal(tunnel, "STOP");
    must(world.b.enter("ip").args(["address", "del", "198.51.100.20/24", "dev", "eth0"]));
    must(world.b.enter("ip").args(["address", "add", "198.51.100.21/24", "dev", "eth0"]));
    world.a.kill_agent();
    let key_b = world.b.public_key();
    world.a.run_agent("10.50.0.1", &peer("b", &key_b, "10.50.0.2", "198.51.100.21"));
    wait_for("the step", || world.a.log().contains("at 198.51.100.21:51821").then_some(()));
    assert!(world.a.log().contains(&format!("remove {key_b}")), "{}", world.a.log());
    signal(tunnel, "CONT");
    wait_for("a ping to the new place", || world.a.reaches("10.50.0.2").then_some(()));
    assert_eq!(world.a.interface(), before, "the device was made anew");
}

#[test]
fn a_tunnel_process_that_hangs_is_replaced() {
    let mut world = World::start();
    let (before, hung) = (world.a.interface(), world.a.tunnel_process());
    world.a.kill_agent();
    signal(hung, "STOP");
    let key_b = world.b.public_key();
    world.a.run_agent("10.50.0.1", &peer("b", &key_b, "10.50.0.2", "198.51.100.20"));
    wait_for("another device", || (world.a.interface()? != before?).then_some(()));
    wait_for("a ping through it", || world.a.reaches("10.50.0.2").then_some(()));
    assert_ne!(world.a.tunnel_process(), hung);
}

#[test]
fn the_agent_stops_softly_and_leaves_the_tunnel() {
    let mut world = World::start();
    let mut agent = world.a.agent.take().expect("runs");
    signal(child_of(agent.id()).expect("the agent"), "TERM");
    assert!(agent.wait().expect("ends").success(), "{}", world.a.log());
    assert!(world.a.reaches("10.50.0.2"));
}
