//! Hosts, and two of them on one wire.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const AGENT: &str = env!("CARGO_BIN_EXE_wisehosting-mesh");
const LIMIT: Duration = Duration::from_secs(20);

/// Looks again and again until `check` gives something.
pub(crate) fn wait_for<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn must(command: &mut Command) -> String {
    let output = command.output().expect("runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The first child of a process, which for `unshare --fork` and `nsenter --pid` is the one that matters.
pub(crate) fn child_of(pid: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

pub(crate) fn signal(pid: u32, name: &str) {
    must(Command::new("kill").args(["-s", name, &pid.to_string()]));
}

pub(crate) struct Host {
    name: &'static str,
    /// The `unshare` that holds the namespaces; killing it kills the host.
    holder: Child,
    pub(crate) pid: u32,
    folder: TempDir,
    pub(crate) agent: Option<Child>,
    /// What the agent's configuration names; at the default nobody answers.
    pub(crate) control_plane: &'static str,
}

impl Host {
    pub(crate) fn start(name: &'static str) -> Self {
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
        Self {
            name,
            holder,
            pid,
            folder: tempfile::tempdir().expect("temp dir"),
            agent: None,
            control_plane: "http://127.0.0.1:1",
        }
    }

    pub(crate) fn enter(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid.to_string(), "--net", "--mount", "--pid", program]);
        command
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("agent.log")).unwrap_or_default()
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("mesh.toml")
    }

    /// Gives a command about this host's configuration: whether it succeeded and what it said.
    pub(crate) fn command(&self, arguments: &[&str]) -> (bool, String) {
        let (command, also) = arguments.split_first().expect("a command");
        let mut agent = self.enter(AGENT);
        let agent = agent.args([command, "--config"]).arg(self.config()).args(also).stdin(Stdio::null());
        let output = agent.output().expect("nsenter");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).expect("text"))
    }

    /// Starts the agent with a log of its own.
    pub(crate) fn run_agent(&mut self, address: &str, peers: &str) {
        let config = self.config();
        let text = format!(
            "state_dir = \"{}\"\nbackend = \"userspace\"\n[node]\nname = \"{}\"\nroles = [\"worker\"]\n\
             [declared]\naddress = \"{address}/24\"\ncontrol_planes = [\"{}\"]\npeers = [{peers}]\n",
            self.state().display(),
            self.name,
            self.control_plane
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

    pub(crate) fn public_key(&self) -> String {
        let path = self.state().join("public.key");
        wait_for("public.key", || std::fs::read_to_string(&path).ok()).trim().to_owned()
    }

    pub(crate) fn kill_agent(&mut self) {
        let mut agent = self.agent.take().expect("an agent runs");
        signal(child_of(agent.id()).expect("the agent"), "KILL");
        agent.wait().expect("nsenter ends with it");
    }

    /// Changes whenever the interface is made anew.
    pub(crate) fn interface(&self) -> Option<u64> {
        let output = self.enter("ip").args(["-json", "link", "show", "dev", "wh0"]).output().expect("runs");
        let links: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        links[0]["ifindex"].as_u64()
    }

    pub(crate) fn reaches(&self, address: &str) -> bool {
        let ping = self.enter("ping").args(["-c", "1", "-W", "1", address]).output();
        ping.expect("ping").status.success()
    }

    /// The tunnel process in this host's process namespace.
    pub(crate) fn tunnel_process(&self) -> u32 {
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

#[expect(clippy::print_stderr, reason = "a failed test shows what the agent said")]
impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("agent of {}:\n{}", self.name, self.log());
            let tunnel = std::fs::read_to_string(self.state().join("tunnel.log"));
            eprintln!("tunnel of {}:\n{}", self.name, tunnel.unwrap_or_default());
        }
        // `unshare` takes the namespace's first process with it, and that one all others.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.wait();
        }
    }
}

/// Two hosts on one wire, 198.51.100.10 and .20, with a tunnel between them.
pub(crate) struct World {
    pub(crate) a: Host,
    pub(crate) b: Host,
}

pub(crate) fn peer(name: &str, key: &str, address: &str, endpoint: &str) -> String {
    format!(
        "{{ name = \"{name}\", public_key = \"{key}\", mesh_address = \"{address}\", endpoint = \"{endpoint}:51821\" }}"
    )
}

impl World {
    pub(crate) fn start() -> Self {
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
