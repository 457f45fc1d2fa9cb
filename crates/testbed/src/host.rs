//! One host: its own network, processes, mounts, name and cgroups, on storage that outlives a power cut.

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::init::{Bind, HostSpec};
use crate::journal::{Journal, Record};
use crate::process::ProcessId;
use crate::service::Service;
use crate::tools::path;
use crate::{cgroup, network, report};

/// The host that plays the public internet: it holds the bridge.
pub const INET: &str = "inet";

/// A host of a cluster, booted or not. All that is known about it lies in its folder, so any process may act on it.
#[derive(Debug, Clone)]
pub struct Host {
    pub name: String,
    /// `<state>/<name>`: log, run, services, and the storage that survives a power cut.
    pub folder: PathBuf,
    /// Unique to the run and the host.
    group: String,
    journal: Journal,
}

impl Host {
    /// The host `name` of the cluster in `state`.
    pub fn in_cluster(state: &Path, prefix: &str, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            folder: state.join(name),
            group: format!("{prefix}-{name}"),
            journal: Journal::in_folder(state),
        }
    }

    /// Lays out the folder of a host with this public address.
    pub fn prepare(&self, address: Ipv4Addr, mut binds: Vec<Bind>) -> Result<()> {
        for folder in
            ["log", "run", "services", "tmp", "etc", "lib", "containers", "etc-containers", "credentials"]
        {
            fs::create_dir_all(self.folder.join(folder))?;
        }
        fs::set_permissions(self.folder.join("credentials"), fs::Permissions::from_mode(0o700))?;
        fs::set_permissions(self.folder.join("tmp"), fs::Permissions::from_mode(0o1777))?;
        for (from, to) in [
            ("lib", "/var/lib/wisehosting"),
            ("containers", "/var/lib/containers"),
            ("etc-containers", "/etc/containers"),
            ("credentials", "/run/credentials"),
        ] {
            binds.push(Bind { from: self.folder.join(from), to: PathBuf::from(to) });
        }
        let setup =
            if self.name == INET { network::bridge_setup(address) } else { network::host_setup(address) };
        let spec = HostSpec { name: self.name.clone(), binds, setup };
        fs::write(self.folder.join("host.json"), serde_json::to_vec_pretty(&spec)?)?;
        Ok(())
    }

    /// Powers the host on: with the program `wh-testbed`, plugged into the bridge of `inet` unless it is that itself.
    pub fn boot(&self, program: &Path, inet: Option<&Host>) -> Result<()> {
        ensure!(self.init().is_err(), "{} is powered on already", self.name);
        for entry in fs::read_dir(self.folder.join("run"))? {
            fs::remove_file(entry?.path())?;
        }
        self.journal.record(&Record::Cgroup { name: self.group.clone() })?;
        cgroup::create(&self.group)?;
        let mut child = self.unshared(program)?;
        let outer = ProcessId::of(i32::try_from(child.id())?)?;
        self.record("namespaces", outer)?;
        let init = wait(Duration::from_secs(5), || outer.first_child())
            .with_context(|| format!("{} did not start; see {}", self.name, self.log("init").display()))?;
        self.record("init", init)?;
        cgroup::enter(&self.group, init.pid)?;
        if let Some(inet) = inet {
            network::plug(&self.name, init, inet.init()?)?;
        }
        child.stdin.take().context("no stdin")?.write_all(b"go\n")?;
        let ready = self.folder.join("run/ready");
        let booted = wait(Duration::from_secs(10), || (ready.exists() || !init.is_alive()).then_some(()));
        if booted.is_none() || !ready.exists() {
            bail!("{} did not boot\n{}", self.name, report::tail(&self.log("init")));
        }
        fs::write(self.folder.join("run/init.json"), serde_json::to_vec(&init)?)?;
        // The caller outlives no host: nobody waits for this child, whose end `ProcessId` sees all the same.
        std::thread::spawn(move || child.wait());
        Ok(())
    }

    fn unshared(&self, program: &Path) -> Result<std::process::Child> {
        let log = fs::OpenOptions::new().append(true).create(true).open(self.log("init"))?;
        let namespaces = [
            "--net",
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--propagation",
            "private",
            "--fork",
            "--kill-child",
        ];
        Command::new("unshare")
            .args(namespaces)
            .args(["--mount-proc", "--"])
            .arg(program)
            .arg("init")
            .arg(&self.folder)
            .env("PATH", path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run unshare")
    }

    fn record(&self, what: &str, id: ProcessId) -> Result<()> {
        self.journal.record(&Record::Process { what: format!("{} of {}", what, self.name), id })
    }

    /// Process 1 of the host as this machine numbers it; an error when the host is powered off.
    pub fn init(&self) -> Result<ProcessId> {
        let init = fs::read(self.folder.join("run/init.json")).ok();
        let init: Option<ProcessId> = init.and_then(|text| serde_json::from_slice(&text).ok());
        init.filter(|init| init.is_alive()).with_context(|| format!("{} is powered off", self.name))
    }

    /// Pulls the plug: every process of the host is gone when this returns.
    pub fn power_off(&self) -> Result<()> {
        let init = self.init()?;
        init.kill()?;
        ensure!(init.wait_end(Duration::from_secs(10)), "{} does not end", self.name);
        Ok(())
    }

    /// A command inside the host, with nothing of this process's environment.
    pub fn command(&self, program: &Path, words: &[&str]) -> Result<Command> {
        let init = self.init()?;
        let mut command = Command::new(program);
        command.args(["enter", &init.pid.to_string(), &self.group, "--"]).args(words);
        command.env_clear().env("PATH", path()).env("HOME", "/root").env("TMPDIR", "/var/tmp");
        Ok(command)
    }

    pub fn log(&self, process: &str) -> PathBuf {
        self.folder.join("log").join(format!("{process}.log"))
    }

    /// Adds or replaces a service; init starts it.
    pub fn set_service(&self, service: &Service) -> Result<()> {
        service.write(&self.folder.join("services"))
    }

    /// What init keeps running.
    pub fn services(&self) -> Result<Vec<Service>> {
        Service::read_all(&self.folder.join("services"))
    }

    /// Starts the service again after [`Host::stop_process`].
    pub fn start_process(&self, name: &str) -> Result<()> {
        let folder = self.folder.join("services");
        Service { wanted: true, ..Service::read(&folder, name)? }.write(&folder)
    }

    /// Stops the service as `systemctl stop` would, and waits until it has ended.
    pub fn stop_process(&self, name: &str) -> Result<()> {
        let folder = self.folder.join("services");
        Service { wanted: false, ..Service::read(&folder, name)? }.write(&folder)?;
        let stopped = wait(Duration::from_secs(15), || self.inner_pid(name).is_none().then_some(()));
        stopped.with_context(|| format!("{name} on {} does not stop", self.name))
    }

    /// As `systemctl restart` would; returns when the old process has ended.
    pub fn restart_process(&self, name: &str) -> Result<()> {
        self.stop_process(name)?;
        self.start_process(name)
    }

    /// `kill -9` of the service's main process only. Init starts it again after a second.
    pub fn kill_process(&self, name: &str) -> Result<()> {
        let target = self.init()?.pid.to_string();
        let kill = |pid: i32| {
            let mut kill = Command::new("nsenter");
            kill.args(["-t", &target, "-p", "-m", "--", "kill", "-9", &pid.to_string()]).env("PATH", path());
            kill.output().is_ok_and(|output| output.status.success())
        };
        // The number of a process that has just ended stands until its successor is up.
        wait(Duration::from_secs(15), || self.inner_pid(name).filter(|pid| kill(*pid)))
            .map(|_| ())
            .with_context(|| format!("{name} does not run on {}", self.name))
    }

    /// The service's process as the host numbers it, while it runs.
    pub fn inner_pid(&self, name: &str) -> Option<i32> {
        let path = self.folder.join("run").join(format!("{name}.pid"));
        self.init().ok()?;
        fs::read_to_string(path).ok()?.trim().parse().ok()
    }
}

/// Asks every few milliseconds until there is an answer or `limit` has passed.
pub(crate) fn wait<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        match ask() {
            Some(answer) => return Some(answer),
            None if start.elapsed() > limit => return None,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// `wh-testbed enter PID GROUP -- COMMAND`: becomes a command inside the host.
pub fn enter(init: i32, group: &str, words: &[String]) -> Result<()> {
    use std::os::unix::process::CommandExt;
    cgroup::enter(group, 0)?;
    let error = Command::new("nsenter")
        .args(["-t", &init.to_string(), "-m", "-n", "-p", "-u", "-i", "-C", "--"])
        .args(words)
        .exec();
    Err(error).context("cannot run nsenter")
}
