//! The table `node_health` of the configuration.

use daemon::config::Invalid;
use serde::Deserialize;

/// What a time for which a node may be gone can be, in seconds.
pub const GRACE_S: std::ops::RangeInclusive<u32> = 5..=86_400;

/// When nodes are asked whether they are there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeHealth {
    /// Seconds between checks of a node that says nothing: after 0 to 2 failures, 3 to 5, 6 to 10, 11 to 20, and more.
    pub check_intervals_s: [u32; 5],
    /// Seconds for an answer.
    pub check_timeout_s: u32,
    /// Seconds without a heartbeat after which a connected agent does not count. Agents send one each minute.
    pub heartbeat_patience_s: u32,
    /// Days for which it is kept when a node went and came back.
    pub history_days: u16,
    /// Seconds for which a node may be gone before its instances are placed elsewhere; an app may have others. Doubles
    /// with each time that the node was gone before within `flapping_h`, up to sixteen times as long.
    pub grace_s: u32,
    /// Hours; 0 for a fleet in which no node is ever waited for longer.
    pub flapping_h: u32,
    /// Seconds for which a worker may run instances of exclusive apps after it last asked whether it may.
    pub lease_s: u32,
}

impl Default for NodeHealth {
    fn default() -> Self {
        Self {
            check_intervals_s: [30, 120, 300, 900, 1800],
            check_timeout_s: 5,
            heartbeat_patience_s: 150,
            history_days: 90,
            grace_s: 300,
            flapping_h: 6,
            // With what is added for a slow host less than it takes to give a node up: then nobody waits for it.
            lease_s: 240,
        }
    }
}

impl NodeHealth {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let wrong = |field: &str, problem: &str| Err(Invalid::new(format!("node_health.{field}"), problem));
        let steps = &self.check_intervals_s;
        if !steps.is_sorted() || steps.iter().any(|seconds| !(1..=86_400).contains(seconds)) {
            return wrong(
                "check_intervals_s",
                "must be five numbers from 1 to 86400, none smaller than the one before",
            );
        }
        if !(1..=30).contains(&self.check_timeout_s) {
            return wrong("check_timeout_s", "must be between 1 and 30");
        }
        // Two that come late.
        if !(90..=3600).contains(&self.heartbeat_patience_s) {
            return wrong("heartbeat_patience_s", "must be between 90 and 3600: agents send one each 60 s");
        }
        if !(1..=3650).contains(&self.history_days) {
            return wrong("history_days", "must be between 1 and 3650");
        }
        if !GRACE_S.contains(&self.grace_s) {
            return wrong("grace_s", "must be between 5 and 86400");
        }
        if self.flapping_h > 168 {
            return wrong("flapping_h", "must be between 0 and 168");
        }
        if !(10..=3600).contains(&self.lease_s) {
            return wrong("lease_s", "must be between 10 and 3600");
        }
        Ok(())
    }
}
