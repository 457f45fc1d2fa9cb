//! The job's process as others see it: a pid alone may have been given to somebody else, a pid with its start time
//! cannot.

use std::collections::HashMap;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process and leader of its process group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pid: i32,
    /// Clock ticks after boot (`/proc/<pid>/stat`, field 22).
    started: u64,
}

impl Process {
    pub(super) fn current() -> std::io::Result<Self> {
        let pid = nix::unistd::getpid().as_raw();
        let stat = stat(pid).ok_or_else(|| std::io::Error::other("cannot read /proc/self/stat"))?;
        Ok(Self { pid, started: stat.started })
    }

    /// A zombie is dead.
    pub(super) fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.started == self.started && stat.lives())
    }

    /// To the whole group, as long as it is the group that was started.
    pub(super) fn signal(self, signal: Signal) {
        if self.is_alive() {
            // Err means that it ended just now, which is what the signal is for.
            let _ = killpg(Pid::from_raw(self.pid), signal);
        }
    }
}

/// Makes the calling process the parent of what its programs leave behind, so that [`end_descendants`] finds it.
pub(super) fn adopt_orphans() -> nix::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)
}

/// Kills everything that the calling process has started, directly or not. Podman that was ended while it set up a RUN
/// step may leave the step running.
pub(super) async fn end_descendants() {
    const ROUNDS: usize = 20;
    for _ in 0..ROUNDS {
        let left = descendants(nix::unistd::getpid().as_raw());
        if left.is_empty() {
            return;
        }
        for pid in left {
            // Err means that it ended just now.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// All living processes below `ancestor`.
fn descendants(ancestor: i32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    let all = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    for pid in all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if let Some(stat) = stat(pid).filter(Stat::lives) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![ancestor];
    while let Some(parent) = open.pop() {
        let below = children.remove(&parent).unwrap_or_default();
        open.extend(&below);
        found.extend(below);
    }
    found
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    parent: i32,
    started: u64,
}

impl Stat {
    /// A zombie does not.
    fn lives(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name in parentheses may itself hold spaces and parentheses.
    let (_, fields) = text.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Stat { state, parent, started: fields.nth(17)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_whatever_the_name() {
        let text = "12 (a) b (c) S 7 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3";
        assert_eq!(parse_stat(text), Some(Stat { state: 'S', parent: 7, started: 987_654 }));
    }

    #[test]
    fn a_process_lives_until_another_start_time_has_its_pid() {
        let process = Process::current().expect("this process");
        assert!(process.is_alive());
        assert!(!Process { started: process.started + 1, ..process }.is_alive());
    }
}
