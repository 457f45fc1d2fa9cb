//! `[placement]` of the configuration file.

use daemon::config::Invalid;
use protocol::report::HostFacts;
use serde::Deserialize;

use super::Strategy;
use crate::plan::placement::Amount;

/// How nodes are filled.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Placement {
    /// Of apps that choose none.
    pub strategy: Strategy,
    /// How many times its processors a node gives away: an app's limit is far more than it uses most of the time.
    pub cpu_overcommit: f64,
    /// The same for memory: twice, because a roll-out has the old and the new instances beside each other. Above 1 apps
    /// that use all of theirs may be killed.
    pub memory_overcommit: f64,
    /// Thousandths of a core that each node keeps for itself.
    pub reserve_cpu_millis: u32,
    /// Megabytes that each node keeps for itself.
    pub reserve_memory_mb: u32,
}

impl Default for Placement {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            cpu_overcommit: 10.0,
            memory_overcommit: 2.0,
            reserve_cpu_millis: 100,
            reserve_memory_mb: 256,
        }
    }
}

impl Placement {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        for (field, factor) in
            [("cpu_overcommit", self.cpu_overcommit), ("memory_overcommit", self.memory_overcommit)]
        {
            if !(0.1..=1000.0).contains(&factor) {
                return Err(Invalid::new(format!("placement.{field}"), "must be between 0.1 and 1000"));
            }
        }
        Ok(())
    }

    /// What a host has for instances. None while it has not told what it is.
    pub fn capacity(&self, host: &HostFacts) -> Option<Amount> {
        if host.cpus == 0 || host.memory_mb == 0 {
            return None;
        }
        let cpu = u64::from(host.cpus) * 1000;
        Some(Amount {
            cpu_millis: times(cpu.saturating_sub(self.reserve_cpu_millis.into()), self.cpu_overcommit),
            memory_mb: times(
                host.memory_mb.saturating_sub(self.reserve_memory_mb.into()),
                self.memory_overcommit,
            ),
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "both are positive and far below 2^52"
)]
fn times(amount: u64, factor: f64) -> u64 {
    (amount as f64 * factor) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_gives_what_it_does_not_keep_times_the_overcommit() {
        let host = HostFacts { cpus: 4, memory_mb: 8192, ..HostFacts::default() };
        let policy = Placement { cpu_overcommit: 2.5, memory_overcommit: 1.0, ..Placement::default() };
        assert_eq!(policy.capacity(&host), Some(Amount { cpu_millis: 9750, memory_mb: 7936 }));
        let policy = Placement { reserve_memory_mb: 9000, ..policy };
        assert_eq!(policy.capacity(&host).expect("told").memory_mb, 0);
        assert_eq!(policy.capacity(&HostFacts::default()), None);
    }
}
