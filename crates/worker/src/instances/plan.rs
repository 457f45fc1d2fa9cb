//! What to do next: desired instances × containers that exist → steps. Pure and printable.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use protocol::ids::InstanceId;
use protocol::spec::WorkerSpec;

use super::drift::Drift;
use super::record::{Record, spec_hash};

/// A container of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Observed {
    pub(crate) container: String,
    pub(crate) instance: InstanceId,
    pub(crate) hash: String,
    pub(crate) phase: Phase,
    /// What somebody changed of it since it was made.
    pub(crate) drift: Option<Drift>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Running,
    /// Made, or left by the host's last run: not running, not ended.
    Created,
    Exited,
    /// Stopping, being removed and the like: looked at again later.
    Changing,
}

impl Phase {
    /// From Podman's word.
    pub(crate) fn parse(state: &str) -> Self {
        match state {
            "running" | "paused" => Self::Running,
            "created" | "configured" | "initialized" => Self::Created,
            "exited" | "stopped" | "dead" => Self::Exited,
            _ => Self::Changing,
        }
    }
}

/// One thing to do for one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make sure that the image is on this host.
    Image,
    Create,
    /// The container that [`Step::Create`] made, or the one named.
    Start(Option<String>),
    Stop(String),
    Remove(String),
    /// Runs as it should: probe it.
    Adopt(String),
    /// Runs with other limits than it should.
    Limit(String),
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Image => f.write_str("fetch the image"),
            Self::Create => f.write_str("create"),
            Self::Start(None) => f.write_str("start"),
            Self::Start(Some(container)) => write!(f, "start {container}"),
            Self::Stop(container) => write!(f, "stop {container}"),
            Self::Remove(container) => write!(f, "remove {container}"),
            Self::Adopt(container) => write!(f, "adopt {container}"),
            Self::Limit(container) => write!(f, "set the limits of {container}"),
        }
    }
}

/// Which instances of exclusive apps have a lease: to go on, and to start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Permits {
    pub(crate) run: BTreeSet<InstanceId>,
    pub(crate) start: BTreeSet<InstanceId>,
}

pub(crate) type Plan = BTreeMap<InstanceId, Vec<Step>>;

/// The steps of each instance, in their order; instances do not wait for each other.
pub(crate) fn plan(
    spec: &WorkerSpec,
    observed: &[Observed],
    records: &BTreeMap<InstanceId, Record>,
    permits: &Permits,
    now: DateTime<Utc>,
) -> Plan {
    let mut plan = Plan::new();
    for wanted in &spec.instances {
        // What runs without a lease is stopped elsewhere, see `lease`: that waits for nothing here.
        if wanted.exclusive && !permits.run.contains(&wanted.id) {
            continue;
        }
        let containers: Vec<_> = observed.iter().filter(|seen| seen.instance == wanted.id).collect();
        let steps = steps_for(&spec_hash(wanted), &containers, records.get(&wanted.id), now);
        let starts = steps.iter().any(|step| matches!(step, Step::Create | Step::Start(_)));
        if wanted.exclusive && starts && !permits.start.contains(&wanted.id) {
            continue;
        }
        if !steps.is_empty() {
            plan.insert(wanted.id, steps);
        }
    }
    let wanted: BTreeSet<_> = spec.instances.iter().map(|instance| instance.id).collect();
    for seen in observed.iter().filter(|seen| !wanted.contains(&seen.instance)) {
        plan.entry(seen.instance).or_default().extend(end(seen));
    }
    plan
}

fn steps_for(hash: &str, containers: &[&Observed], record: Option<&Record>, now: DateTime<Utc>) -> Vec<Step> {
    let record = record.filter(|record| record.hash == hash);
    let as_made = |seen: &&&Observed| seen.hash == hash && !matches!(seen.drift, Some(Drift::Beyond(_)));
    let keep = containers.iter().filter(as_made).min_by_key(|seen| seen.phase);
    let mut steps: Vec<Step> =
        containers.iter().filter(|seen| Some(*seen) != keep).flat_map(|seen| end(seen)).collect();
    let is_over = record.is_some_and(Record::is_over);
    let once = record.is_some_and(|record| record.once);
    let begun = once && record.is_some_and(|record| record.started_at.is_some());
    let waits = record.is_some_and(|record| record.waits(now));
    match keep {
        Some(seen) if is_over && seen.phase == Phase::Running => {
            steps.push(Step::Stop(seen.container.clone()));
        }
        _ if is_over || waits => {}
        // Whether it had its run is judged elsewhere, see `once`.
        None if begun => {}
        None => steps.extend([Step::Image, Step::Create, Step::Start(None)]),
        Some(seen) => match seen.phase {
            Phase::Running => {
                let adopt = Step::Adopt(seen.container.clone());
                // Its record is right by the next pass, or is already.
                let limit = seen.drift.as_ref().map(|_| Step::Limit(seen.container.clone()));
                steps.push(limit.unwrap_or(adopt));
            }
            Phase::Created if begun => {}
            Phase::Exited if once => {}
            Phase::Created | Phase::Exited => steps.push(Step::Start(Some(seen.container.clone()))),
            Phase::Changing => {}
        },
    }
    steps
}

fn end(seen: &Observed) -> Vec<Step> {
    let remove = Step::Remove(seen.container.clone());
    match seen.phase {
        Phase::Running => vec![Step::Stop(seen.container.clone()), remove],
        Phase::Changing => vec![],
        Phase::Created | Phase::Exited => vec![remove],
    }
}

#[cfg(test)]
mod tests {
    use protocol::report::InstanceState;
    use protocol::spec::InstanceSpec;

    use super::*;
    use crate::instances::samples::{at, spec};

    /// A host with instance `a` wanted, the given containers of it (right hash or not) and its record.
    fn planned(containers: &[(&str, bool, Phase)], record: impl FnOnce(&mut Record)) -> String {
        let wanted = spec("a", 1);
        let hash = spec_hash(&wanted);
        let mut kept = Record::new(hash.clone());
        record(&mut kept);
        let observed: Vec<_> = containers
            .iter()
            .map(|(name, same, phase)| Observed {
                container: (*name).to_owned(),
                instance: wanted.id,
                hash: if *same { hash.clone() } else { "other".to_owned() },
                phase: *phase,
                drift: None,
            })
            .collect();
        let records = BTreeMap::from([(wanted.id, kept)]);
        let spec = WorkerSpec { instances: vec![wanted], ..WorkerSpec::default() };
        printed(&plan(&spec, &observed, &records, &Permits::default(), at(10)))
    }

    fn printed(plan: &Plan) -> String {
        let line = |steps: &Vec<Step>| steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        plan.values().map(line).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn plans_read_like_this() {
        let nothing = |_: &mut Record| {};
        insta::assert_snapshot!(planned(&[], nothing), @"fetch the image, create, start");
        insta::assert_snapshot!(planned(&[("c", true, Phase::Running)], nothing), @"adopt c");
        insta::assert_snapshot!(planned(&[("c", true, Phase::Created)], nothing), @"start c");
        insta::assert_snapshot!(planned(&[("c", true, Phase::Exited)], nothing), @"start c");
        insta::assert_snapshot!(planned(&[("c", true, Phase::Changing)], nothing), @"");
        insta::assert_snapshot!(
            planned(&[("old", false, Phase::Running)], nothing),
            @"stop old, remove old, fetch the image, create, start"
        );
        insta::assert_snapshot!(
            planned(&[("twin", true, Phase::Exited), ("c", true, Phase::Running)], nothing),
            @"remove twin, adopt c"
        );
    }

    #[test]
    fn limits_are_set_again_while_it_runs_and_the_rest_needs_another_container() {
        let drifted = |drift: Drift| {
            let wanted = spec("a", 1);
            let hash = spec_hash(&wanted);
            let records = BTreeMap::from([(wanted.id, Record::new(hash.clone()))]);
            let seen = Observed {
                container: "c".to_owned(),
                instance: wanted.id,
                hash,
                phase: Phase::Running,
                drift: Some(drift),
            };
            let spec = WorkerSpec { instances: vec![wanted], ..WorkerSpec::default() };
            printed(&plan(&spec, &[seen], &records, &Permits::default(), at(10)))
        };
        assert_eq!(drifted(Drift::Limits("less".to_owned())), "set the limits of c");
        assert_eq!(
            drifted(Drift::Beyond("cut off".to_owned())),
            "stop c, remove c, fetch the image, create, start"
        );
    }

    #[test]
    fn what_runs_once_is_started_once() {
        let ready = |record: &mut Record| record.once = true;
        let ran = |record: &mut Record| (record.once, record.started_at) = (true, Some(at(1)));
        insta::assert_snapshot!(planned(&[], ready), @"fetch the image, create, start");
        insta::assert_snapshot!(planned(&[("c", true, Phase::Created)], ready), @"start c");
        insta::assert_snapshot!(planned(&[("c", true, Phase::Exited)], ready), @"");
        insta::assert_snapshot!(planned(&[("c", true, Phase::Running)], ran), @"adopt c");
        for containers in [&[][..], &[("c", true, Phase::Exited)], &[("c", true, Phase::Created)]] {
            insta::allow_duplicates! { insta::assert_snapshot!(planned(containers, ran), @"") };
        }
    }

    #[test]
    fn what_waits_or_has_failed_is_left_alone() {
        let waits = |record: &mut Record| record.retry_at = Some(at(11));
        let failed = |record: &mut Record| record.state = InstanceState::Failed;
        insta::assert_snapshot!(planned(&[("c", true, Phase::Exited)], waits), @"");
        insta::assert_snapshot!(planned(&[], waits), @"");
        insta::assert_snapshot!(planned(&[("c", true, Phase::Exited)], failed), @"");
        insta::assert_snapshot!(planned(&[("c", true, Phase::Running)], failed), @"stop c");
        // The record is about another spec, so its failure says nothing about this one.
        let other = |record: &mut Record| {
            record.state = InstanceState::Failed;
            record.hash = "other".to_owned();
        };
        insta::assert_snapshot!(planned(&[], other), @"fetch the image, create, start");
    }

    #[test]
    fn an_exclusive_instance_needs_a_lease_to_start_and_to_be_kept() {
        let wanted = InstanceSpec { exclusive: true, ..spec("a", 1) };
        let (id, hash) = (wanted.id, spec_hash(&wanted));
        let records = BTreeMap::from([(id, Record::new(hash.clone()))]);
        let spec = WorkerSpec { instances: vec![wanted], ..WorkerSpec::default() };
        let planned = |phase: Option<Phase>, run: bool, start: bool| {
            let seen = |phase| Observed {
                container: "c".to_owned(),
                instance: id,
                hash: hash.clone(),
                phase,
                drift: None,
            };
            let observed: Vec<_> = phase.map(seen).into_iter().collect();
            let set = |so: bool| so.then_some(id).into_iter().collect();
            let permits = Permits { run: set(run), start: set(start) };
            printed(&plan(&spec, &observed, &records, &permits, at(10)))
        };
        assert_eq!(planned(None, true, true), "fetch the image, create, start");
        assert_eq!(planned(None, true, false), "", "it would have to stop again at once");
        assert_eq!(planned(Some(Phase::Exited), false, false), "");
        assert_eq!(planned(Some(Phase::Running), true, false), "adopt c");
        assert_eq!(planned(Some(Phase::Running), false, false), "", "the keeper of the lease stops it");
    }

    #[test]
    fn what_nobody_wants_is_ended() {
        let seen = |container: &str, phase| Observed {
            container: container.to_owned(),
            instance: InstanceId::new(),
            hash: "any".to_owned(),
            phase,
            drift: None,
        };
        let observed = [seen("runs", Phase::Running), seen("ended", Phase::Exited)];
        let plan = plan(&WorkerSpec::default(), &observed, &BTreeMap::new(), &Permits::default(), at(0));
        insta::assert_snapshot!(printed(&plan), @"stop runs, remove runs; remove ended");
    }
}
