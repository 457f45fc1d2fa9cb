//! A cluster that lives as long as the command that booted it.

use std::path::Path;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use crate::cluster::{Options, PROGRAM};
use crate::journal::Journal;
use crate::preflight::{self, RunLock};
use crate::software;

const PROGRAMS: [&str; 6] =
    [software::CONTROL_PLANE, software::MESH, software::WORKER, software::PROXY, "wh", PROGRAM];

/// The right to run a cluster in a state folder, and the duty to leave nothing there.
#[derive(Debug)]
pub struct Session {
    lock: RunLock,
    pub options: Options,
}

impl Session {
    /// Takes the lock in `state`, which holds the folder of the cluster, and removes what an earlier run left when it
    /// was killed.
    #[expect(clippy::print_stderr, reason = "tells the person what happened")]
    pub fn begin(state: &Path, options: Options) -> Result<Self> {
        preflight::check_programs(&options.programs, &PROGRAMS)?;
        let lock = RunLock::take(state)?;
        let left = Journal::in_folder(&options.state);
        if left.exists() {
            eprintln!("  removing what an earlier run left in {}", state.display());
            left.tear_down()?;
        }
        Ok(Self { lock, options })
    }

    /// Does `work` until it ends or a signal comes (then: `None`), and removes everything.
    pub async fn run<T>(&self, work: impl Future<Output = Result<T>>) -> Result<Option<T>> {
        let done = tokio::select! {
            done = work => done.map(Some),
            stopped = stopped() => stopped.map(|()| None),
        };
        let journal = Journal::in_folder(&self.options.state);
        let removed = self.options.progress.step("everything removed", async { journal.tear_down() }).await;
        self.lock.release()?;
        removed.and(done)
    }
}

/// Returns when somebody asks this process to end.
pub async fn stopped() -> Result<()> {
    let [mut interrupt, mut terminate, mut hang_up] =
        [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}
