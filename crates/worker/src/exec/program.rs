//! A program that runs, and what is asked of Podman about it.

use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use protocol::exec::{FromProgram, Size};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::time::timeout;
use tracing::warn;

use crate::podman::{Error, Podman};

/// Time for Podman to know how a program ended, after its stream did.
const SETTLE: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// With its streams.
pub(super) struct Program {
    pub(super) handle: Handle,
    pub(super) terminal: bool,
    pub(super) input: WriteHalf<reqwest::Upgraded>,
    pub(super) output: ReadHalf<reqwest::Upgraded>,
}

impl Program {
    pub(super) fn new(handle: Handle, terminal: bool, stream: reqwest::Upgraded) -> Self {
        let (output, input) = tokio::io::split(stream);
        Self { handle, terminal, input, output }
    }
}

/// What Podman knows it by.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    pub(super) podman: Podman,
    pub(super) id: String,
    pub(super) place: Place,
}

/// Where a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Beside the one of an instance; the id is an exec's.
    Instance,
    /// In a container of its own; the id is the container's.
    Fresh,
}

pub(super) fn trouble(error: &Error) -> FromProgram {
    FromProgram::failed("worker_error", format!("the worker cannot run it: {error}"), "Try again")
}

impl Handle {
    pub(super) async fn resize(&self, size: Size) {
        let resized = match self.place {
            Place::Instance => self.podman.resize_exec(&self.id, size).await,
            Place::Fresh => self.podman.resize_container(&self.id, size).await,
        };
        if let Err(error) = resized {
            // It may just have ended.
            tracing::debug!(exec.podman = self.id, %error, "cannot resize a terminal");
        }
    }

    /// How the program ended, once it has closed its outputs.
    pub(super) async fn exit(&self) -> FromProgram {
        let ended = timeout(SETTLE, async {
            loop {
                match self.exit_code().await {
                    Ok(None) => tokio::time::sleep(LOOK).await,
                    Ok(Some(code)) => return FromProgram::Exit { code },
                    // Its container was removed with it.
                    Err(error) if error.is_not_found() => return self.gone(),
                    Err(error) => return trouble(&error),
                }
            }
        });
        ended.await.unwrap_or_else(|_| {
            FromProgram::failed(
                "still_running",
                "the program closed its outputs and goes on",
                "It ends with its container",
            )
        })
    }

    /// `None` while it runs.
    async fn exit_code(&self) -> Result<Option<i32>, Error> {
        let (running, code) = match self.place {
            Place::Instance => {
                let found = self.podman.inspect_exec(&self.id).await?;
                (found.running, found.exit_code)
            }
            Place::Fresh => {
                let state = self.podman.inspect(&self.id).await?.state;
                (state.running, state.exit_code)
            }
        };
        Ok((!running).then_some(code))
    }

    fn gone(&self) -> FromProgram {
        match self.place {
            Place::Instance => {
                FromProgram::failed("instance_gone", "the instance was stopped", "`wh ps` shows the others")
            }
            Place::Fresh => {
                FromProgram::failed("container_gone", "somebody removed the program's container", "Try again")
            }
        }
    }

    /// Nobody is at the other end any more.
    pub(super) async fn hang_up(&self) {
        let done = match self.place {
            Place::Instance => self.hang_up_on_exec().await,
            // It has the time between SIGTERM and SIGKILL that its app has.
            Place::Fresh => self.podman.stop(&self.id).await,
        };
        if let Err(error) = done {
            warn!(exec.podman = self.id, %error, "cannot hang up on a program");
        }
    }

    /// As when a terminal is closed: what ignores SIGHUP goes on.
    async fn hang_up_on_exec(&self) -> Result<(), Error> {
        let found = self.podman.inspect_exec(&self.id).await?;
        if found.running && found.pid > 1 {
            // It leads the group of its children.
            if let Err(error) = killpg(Pid::from_raw(found.pid), Signal::SIGHUP) {
                warn!(exec.podman = self.id, %error, "cannot hang up on a program");
            }
        }
        Ok(())
    }
}
