//! The records of all instances, shared by the tasks that see and change them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use daemon::reconcile::Activator;
use protocol::ids::InstanceId;
use protocol::report::{InstanceState, Stray, WorkerReport};
use protocol::spec::WorkerSpec;
use tokio::sync::Notify;
use tracing::warn;

use super::record::{Record, spec_hash};

/// How long an ended instance stays in the report, so that the control plane surely sees its end.
const AFTERLIFE: TimeDelta = TimeDelta::minutes(5);

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Board(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    records: Mutex<Records>,
    strays: Mutex<Vec<Stray>>,
    file: PathBuf,
    /// Held while the file is written: the newest content is the one that stays.
    saving: Mutex<()>,
    /// Wakes the reconciler.
    reconcile: Activator,
    /// Wakes the reporter.
    changed: Notify,
}

type Records = BTreeMap<InstanceId, Record>;

impl Board {
    /// With what an earlier agent remembered. A damaged file is no reason not to start: what is true is seen again.
    pub(crate) fn load(file: &Path, reconcile: Activator) -> Self {
        let records = match std::fs::read(file) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                warn!(file = %file.display(), %error, "the memory of instances is damaged and was dropped");
                Records::new()
            }),
            Err(_) => Records::new(),
        };
        let shared = Shared {
            records: Mutex::new(records),
            strays: Mutex::default(),
            file: file.to_owned(),
            saving: Mutex::new(()),
            reconcile,
            changed: Notify::new(),
        };
        Self(Arc::new(shared))
    }

    /// Writes all records to disk (mode 0600).
    pub(crate) fn save(&self) -> io::Result<()> {
        let _saving = self.0.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let text = serde_json::to_vec(&*self.records()).map_err(io::Error::other)?;
        daemon::file::replace(&self.0.file, &text, 0o600)
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.0.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn snapshot(&self) -> BTreeMap<InstanceId, Record> {
        self.records().clone()
    }

    pub(crate) fn get(&self, id: InstanceId) -> Option<Record> {
        self.records().get(&id).cloned()
    }

    /// Waits for the next change that is worth a report.
    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    pub(crate) fn reconcile(&self) {
        self.0.reconcile.signal();
    }

    /// Changes one record. Everything but a repeated probe result is worth a report and a pass.
    pub(crate) fn update<R>(&self, id: InstanceId, change: impl FnOnce(&mut Record) -> R) -> Option<R> {
        let mut records = self.records();
        let record = records.get_mut(&id)?;
        let before = record.clone();
        let result = change(record);
        let changed = Record { probe: None, misses: 0, ..record.clone() }
            != Record { probe: None, misses: 0, ..before };
        drop(records);
        if changed {
            self.0.changed.notify_one();
            self.0.reconcile.signal();
        }
        Some(result)
    }

    /// Begins a record for each new instance or changed spec, ends those that are neither wanted nor there.
    pub(crate) fn align(&self, spec: &WorkerSpec, present: &BTreeSet<InstanceId>, now: DateTime<Utc>) {
        let mut records = self.records();
        let mut changed = false;
        for wanted in &spec.instances {
            let hash = spec_hash(wanted);
            if records.get(&wanted.id).is_none_or(|record| record.hash != hash) {
                records.insert(wanted.id, Record { once: wanted.once, ..Record::new(hash) });
                changed = true;
            }
        }
        let wanted: BTreeSet<_> = spec.instances.iter().map(|instance| instance.id).collect();
        records.retain(|id, record| {
            if wanted.contains(id) || present.contains(id) {
                return true;
            }
            if record.state != InstanceState::Stopped {
                record.state = InstanceState::Stopped;
                record.container = None;
                record.retry_at = Some(now + AFTERLIFE);
                changed = true;
            }
            record.waits(now)
        });
        drop(records);
        if changed {
            self.0.changed.notify_one();
        }
    }

    /// What else is there with our label.
    pub(crate) fn set_strays(&self, strays: Vec<Stray>) {
        let mut known = self.0.strays.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != strays {
            *known = strays;
            drop(known);
            self.0.changed.notify_one();
        }
    }

    pub(crate) fn report(&self) -> WorkerReport {
        let strays = self.0.strays.lock().unwrap_or_else(PoisonError::into_inner).clone();
        WorkerReport {
            instances: self.records().iter().map(|(id, record)| record.report(*id)).collect(),
            strays,
        }
    }

    /// Containers that should be running.
    pub(crate) fn live(&self) -> BTreeMap<String, InstanceId> {
        let records = self.records();
        let live = records.iter().filter(|(_, record)| record.is_live());
        live.filter_map(|(id, record)| Some((record.container.clone()?, *id))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instances::samples::{at, spec};

    #[test]
    fn records_outlive_the_agent_and_ended_instances_are_reported_for_a_while() {
        let folder = tempfile::tempdir().expect("temp dir");
        let file = folder.path().join("instances.json");
        let board = Board::load(&file, Activator::new());
        let instance = spec("a", 1);
        let id = instance.id;
        board.align(
            &WorkerSpec { instances: vec![instance], ..WorkerSpec::default() },
            &BTreeSet::new(),
            at(0),
        );
        board.update(id, |record| record.started("c".to_owned(), "boot", at(0)));
        board.save().expect("save");

        let board = Board::load(&file, Activator::new());
        assert_eq!(board.live(), BTreeMap::from([("c".to_owned(), id)]));
        board.align(&WorkerSpec::default(), &BTreeSet::from([id]), at(1));
        assert_eq!(
            board.report().instances[0].state,
            InstanceState::Starting,
            "its container is there still"
        );
        board.align(&WorkerSpec::default(), &BTreeSet::new(), at(2));
        assert_eq!(board.report().instances[0].state, InstanceState::Stopped);
        board.align(&WorkerSpec::default(), &BTreeSet::new(), at(2 + 301));
        assert_eq!(board.report().instances, []);
    }

    #[test]
    fn another_spec_of_the_same_instance_begins_anew() {
        let folder = tempfile::tempdir().expect("temp dir");
        let board = Board::load(&folder.path().join("instances.json"), Activator::new());
        let mut instance = spec("a", 1);
        board.align(
            &WorkerSpec { instances: vec![instance.clone()], ..WorkerSpec::default() },
            &BTreeSet::new(),
            at(0),
        );
        board.update(instance.id, |record| record.state = InstanceState::Failed);
        instance.port = 9090;
        board.align(
            &WorkerSpec { instances: vec![instance.clone()], ..WorkerSpec::default() },
            &BTreeSet::new(),
            at(1),
        );
        assert_eq!(board.get(instance.id).expect("record").state, InstanceState::Pending);
    }
}
