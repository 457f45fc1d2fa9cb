//! How many requests are told whole.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// One every so often, after a burst, without a lock.
#[derive(Debug)]
pub(super) struct Rate {
    every_ms: u64,
    burst: u64,
    /// When the next one would come if they came evenly, in milliseconds since [`STARTED`].
    due: AtomicU64,
}

impl Rate {
    pub(super) fn new(every_ms: u64, burst: u64) -> Self {
        Self { every_ms, burst, due: AtomicU64::new(0) }
    }

    /// Whether one may pass that came at `at`.
    pub(super) fn pass(&self, at: Instant) -> bool {
        let at = u64::try_from(at.saturating_duration_since(*STARTED).as_millis()).unwrap_or(u64::MAX);
        let latest = at.saturating_add(self.every_ms * (self.burst - 1));
        let take = |due: u64| (due <= latest).then(|| due.max(at) + self.every_ms);
        self.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_every_so_often() {
        let rate = Rate::new(200, 5);
        let start = *STARTED + Duration::from_secs(10);
        let passed = |from: Duration, count: u32| {
            (0..count).filter(|step| rate.pass(start + from + Duration::from_millis(1) * *step)).count()
        };
        assert_eq!(passed(Duration::ZERO, 100), 5);
        assert_eq!(passed(Duration::from_millis(100), 1000), 5);
        assert_eq!(passed(Duration::from_mins(1), 100), 5, "time without any is no store beyond the burst");
    }
}
