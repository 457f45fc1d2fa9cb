//! The job's process as others see it: a pid alone may have been given to somebody else, a pid with its start time
//! cannot.

use nix::sys::signal::{Signal, killpg};
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
        let (started, _) = stat(pid).ok_or_else(|| std::io::Error::other("cannot read /proc/self/stat"))?;
        Ok(Self { pid, started })
    }

    /// A zombie is dead.
    pub(super) fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|(started, state)| started == self.started && !matches!(state, 'Z' | 'X'))
    }

    /// To the whole group, as long as it is the group that was started.
    pub(super) fn signal(self, signal: Signal) {
        if self.is_alive() {
            // Err means that it ended just now, which is what the signal is for.
            let _ = killpg(Pid::from_raw(self.pid), signal);
        }
    }
}

/// Start time and state of `pid`.
fn stat(pid: i32) -> Option<(u64, char)> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<(u64, char)> {
    // The name in parentheses may itself hold spaces and parentheses.
    let (_, fields) = text.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((fields.nth(18)?.parse().ok()?, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_whatever_the_name() {
        let text = "12 (a) b (c) S 1 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3";
        assert_eq!(parse_stat(text), Some((987_654, 'S')));
    }

    #[test]
    fn a_process_lives_until_another_start_time_has_its_pid() {
        let process = Process::current().expect("this process");
        assert!(process.is_alive());
        assert!(!Process { started: process.started + 1, ..process }.is_alive());
    }
}
