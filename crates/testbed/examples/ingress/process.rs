//! What a process and its children use.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// The kernel's unit of CPU time (`USER_HZ`), which is the same on every Linux machine.
const TICKS: f64 = 100.0;

/// An engine that runs, with its children.
pub(crate) struct Running {
    child: Child,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let child = command.stdin(Stdio::null()).spawn().with_context(|| format!("{command:?}"))?;
        Ok(Self { child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// It must not end by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        ensure!(self.child.try_wait()?.is_none(), "it ended: see its log");
        Ok(())
    }

    fn tree(&self) -> Vec<u32> {
        let mut tree = vec![self.pid()];
        let mut at = 0;
        while let Some(&pid) = tree.get(at) {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            tree.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
            at += 1;
        }
        tree
    }

    /// Seconds of CPU so far.
    pub(crate) fn cpu(&self) -> f64 {
        let used = self.tree().into_iter().filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name before the last bracket may have spaces.
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
            let mut next = || fields.next()?.parse::<u32>().ok();
            Some(f64::from(next()?) + f64::from(next()?))
        });
        used.sum::<f64>() / TICKS
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let of = |pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        };
        self.tree().into_iter().filter_map(of).sum()
    }

    /// System calls that it makes while `load` runs.
    pub(crate) fn system_calls(&self, load: impl FnOnce() -> Result<u64>) -> Result<f64> {
        let folder = std::env::temp_dir().join(format!("wh-ingress-strace-{}", self.pid()));
        let mut strace = Command::new("strace");
        strace.args(["-f", "-c", "-q", "-U", "calls,name", "-o"]).arg(&folder);
        for pid in self.tree() {
            strace.arg("-p").arg(pid.to_string());
        }
        let mut tracing = strace.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("strace")?;
        std::thread::sleep(Duration::from_millis(500));
        let requests = load();
        interrupt(tracing.id())?;
        tracing.wait()?;
        let text = fs::read_to_string(&folder).context("strace said nothing")?;
        fs::remove_file(&folder)?;
        let calls = text.lines().filter_map(|line| {
            let (count, name) = line.trim().split_once(char::is_whitespace)?;
            if name.trim() == "total" { None } else { count.parse::<u32>().ok() }
        });
        Ok(f64::from(calls.sum::<u32>()) / float(requests?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for pid in self.tree() {
            let _ = signal(pid, nix::sys::signal::Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

fn interrupt(pid: u32) -> Result<()> {
    signal(pid, nix::sys::signal::Signal::SIGINT)
}

fn signal(pid: u32, signal: nix::sys::signal::Signal) -> Result<()> {
    Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(pid)?), signal)?)
}

/// Waits until `holds`.
pub(crate) fn soon(limit: Duration, mut holds: impl FnMut() -> bool) -> Option<Duration> {
    let began = Instant::now();
    while began.elapsed() < limit {
        if holds() {
            return Some(began.elapsed());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

/// Counts here are far below what a float tells apart.
#[expect(clippy::cast_precision_loss, reason = "counts and bytes of one measurement")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}
