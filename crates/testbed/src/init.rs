//! The first process of a host (`wh-testbed init FOLDER`): makes the host's private view of the machine, then keeps
//! its services running until it is killed, which ends the host as pulling its plug would.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, stdin};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, User, sethostname};
use serde::{Deserialize, Serialize};

use crate::cgroup;
use crate::service::{Service, StopSignal};
use crate::sockets::{self, Sockets};
use crate::tools::path;

/// Where the host's own folder appears inside it.
pub const INSIDE: &str = "/run/testbed/host";

const TICK: Duration = Duration::from_millis(20);
const RESTART_AFTER: Duration = Duration::from_secs(1);
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// What init needs to know; `host.json` in the host's folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostSpec {
    pub name: String,
    /// Files and folders of the machine that the host sees elsewhere.
    pub binds: Vec<Bind>,
    /// Commands to run once before the services, for example to give the network card its address.
    pub setup: Vec<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bind {
    pub from: PathBuf,
    pub to: PathBuf,
}

/// Runs as process 1 of the host in `folder` until killed.
pub fn run(folder: &Path) -> Result<()> {
    // The test bed says "go" once it has written down that this process exists. Without it, nothing happens.
    let mut line = String::new();
    stdin().lock().read_line(&mut line)?;
    ensure!(line == "go\n", "the test bed ended before this host was recorded");
    let spec: HostSpec = serde_json::from_slice(&fs::read(folder.join("host.json"))?)?;
    cgroup::isolate()?;
    sethostname(&spec.name)?;
    let own = [("", INSIDE), ("tmp", "/var/tmp")];
    let own = own.map(|(from, to)| Bind { from: folder.join(from), to: PathBuf::from(to) });
    private_view(&[&own, spec.binds.as_slice()].concat())?;
    std::env::set_current_dir("/")?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    for command in &spec.setup {
        run_setup(command)?;
    }
    let mut supervisor = Supervisor::new(PathBuf::from(INSIDE));
    fs::write(Path::new(INSIDE).join("run/ready"), "")?;
    loop {
        supervisor.tick()?;
        std::thread::sleep(TICK);
    }
}

/// Fresh `/run`, `/tmp`, `/dev/shm` and `/var/lib`, and in them what `binds` says. The sources are opened first,
/// since they may lie under one of these.
pub(crate) fn private_view(binds: &[Bind]) -> Result<()> {
    let mut opened = Vec::new();
    for bind in binds {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_PATH.bits())
            .open(&bind.from)
            .with_context(|| format!("cannot open {}", bind.from.display()))?;
        opened.push((file, bind.from.is_dir(), &bind.to));
    }
    for (point, mode) in
        [("/run", "mode=755"), ("/tmp", "mode=1777"), ("/dev/shm", "mode=1777"), ("/var/lib", "mode=755")]
    {
        mount(Some("tmpfs"), point, Some("tmpfs"), MsFlags::empty(), Some(mode))
            .with_context(|| format!("cannot mount {point}"))?;
    }
    for folder in ["wireguard", "containers", "lock", "netns", "podman"] {
        fs::create_dir_all(Path::new("/run").join(folder))?;
    }
    for (file, is_folder, to) in opened {
        if is_folder {
            fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
        }
        let from = format!("/proc/self/fd/{}", file.as_raw_fd());
        mount(Some(from.as_str()), to.as_path(), None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .with_context(|| format!("cannot bind {}", to.display()))?;
    }
    Ok(())
}

fn run_setup(command: &[String]) -> Result<()> {
    let (program, arguments) = command.split_first().context("empty set-up command")?;
    let output = Command::new(program).args(arguments).env("PATH", path()).output()?;
    let problem = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {}", command.join(" "), problem.trim());
    Ok(())
}

/// The services of one host.
struct Supervisor {
    folder: PathBuf,
    read_at: Option<SystemTime>,
    services: BTreeMap<String, Supervised>,
}

struct Supervised {
    service: Service,
    running: Option<Pid>,
    sockets: Sockets,
    start_at: Instant,
    /// When it was asked to stop.
    stopping: Option<Instant>,
}

impl Supervisor {
    fn new(folder: PathBuf) -> Self {
        Self { folder, read_at: None, services: BTreeMap::new() }
    }

    fn tick(&mut self) -> Result<()> {
        self.reap()?;
        self.read_services()?;
        let names: Vec<String> = self.services.keys().cloned().collect();
        for name in names {
            let Some(supervised) = self.services.get_mut(&name) else { continue };
            match (supervised.running, supervised.service.wanted) {
                (None, true) if supervised.start_at <= Instant::now() => start(&self.folder, supervised)?,
                (Some(pid), false) => stop(supervised, pid)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Collects every process that ended: services, and orphans that they left to init.
    fn reap(&mut self) -> Result<()> {
        loop {
            let status = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(nix::Error::ECHILD) => return Ok(()),
                Err(nix::Error::EINTR) => continue,
                status => status?,
            };
            let ended =
                self.services.values_mut().find(|one| one.running.is_some() && one.running == status.pid());
            if let Some(supervised) = ended {
                note(&format!("{} ended: {status:?}", supervised.service.name));
                supervised.running = None;
                supervised.stopping = None;
                supervised.start_at = Instant::now() + RESTART_AFTER;
                let _ = fs::remove_file(pid_file(&self.folder, &supervised.service.name));
            }
        }
    }

    /// Reads the service files again when one of them was replaced.
    fn read_services(&mut self) -> Result<()> {
        let folder = self.folder.join("services");
        let modified = fs::metadata(&folder)?.modified()?;
        // The clock of file times is coarse: a folder changed just now may change again without showing it.
        let settled = modified.elapsed().is_ok_and(|age| age > Duration::from_millis(100));
        if self.read_at == Some(modified) {
            return Ok(());
        }
        for service in Service::read_all(&folder)? {
            let name = service.name.clone();
            if let Some(supervised) = self.services.get_mut(&name) {
                if service.wanted && !supervised.service.wanted {
                    supervised.start_at = Instant::now();
                }
                supervised.sockets.keep(&service.sockets);
                supervised.service = service;
            } else {
                let (start_at, sockets) = (Instant::now(), Sockets::default());
                let new = Supervised { service, running: None, sockets, start_at, stopping: None };
                self.services.insert(name, new);
            }
        }
        self.read_at = settled.then_some(modified);
        Ok(())
    }
}

#[expect(clippy::print_stderr, reason = "standard error is init's log")]
fn note(text: &str) {
    eprintln!("{text}");
}

fn pid_file(folder: &Path, name: &str) -> PathBuf {
    folder.join("run").join(format!("{name}.pid"))
}

/// A service that cannot be started (no such program) is tried again like one that ended.
fn start(folder: &Path, supervised: &mut Supervised) -> Result<()> {
    match spawn(folder, &supervised.service, &mut supervised.sockets) {
        Ok(pid) => {
            supervised.running = Some(pid);
            fs::write(pid_file(folder, &supervised.service.name), pid.to_string())?;
        }
        Err(error) => {
            note(&format!("cannot start {}: {error:#}", supervised.service.name));
            supervised.start_at = Instant::now() + RESTART_AFTER;
        }
    }
    Ok(())
}

fn spawn(folder: &Path, service: &Service, sockets: &mut Sockets) -> Result<Pid> {
    let log = log_file(folder, &service.name)?;
    let mut command = sockets::command(service)?;
    command.env_clear().env("PATH", path()).env("HOME", "/root").env("TMPDIR", "/var/tmp").envs(&service.env);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
    sockets.pass(service, &mut command)?;
    if let Some(name) = &service.user {
        let Some(user) = User::from_name(name)? else { bail!("there is no user {name}") };
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    let child = command.spawn().with_context(|| service.command.join(" "))?;
    // `reap` waits for it.
    Ok(Pid::from_raw(i32::try_from(child.id())?))
}

fn log_file(folder: &Path, name: &str) -> Result<File> {
    let path = folder.join("log").join(format!("{name}.log"));
    OpenOptions::new().append(true).create(true).open(&path).with_context(|| path.display().to_string())
}

fn stop(supervised: &mut Supervised, pid: Pid) -> Result<()> {
    let signal = match supervised.stopping {
        None => match supervised.service.stop {
            StopSignal::Terminate => Signal::SIGTERM,
            StopSignal::Interrupt => Signal::SIGINT,
        },
        Some(asked) if asked.elapsed() > STOP_WITHIN => Signal::SIGKILL,
        Some(_) => return Ok(()),
    };
    supervised.stopping.get_or_insert_with(Instant::now);
    match kill(pid, signal) {
        Ok(()) | Err(nix::Error::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
