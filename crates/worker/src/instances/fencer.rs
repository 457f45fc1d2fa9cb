//! Stops exclusive instances whose lease is over, without the reconciler, which may be busy with them.

use std::time::Duration;

use chrono::Utc;
use protocol::ids::InstanceId;
use protocol::report::{Corrected, Deed};
use tracing::error;

use super::board::Board;
use super::label;
use super::outbox::Outbox;
use crate::podman::{Error, Podman};

const UNRENEWED: &str = "the control plane had not renewed it in time";

/// See [`crate::lease`]. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fencer {
    podman: Podman,
    board: Board,
    outbox: Outbox,
}

/// A container of an exclusive app that runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Running {
    pub(crate) instance: InstanceId,
    pub(crate) container: String,
    app: Option<String>,
}

impl Fencer {
    pub(super) fn new(podman: Podman, board: Board, outbox: Outbox) -> Self {
        Self { podman, board, outbox }
    }

    /// Instances of exclusive apps that run here, with their containers.
    pub(crate) async fn running(&self) -> Result<Vec<Running>, Error> {
        let listed = self.podman.containers(label::EXCLUSIVE).await?;
        let still = listed.into_iter().filter(|one| !matches!(one.state.as_str(), "exited" | "created"));
        let of = still.filter_map(|one| {
            let instance = one.labels.get(label::INSTANCE)?.parse().ok()?;
            Some(Running { instance, app: one.labels.get(label::APP).cloned(), container: one.id })
        });
        Ok(of.collect())
    }

    /// Asks it to end, and kills it when it has not within the time.
    pub(crate) async fn stop(&self, running: &Running, within: Duration) {
        let (id, container) = (running.instance, running.container.as_str());
        // First of all: what ends now has not crashed.
        self.board.update(id, super::record::Record::fenced);
        // Before it has ended, too: the host may lose its power now, and nobody would know why it did not run.
        self.outbox.push(Corrected {
            at: Utc::now(),
            container: Some(container.to_owned()),
            instance_id: Some(id),
            app: running.app.clone(),
            deed: Deed::Fenced,
            reason: UNRENEWED.to_owned(),
        });
        let patience = within + Duration::from_secs(1);
        let asked = tokio::time::timeout(patience, self.podman.stop_within(container, within)).await;
        if matches!(asked, Ok(Ok(()))) {
            return;
        }
        if let Err(error) = self.podman.kill(container).await
            && !error.is_not_found()
        {
            error!(instance.id = %id, container, %error, "an instance whose lease is over cannot be killed");
        }
    }
}
