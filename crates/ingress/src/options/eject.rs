//! Passive outlier ejection: an instance that fails several times in a row is left out for a while, and twice as long
//! the next time, until it answers well again.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// So many times its first length may an ejection last.
const LONGEST: u32 = 10;

/// How an upstream has done of late. Nothing is written while all goes well.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Failures in a row.
    failures: AtomicU32,
    /// Ejections in a row.
    ejections: AtomicU32,
    /// Milliseconds on the clock of the caller.
    ejected_until: AtomicU64,
}

impl Health {
    pub(crate) fn is_ejected(&self, now_ms: u64) -> bool {
        now_ms < self.ejected_until.load(Ordering::Relaxed)
    }

    /// Counts a failure; whether there were `limit` in a row.
    pub(crate) fn failed(&self, limit: u32, now_ms: u64) -> bool {
        // Requests that were under way when it was ejected say nothing new.
        if self.is_ejected(now_ms) {
            return false;
        }
        self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= limit
    }

    pub(crate) fn succeeded(&self, now_ms: u64) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.ejections.load(Ordering::Relaxed) != 0 && !self.is_ejected(now_ms) {
            self.ejections.store(0, Ordering::Relaxed);
        }
    }

    /// Leaves it out for `for_s` seconds, doubled with each time in a row.
    pub(crate) fn eject(&self, for_s: u32, now_ms: u64) {
        let before = self.ejections.fetch_add(1, Ordering::Relaxed);
        let times = 1_u32.checked_shl(before).unwrap_or(LONGEST).clamp(1, LONGEST);
        self.failures.store(0, Ordering::Relaxed);
        self.ejected_until.store(now_ms + u64::from(for_s) * 1000 * u64::from(times), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_in_a_row_only() {
        let health = Health::default();
        assert!(!health.failed(3, 0) && !health.failed(3, 0));
        health.succeeded(0);
        assert!(!health.failed(3, 0) && !health.failed(3, 0));
        assert!(health.failed(3, 0));
        assert!(!health.is_ejected(0), "whether it may be left out, others decide");
    }

    #[test]
    fn each_time_in_a_row_lasts_twice_as_long_up_to_ten_times() {
        let health = Health::default();
        let mut now = 0;
        let mut lengths = Vec::new();
        for _ in 0..40 {
            health.eject(3, now);
            assert!(!health.failed(1, now), "not counted while it is out");
            health.succeeded(now);
            let start = now;
            while health.is_ejected(now) {
                now += 500;
            }
            lengths.push((now - start) / 1000);
        }
        assert_eq!(lengths[..6], [3, 6, 12, 24, 30, 30]);
        assert_eq!(lengths[39], 30);
        health.succeeded(now);
        health.eject(3, now);
        assert!(!health.is_ejected(now + 3000), "it was well in between");
    }
}
