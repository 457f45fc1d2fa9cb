//! Processes known by number and start time, so that a number used again is never taken for the old process.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process of this boot of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`: clock ticks since the machine booted.
    pub started: u64,
}

impl ProcessId {
    pub fn of(pid: i32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (_, started) = parse_stat(&stat).ok_or_else(|| io::Error::other("unreadable /proc/PID/stat"))?;
        Ok(Self { pid, started })
    }

    /// Whether it still runs; a zombie does not.
    pub fn is_alive(self) -> bool {
        fs::read_to_string(format!("/proc/{}/stat", self.pid))
            .ok()
            .as_deref()
            .and_then(parse_stat)
            .is_some_and(|(state, started)| state != 'Z' && state != 'X' && started == self.started)
    }

    /// `kill -9`, unless it has ended.
    pub fn kill(self) -> io::Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until it has ended; false when it has not within `limit`.
    pub fn wait_end(self, limit: Duration) -> bool {
        let start = Instant::now();
        while self.is_alive() {
            if start.elapsed() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// The only child, if it has been started already.
    pub fn first_child(self) -> Option<Self> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid)).ok()?;
        Self::of(children.split_whitespace().next()?.parse().ok()?).ok()
    }
}

/// State and start time. The command's name may hold spaces and parentheses, so fields count from the last `)`.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 2";
        assert_eq!(parse_stat(stat), Some(('S', 4711)));
    }

    #[test]
    fn a_killed_child_is_not_alive_even_before_it_is_waited_for() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
        let process = ProcessId::of(i32::try_from(child.id()).expect("pid")).expect("stat");
        assert!(process.is_alive());
        assert!(!ProcessId { started: process.started + 1, ..process }.is_alive());
        process.kill().expect("kill");
        assert!(process.wait_end(Duration::from_secs(5)));
        child.wait().expect("wait");
    }
}
