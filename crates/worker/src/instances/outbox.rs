//! Corrections that the control plane does not know of yet. On disk, so that a host which was cut off tells them when it is
//! back, whatever happened to its power meanwhile.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::message::FromAgent;
use protocol::report::Corrected;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::uplink::Uplink;

/// Of a host that is cut off for long: the newest say most.
const MOST: usize = 500;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    waiting: Mutex<VecDeque<Corrected>>,
    file: PathBuf,
    more: Notify,
}

impl Outbox {
    pub(super) fn load(file: PathBuf) -> Self {
        let waiting = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                warn!(file = %file.display(), %error, "what was put right before is not told: the file is damaged");
                VecDeque::new()
            }),
            Err(_) => VecDeque::new(),
        };
        Self(Arc::new(Shared { waiting: Mutex::new(waiting), file, more: Notify::new() }))
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Corrected>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On disk when this returns. The same once more, as by an agent that ended in between, is told once.
    pub(super) fn push(&self, told: Corrected) {
        warn!(deed = ?told.deed, container = told.container, "{}", told.reason);
        let mut waiting = self.waiting();
        if waiting.iter().any(|one| Corrected { at: told.at, ..one.clone() } == told) {
            return;
        }
        waiting.push_back(told);
        while waiting.len() > MOST {
            waiting.pop_front();
        }
        self.save(&waiting);
        drop(waiting);
        self.0.more.notify_one();
    }

    fn is_told(&self, told: &Corrected) {
        let mut waiting = self.waiting();
        waiting.retain(|one| one != told);
        self.save(&waiting);
    }

    fn save(&self, waiting: &VecDeque<Corrected>) {
        let text = serde_json::to_vec(waiting).expect("plain data");
        if let Err(error) = daemon::file::replace(&self.0.file, &text, 0o600) {
            warn!(%error, "cannot write down what was put right");
        }
    }

    /// Tells one after the other until `stop`, each until the control plane has it.
    pub async fn run(self, uplink: impl Uplink, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            let next = self.waiting().front().cloned();
            let Some(told) = next else {
                tokio::select! {
                    () = self.0.more.notified() => continue,
                    () = stop.cancelled() => return Ok(()),
                }
            };
            tokio::select! {
                // Err only once the agent stops.
                Ok(()) = uplink.deliver(FromAgent::Corrected(told.clone())) => self.is_told(&told),
                () = stop.cancelled() => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::report::Deed;

    use super::*;
    use crate::instances::samples::at;

    fn fenced(second: i64, container: &str) -> Corrected {
        Corrected {
            at: at(second),
            container: Some(container.to_owned()),
            instance_id: None,
            app: None,
            deed: Deed::Fenced,
            reason: "nobody had renewed it".to_owned(),
        }
    }

    #[test]
    fn what_was_not_told_yet_outlives_the_agent_and_is_told_once() {
        let folder = tempfile::tempdir().expect("temp dir");
        let file = folder.path().join("corrections.json");
        let outbox = Outbox::load(file.clone());
        outbox.push(fenced(1, "a"));
        outbox.push(fenced(2, "b"));
        let again = Outbox::load(file.clone());
        again.push(fenced(3, "a"));
        assert_eq!(*again.waiting(), [fenced(1, "a"), fenced(2, "b")]);
        again.is_told(&fenced(1, "a"));
        assert_eq!(*Outbox::load(file.clone()).waiting(), [fenced(2, "b")]);
        std::fs::write(&file, "[").expect("damaged");
        assert!(Outbox::load(file).waiting().is_empty());
    }

    #[test]
    fn of_very_many_the_newest_are_kept() {
        let folder = tempfile::tempdir().expect("temp dir");
        let outbox = Outbox::load(folder.path().join("corrections.json"));
        let many = (0..MOST).map(|number| fenced(0, &number.to_string())).collect();
        *outbox.waiting() = many;
        outbox.push(fenced(1, "newest"));
        let waiting = outbox.waiting();
        assert_eq!((waiting.len(), &waiting[0]), (MOST, &fenced(0, "1")));
        assert_eq!(waiting.back(), Some(&fenced(1, "newest")));
    }
}
