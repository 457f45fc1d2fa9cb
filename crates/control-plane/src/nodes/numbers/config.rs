//! The table `node_numbers` of the configuration.

use daemon::config::Invalid;
use serde::Deserialize;

/// For how long numbers of hosts are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeNumbers {
    /// Hours for which there are numbers of each minute.
    pub minutes_kept_h: u8,
    /// Days for which there are numbers of each hour.
    pub hours_kept_days: u16,
}

impl Default for NodeNumbers {
    fn default() -> Self {
        Self { minutes_kept_h: 48, hours_kept_days: 90 }
    }
}

impl NodeNumbers {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let wrong = |field: &str, problem: &str| Err(Invalid::new(format!("node_numbers.{field}"), problem));
        // A day is shown by minutes, and an hour is added up some time after its end.
        if !(26..=168).contains(&self.minutes_kept_h) {
            return wrong("minutes_kept_h", "must be between 26 and 168");
        }
        // A month is shown by hours.
        if !(31..=1000).contains(&self.hours_kept_days) {
            return wrong("hours_kept_days", "must be between 31 and 1000");
        }
        Ok(())
    }
}
