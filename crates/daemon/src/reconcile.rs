//! Reconcilers: background work without input. One pass looks at the tables (or the host) and makes true what should
//! be; it never retries inside. The driver runs a pass when somebody signals, and by the clock in any case, so a
//! lost signal costs time and never correctness.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// One kind of thing that must stay true.
pub trait Reconciler: Send {
    /// For logs, metrics and the status page.
    fn name(&self) -> &'static str;

    /// One pass. An error is published and logged; the next signal or tick tries again.
    fn pass(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Least time between two passes: for what looks at everything and is in no hurry, while signals come one after the
    /// other. None in general.
    fn rest(&self) -> Duration {
        Duration::ZERO
    }
}

/// Wakes a reconciler. Cheap to clone; signals during a pass make one more pass.
#[derive(Debug, Clone, Default)]
pub struct Activator(Arc<Notify>);

impl Activator {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn signal(&self) {
        self.0.notify_one();
    }
}

/// What a reconciler did last.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Status {
    pub passes: u64,
    pub last_started: Option<SystemTime>,
    pub last_duration_ms: u64,
    pub last_error: Option<String>,
}

/// Shared with the status page.
pub type StatusCell = Arc<Mutex<Status>>;

/// Runs `reconciler` on each signal and every `period` until `stop`.
pub async fn drive(
    mut reconciler: impl Reconciler,
    activator: Activator,
    period: Duration,
    status: StatusCell,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let name = reconciler.name();
    loop {
        let started = Instant::now();
        status.lock().unwrap_or_else(PoisonError::into_inner).last_started = Some(SystemTime::now());
        let result = tokio::select! {
            result = reconciler.pass() => result,
            () = stop.cancelled() => return Ok(()),
        };
        metrics::histogram!("wisehosting_reconcile_seconds", "reconciler" => name).record(started.elapsed());
        if let Err(error) = &result {
            metrics::counter!("wisehosting_reconcile_failures_total", "reconciler" => name).increment(1);
            warn!(reconciler = name, error = format!("{error:#}"), "reconcile pass failed");
        }
        {
            let mut status = status.lock().unwrap_or_else(PoisonError::into_inner);
            status.passes += 1;
            status.last_duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            status.last_error = result.err().map(|error| format!("{error:#}"));
        }
        tokio::select! {
            () = next(&activator, reconciler.rest(), period) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// Until the next pass. Signals that come during the rest are remembered.
async fn next(activator: &Activator, rest: Duration, period: Duration) {
    tokio::time::sleep(rest).await;
    tokio::select! {
        () = activator.0.notified() => {}
        () = tokio::time::sleep(period.saturating_sub(rest)) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn signals_during_a_rest_make_one_pass_after_it() {
        let (rest, period) = (Duration::from_millis(20), Duration::from_millis(50));
        let activator = Activator::new();
        activator.signal();
        activator.signal();
        let began = Instant::now();
        next(&activator, rest, period).await;
        assert!(began.elapsed() >= rest);
        next(&activator, rest, period).await;
        assert!(began.elapsed() >= rest + period, "nobody has signalled since");
    }

    struct Counts(Arc<Notify>);

    impl Reconciler for Counts {
        fn name(&self) -> &'static str {
            "counts"
        }

        async fn pass(&mut self) -> anyhow::Result<()> {
            self.0.notify_one();
            anyhow::bail!("always fails")
        }
    }

    #[tokio::test]
    async fn a_failed_pass_is_published_and_the_next_signal_runs_another() {
        let (passed, activator, status) = (Arc::new(Notify::new()), Activator::new(), StatusCell::default());
        let stop = CancellationToken::new();
        let driver = drive(
            Counts(passed.clone()),
            activator.clone(),
            Duration::from_hours(1),
            status.clone(),
            stop.clone(),
        );
        let test = async {
            passed.notified().await;
            activator.signal();
            passed.notified().await;
            stop.cancel();
        };
        let (result, ()) = tokio::join!(driver, test);
        result.expect("driver ends well");
        let status = status.lock().expect("not poisoned");
        assert!(status.passes >= 1);
        assert_eq!(status.last_error.as_deref(), Some("always fails"));
    }
}
