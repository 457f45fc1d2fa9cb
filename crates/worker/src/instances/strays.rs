//! Containers with our label that no desired state of this worker ever had: somebody copied one, or the worker's memory
//! was lost. They are stopped, told, and removed a week later; until then somebody may want what is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use protocol::report::Stray;
use tracing::warn;

use super::label;
use super::plan::{Observed, Phase, Step};
use crate::podman::Listed;

/// From when one was found until it is removed.
const KEPT: TimeDelta = TimeDelta::days(7);

const UNKNOWN: &str = "no desired state of this worker ever had its instance";

/// Those that were found, by container. On disk, so that a week is a week.
#[derive(Debug)]
pub(super) struct Strays {
    file: PathBuf,
    kept: BTreeMap<String, Stray>,
}

impl Strays {
    pub(super) fn load(file: PathBuf) -> Self {
        let kept = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                warn!(file = %file.display(), %error, "the list of strays is damaged and begins anew");
                BTreeMap::new()
            }),
            Err(_) => BTreeMap::new(),
        };
        Self { file, kept }
    }

    /// Takes note of the ones that are there now.
    pub(super) fn note(&mut self, found: &[(&Observed, &Listed)], now: DateTime<Utc>) {
        let there: BTreeSet<&str> = found.iter().map(|(seen, _)| seen.container.as_str()).collect();
        let before = self.kept.clone();
        self.kept.retain(|container, _| there.contains(container.as_str()));
        for (seen, listed) in found {
            let stray = self.kept.entry(seen.container.clone()).or_insert_with(|| Stray {
                container: seen.container.clone(),
                name: listed.names.first().cloned().unwrap_or_default(),
                instance_id: Some(seen.instance),
                app: listed.labels.get(label::APP).cloned(),
                state: listed.state.clone(),
                reason: UNKNOWN.to_owned(),
                found_at: now,
                remove_at: now + KEPT,
            });
            stray.state.clone_from(&listed.state);
        }
        if self.kept != before {
            self.save();
        }
    }

    fn save(&self) {
        let text = serde_json::to_vec(&self.kept).expect("plain data");
        if let Err(error) = daemon::file::replace(&self.file, &text, 0o600) {
            warn!(%error, "cannot write the list of strays");
        }
    }

    pub(super) fn list(&self) -> Vec<Stray> {
        self.kept.values().take(protocol::report::MAX_STRAYS).cloned().collect()
    }

    /// What to do with one now, if anything.
    pub(super) fn step(&self, seen: &Observed, now: DateTime<Utc>) -> Option<Step> {
        let over = self.kept.get(&seen.container).is_some_and(|stray| stray.remove_at <= now);
        match seen.phase {
            Phase::Running => Some(Step::Stop(seen.container.clone())),
            Phase::Created | Phase::Exited if over => Some(Step::Remove(seen.container.clone())),
            Phase::Created | Phase::Exited | Phase::Changing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::ids::InstanceId;

    use super::*;
    use crate::instances::samples::at;

    fn seen(phase: Phase) -> Observed {
        Observed {
            container: "c1".to_owned(),
            instance: InstanceId::new(),
            hash: "any".to_owned(),
            phase,
            drift: None,
        }
    }

    #[test]
    fn a_stray_is_stopped_at_once_and_removed_after_a_week_whatever_restarts() {
        let folder = tempfile::tempdir().expect("temp dir");
        let file = folder.path().join("strays.json");
        let listed = |state: &str| Listed { state: state.to_owned(), ..Listed::default() };
        let (runs, ended) = (seen(Phase::Running), seen(Phase::Exited));
        let mut strays = Strays::load(file.clone());
        strays.note(&[(&runs, &listed("running"))], at(0));
        assert_eq!(strays.step(&runs, at(0)), Some(Step::Stop("c1".to_owned())));
        let mut strays = Strays::load(file.clone());
        strays.note(&[(&ended, &listed("exited"))], at(60));
        let told = strays.list();
        assert_eq!((told.len(), told[0].state.as_str(), told[0].found_at), (1, "exited", at(0)));
        let week = 7 * 24 * 3600;
        assert_eq!(strays.step(&ended, at(week - 1)), None);
        assert_eq!(strays.step(&ended, at(week)), Some(Step::Remove("c1".to_owned())));
        strays.note(&[], at(week + 1));
        assert_eq!(Strays::load(file).list(), []);
    }
}
