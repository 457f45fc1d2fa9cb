//! Stops exclusive instances whose lease is over, without the reconciler, which may be busy with them.

use std::time::Duration;

use protocol::ids::InstanceId;
use tracing::error;

use super::board::Board;
use super::label;
use crate::podman::{Error, Podman};

/// See [`crate::lease`]. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fencer {
    podman: Podman,
    board: Board,
}

impl Fencer {
    pub(super) fn new(podman: Podman, board: Board) -> Self {
        Self { podman, board }
    }

    /// Instances of exclusive apps that run here, with their containers.
    pub(crate) async fn running(&self) -> Result<Vec<(InstanceId, String)>, Error> {
        let listed = self.podman.containers(label::EXCLUSIVE).await?;
        let still = listed.into_iter().filter(|one| !matches!(one.state.as_str(), "exited" | "created"));
        let of = still.filter_map(|one| Some((one.labels.get(label::INSTANCE)?.parse().ok()?, one.id)));
        Ok(of.collect())
    }

    /// Asks it to end, and kills it when it has not within the time.
    pub(crate) async fn stop(&self, id: InstanceId, container: &str, within: Duration) {
        // First of all: what ends now has not crashed.
        self.board.update(id, super::record::Record::fenced);
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
