//! Programs in containers of their own: made for one session from the release that serves, and gone with it. The
//! reconciler does not know them, for they have another label than instances.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::exec::{FromProgram, OpenFresh};
use protocol::ids::ExecId;
use protocol::spec::InstanceSpec;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::program::{Handle, Place, Program, trouble};
use crate::bandwidth;
use crate::instances::image::Fetcher;
use crate::instances::{self, container, create, label};
use crate::means::{Means, subvolume};
use crate::podman::{Error, Podman};
use crate::private::{Bridge, Network, NotOpen};

/// How often it is looked for what sessions left behind.
const SWEEP: Duration = Duration::from_secs(30);
/// How long the control plane may take to say what the project may reach.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// Makes the containers, and removes them.
#[derive(Debug, Clone)]
pub struct Fresh {
    podman: Podman,
    images: Fetcher,
    network: Network,
    means: Arc<Means>,
    /// Sessions whose containers are theirs to remove.
    live: Arc<Mutex<BTreeSet<ExecId>>>,
}

/// Keeps the sweep from a session's container.
pub(super) struct Live {
    fresh: Fresh,
    session: ExecId,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.fresh.live().remove(&self.session);
    }
}

impl Fresh {
    pub(crate) fn new(podman: Podman, images: Fetcher, network: Network, means: Arc<Means>) -> Self {
        Self { podman, images, network, means, live: Arc::default() }
    }

    fn live(&self) -> std::sync::MutexGuard<'_, BTreeSet<ExecId>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before anything is made.
    pub(super) fn keep(&self, session: ExecId) -> Live {
        self.live().insert(session);
        Live { fresh: self.clone(), session }
    }

    /// The program runs when this returns.
    pub(super) async fn start(&self, session: ExecId, open: OpenFresh) -> Result<Program, FromProgram> {
        let OpenFresh { container: spec, terminal } = open;
        instances::check_instance(&spec)
            .map_err(|problem| FromProgram::failed("bad_request", problem, "Try again"))?;
        self.network.ensure().await.map_err(|error| {
            FromProgram::failed("worker_error", format!("{error:#}"), "Look at this worker's log")
        })?;
        create::admit(&self.means).map_err(|why| {
            FromProgram::failed("user_namespace_missing", why, "Give the host what is missing")
        })?;
        self.fetch_image(&spec).await?;
        let bridge = self.open(&spec.project).await?;
        let started = async {
            let new = container::fresh(&spec, &bridge, session, terminal.is_some(), &self.means);
            let id = create::create(&self.podman, &self.means, new).await?;
            subvolume::hold(&self.podman, &self.means, &spec, &id).await?;
            let handle = Handle { podman: self.podman.clone(), id, place: Place::Fresh };
            // Before it runs, so that nothing it prints is missed and its terminal has its size from the start.
            let stream = self.podman.attach(&handle.id).await?;
            if let Some(size) = terminal {
                handle.resize(size).await;
            }
            self.podman.start(&handle.id).await?;
            bandwidth::hold_now(&self.podman, &self.means, &spec, &handle.id).await;
            Ok(Program::new(handle, terminal.is_some(), stream))
        };
        started.await.map_err(|error| start_failed(&error))
    }

    /// What the project may reach comes by another way than the session, and perhaps a moment after it.
    async fn open(&self, project: &str) -> Result<Bridge, FromProgram> {
        let deadline = tokio::time::Instant::now() + TOLD_WITHIN;
        loop {
            match self.network.open(project).await {
                Ok(bridge) => return Ok(bridge),
                Err(NotOpen::Podman(error)) => return Err(trouble(&error)),
                Err(NotOpen::Unknown) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => {
                    let message = format!("there is no network for it: {error}");
                    return Err(FromProgram::failed("worker_error", message, "Look at this worker's log"));
                }
            }
        }
    }

    async fn fetch_image(&self, spec: &InstanceSpec) -> Result<(), FromProgram> {
        let found = self.podman.image(&spec.image.id).await.map_err(|error| trouble(&error))?;
        if found.is_some() {
            return Ok(());
        }
        self.images.ensure(&spec.image).await.map_err(|(failure, _)| {
            FromProgram::failed(
                &failure.code,
                failure.message,
                failure.hint.as_deref().unwrap_or("Try again"),
            )
        })
    }

    /// What is left of the session's container. What stays although it should not is the sweep's.
    pub(super) async fn clear(&self, session: ExecId) {
        let removed = async {
            for container in self.podman.containers(&format!("{}={session}", label::RUN)).await? {
                self.podman.remove(&container.id).await?;
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = removed.await {
            warn!(exec.id = %session, %error, "the container of a session is removed later");
        }
    }

    /// Removes what sessions left: those of an agent that died, and what Podman did not remove when it was told to.
    pub async fn sweep(self, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            if let Err(error) = self.sweep_once().await {
                warn!(%error, "cannot look for containers that sessions left");
            }
            tokio::select! {
                () = tokio::time::sleep(SWEEP) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    async fn sweep_once(&self) -> Result<(), Error> {
        for container in self.podman.containers(label::RUN).await? {
            let session = container.labels.get(label::RUN).and_then(|id| id.parse().ok());
            if session.is_some_and(|session| self.live().contains(&session)) {
                continue;
            }
            self.podman.remove(&container.id).await?;
            info!(container.id = container.id, "removed the container that a session left");
        }
        Ok(())
    }
}

fn start_failed(error: &Error) -> FromProgram {
    if container::is_the_apps_fault(error) {
        let hint = "The image has no such program; without a shell in it, `sh` is missing too";
        return FromProgram::failed("start_failed", format!("the program cannot be started: {error}"), hint);
    }
    trouble(error)
}
