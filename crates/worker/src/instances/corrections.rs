//! What of a plan puts something right that nobody asked for: each is told with its reason.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use protocol::ids::InstanceId;
use protocol::report::{Corrected, Deed};
use protocol::spec::{InstanceSpec, WorkerSpec};

use super::drift::Drift;
use super::plan::{Observed, Plan, Step};
use super::record::{Record, spec_hash};

/// Of the instances that are wanted. What a new desired state brings is none, nor what an app does by itself.
pub(super) fn of(
    spec: &WorkerSpec,
    observed: &[Observed],
    records: &BTreeMap<InstanceId, Record>,
    plan: &Plan,
    now: DateTime<Utc>,
) -> Vec<Corrected> {
    let mut found = Vec::new();
    for wanted in spec.instances.iter().filter(|wanted| !wanted.once) {
        let Some(steps) = plan.get(&wanted.id) else { continue };
        let seen: Vec<&Observed> = observed.iter().filter(|seen| seen.instance == wanted.id).collect();
        let Some(record) = records.get(&wanted.id) else { continue };
        let tell =
            |deed, container: Option<&str>, reason: &str| correction(wanted, deed, container, reason, now);
        let creates = steps.contains(&Step::Create);
        if creates && record.is_live() && seen.is_empty() {
            found.push(tell(Deed::Recreated, record.container.as_deref(), "its container was gone"));
        }
        for seen in &seen {
            match &seen.drift {
                Some(Drift::Limits(reason)) if steps.contains(&Step::Limit(seen.container.clone())) => {
                    found.push(tell(Deed::Limited, Some(&seen.container), reason));
                }
                Some(Drift::Beyond(reason)) if creates => {
                    found.push(tell(Deed::Recreated, Some(&seen.container), reason));
                    continue;
                }
                _ => {}
            }
            if !steps.contains(&Step::Remove(seen.container.clone())) {
                continue;
            }
            found.push(if seen.hash == spec_hash(wanted) {
                tell(Deed::Ended, Some(&seen.container), "the instance had another container")
            } else {
                tell(Deed::Recreated, Some(&seen.container), "its container was made from something else")
            });
        }
        if let [Step::Adopt(container)] = steps.as_slice()
            && record.started_at.is_none()
        {
            found.push(tell(
                Deed::Adopted,
                Some(container),
                "it ran, and this worker did not know of having started it",
            ));
        }
    }
    found
}

fn correction(
    wanted: &InstanceSpec,
    deed: Deed,
    container: Option<&str>,
    reason: &str,
    at: DateTime<Utc>,
) -> Corrected {
    Corrected {
        at,
        container: container.map(str::to_owned),
        instance_id: Some(wanted.id),
        app: Some(wanted.app.clone()),
        deed,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::plan::{Permits, Phase, plan};
    use super::*;
    use crate::instances::samples::{at, spec};

    fn told(containers: &[(&str, bool, Phase)], change: impl FnOnce(&mut Record)) -> String {
        let wanted = spec("a", 1);
        let hash = spec_hash(&wanted);
        let mut record = Record::new(hash.clone());
        change(&mut record);
        let seen = |(name, same, phase): &(&str, bool, Phase)| Observed {
            container: (*name).to_owned(),
            instance: wanted.id,
            hash: if *same { hash.clone() } else { "other".to_owned() },
            phase: *phase,
            drift: None,
        };
        let observed: Vec<_> = containers.iter().map(seen).collect();
        let records = BTreeMap::from([(wanted.id, record)]);
        let spec = WorkerSpec { instances: vec![wanted], ..WorkerSpec::default() };
        let permits = Permits { run: BTreeSet::new(), start: BTreeSet::new() };
        let plan = plan(&spec, &observed, &records, &permits, at(10));
        let corrections = of(&spec, &observed, &records, &plan, at(10));
        corrections.iter().map(|one| format!("{:?}: {}", one.deed, one.reason)).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn what_nobody_asked_for_is_told_with_its_reason() {
        let ran = |record: &mut Record| record.started("c".to_owned(), "boot", at(1));
        let nothing = |_: &mut Record| {};
        assert_eq!(told(&[], nothing), "", "a new instance");
        assert_eq!(told(&[("c", true, Phase::Running)], ran), "");
        assert_eq!(told(&[("c", true, Phase::Exited)], ran), "", "it ended by itself");
        assert_eq!(told(&[], ran), "Recreated: its container was gone");
        assert_eq!(
            told(&[("c", true, Phase::Running), ("d", true, Phase::Running)], ran),
            "Ended: the instance had another container"
        );
        assert_eq!(
            told(&[("c", false, Phase::Running)], ran),
            "Recreated: its container was made from something else"
        );
        assert_eq!(
            told(&[("c", true, Phase::Running)], nothing),
            "Adopted: it ran, and this worker did not know of having started it"
        );
    }
}
