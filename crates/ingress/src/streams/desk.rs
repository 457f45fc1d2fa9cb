//! What the table and those who listen for it say to each other.

use protocol::stream::StreamProblem;
use tokio::sync::{Notify, watch};

/// One per gateway.
#[derive(Debug)]
pub(crate) struct Desk {
    changed: Notify,
    problems: watch::Sender<Vec<StreamProblem>>,
}

impl Default for Desk {
    fn default() -> Self {
        Self { changed: Notify::new(), problems: watch::Sender::new(Vec::new()) }
    }
}

impl Desk {
    pub(crate) fn table_changed(&self) {
        self.changed.notify_one();
    }

    /// Returns when the table may have changed since the last time; for one listener.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// All problems there are, in the order of their ports.
    pub(super) fn say(&self, problems: Vec<StreamProblem>) {
        self.problems.send_if_modified(|said| {
            let differs = *said != problems;
            *said = problems;
            differs
        });
    }

    pub(crate) fn problems(&self) -> watch::Receiver<Vec<StreamProblem>> {
        self.problems.subscribe()
    }
}
