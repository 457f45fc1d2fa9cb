//! What the reconciler looks at besides the instances that are wanted: containers that nobody knows, leases, and what it
//! has to tell.

use std::collections::BTreeSet;
use std::path::Path;

use chrono::{DateTime, Utc};
use protocol::ids::InstanceId;
use protocol::report::{Corrected, Deed};
use protocol::spec::WorkerSpec;

use super::drift::{self, Holds, Seen};
use super::plan::{Observed, Permits, Phase, Step};
use super::{Ended, Instances, apply, label, observe};
use crate::podman::Listed;
use crate::private;
use crate::uplink::Uplink;

impl<U: Uplink> Instances<U> {
    /// What of the containers is of instances that this worker knows. The others are stopped, and told.
    pub(super) fn set_strays_aside(
        &mut self,
        spec: &WorkerSpec,
        listed: &[Listed],
        now: DateTime<Utc>,
    ) -> Vec<Observed> {
        let wanted: BTreeSet<InstanceId> = spec.instances.iter().map(|instance| instance.id).collect();
        let seen = listed.iter().filter_map(|listed| Some((observe(listed)?, listed)));
        let (known, strays): (Vec<_>, Vec<_>) = seen.partition(|(seen, _)| {
            wanted.contains(&seen.instance) || self.host.board.get(seen.instance).is_some()
        });
        let strays: Vec<(&Observed, &Listed)> = strays.iter().map(|(seen, listed)| (seen, *listed)).collect();
        self.strays.note(&strays, now);
        self.host.board.set_strays(self.strays.list());
        let mut told = Vec::new();
        for (seen, listed) in strays {
            let Some(step) = self.strays.step(seen, now).filter(|_| self.busy.insert(seen.instance)) else {
                continue;
            };
            told.push(stray_ended(seen, listed, &step, now));
            let (host, id) = (self.host.clone(), seen.instance);
            self.tasks.spawn(async move {
                apply::apply(&host, id, None, vec![step]).await;
                host.board.reconcile();
                Ended::Applied(id, None)
            });
        }
        self.tell(told);
        known.into_iter().map(|(seen, _)| seen).collect()
    }

    pub(super) fn permits(&self, spec: &WorkerSpec) -> Permits {
        let exclusive = || spec.instances.iter().filter(|wanted| wanted.exclusive).map(|wanted| wanted.id);
        Permits {
            run: exclusive().filter(|id| self.host.permit.may_run(*id)).collect(),
            start: exclusive().filter(|id| self.host.permit.may_start(*id)).collect(),
        }
    }

    pub(super) fn tell(&self, corrections: impl IntoIterator<Item = Corrected>) {
        corrections.into_iter().for_each(|correction| self.outbox.push(correction));
    }

    /// Notes what somebody changed of the containers that run.
    pub(super) fn look_for_drift(&mut self, spec: &WorkerSpec, listed: &[Listed], observed: &mut [Observed]) {
        self.in_vain.retain(|container| listed.iter().any(|listed| listed.id == *container));
        for seen in observed.iter_mut().filter(|seen| seen.phase == Phase::Running) {
            let wanted = spec.instances.iter().find(|wanted| wanted.id == seen.instance && !wanted.once);
            let listed = listed.iter().find(|listed| listed.id == seen.container);
            let (Some(wanted), Some(listed)) = (wanted, listed) else { continue };
            let holds = Holds::read(Path::new("/"), self.host.means.cgroups, listed);
            let networks = private::names_of(&wanted.project);
            let in_vain = self.in_vain.contains(&seen.container);
            let known = self.host.board.get(seen.instance);
            let known = known.filter(|record| record.container.as_deref() == Some(&seen.container));
            let attached = known.as_ref().is_some_and(|record| record.attached);
            if known.is_some() && !attached && drift::is_attached(listed, &networks) {
                self.host.board.update(seen.instance, |record| record.attached = true);
            }
            seen.drift = drift::of(wanted, listed, Seen { holds, networks: &networks, attached, in_vain });
        }
    }
}

fn stray_ended(seen: &Observed, listed: &Listed, step: &Step, at: DateTime<Utc>) -> Corrected {
    let removed = matches!(step, Step::Remove(_));
    let (deed, reason) = if removed {
        (Deed::Removed, "nobody wanted it for a week")
    } else {
        (Deed::Stopped, "no desired state of this worker ever had it")
    };
    Corrected {
        at,
        container: Some(seen.container.clone()),
        instance_id: Some(seen.instance),
        app: listed.labels.get(label::APP).cloned(),
        deed,
        reason: reason.to_owned(),
    }
}
