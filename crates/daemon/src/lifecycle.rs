//! Start and stop of a process: every task has a name, an owner and a cancellation; a task that ends by itself takes
//! the process down, so that systemd starts it again; SIGTERM and SIGINT stop softly, a second one or the grace
//! time stops hard.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// The tasks of a process.
#[derive(Debug)]
pub struct Lifecycle {
    stop: CancellationToken,
    tasks: JoinSet<(&'static str, anyhow::Result<()>)>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifecycle {
    pub fn new() -> Self {
        Self { stop: CancellationToken::new(), tasks: JoinSet::new() }
    }

    /// Cancelled when the process should stop. Tasks end soon after.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs `task` until it returns; it must return after [`Lifecycle::stopping`] is cancelled.
    pub fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.tasks.spawn(async move { (name, task.await) });
    }

    /// Waits for a signal or for a task to end, then stops everything within `grace`.
    pub async fn run(mut self, grace: Duration) -> anyhow::Result<ExitCode> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        notify("READY=1");
        let mut code = ExitCode::SUCCESS;
        tokio::select! {
            _ = terminate.recv() => info!("stopping: SIGTERM"),
            _ = interrupt.recv() => info!("stopping: SIGINT"),
            Some(ended) = self.tasks.join_next() => {
                log_end(ended, true);
                code = ExitCode::FAILURE;
            }
        }
        notify("STOPPING=1");
        self.stop.cancel();
        let drained = async {
            while let Some(ended) = self.tasks.join_next().await {
                log_end(ended, false);
            }
        };
        tokio::select! {
            () = drained => info!("stopped"),
            () = tokio::time::sleep(grace) => {
                warn!(grace_s = grace.as_secs(), "stopped hard: tasks did not end in time");
                code = ExitCode::FAILURE;
            }
            _ = terminate.recv() => warn!("stopped hard: second SIGTERM"),
            _ = interrupt.recv() => warn!("stopped hard: second SIGINT"),
        }
        Ok(code)
    }
}

fn log_end(ended: Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>, unexpected: bool) {
    match ended {
        Ok((task, Err(error))) => error!(task, error = format!("{error:#}"), "task failed"),
        Ok((task, Ok(()))) if unexpected => error!(task, "task ended before the process was told to stop"),
        Ok(_) => {}
        Err(panic) => error!(error = %panic, "task panicked"),
    }
}

/// Tells systemd (`sd_notify(3)`), when it asked to be told.
fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let sent = std::os::unix::net::UnixDatagram::unbound().and_then(|socket| {
        match path.to_str().and_then(|path| path.strip_prefix('@')) {
            Some(name) => {
                use std::os::linux::net::SocketAddrExt;
                let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
                socket.send_to_addr(state.as_bytes(), &address)
            }
            None => socket.send_to(state.as_bytes(), path),
        }
    });
    if let Err(error) = sent {
        warn!(%error, "cannot notify systemd");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_by_itself_stops_the_others_and_fails_the_process() {
        let mut lifecycle = Lifecycle::new();
        let stopping = lifecycle.stopping();
        lifecycle.spawn("waits", async move {
            stopping.cancelled().await;
            Ok(())
        });
        lifecycle.spawn("fails", async { anyhow::bail!("no database") });
        let code = lifecycle.run(Duration::from_secs(5)).await.expect("signals");
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::FAILURE));
    }
}
