//! All workers and what runs on them: what a drain would do, and what is better off elsewhere.

mod rebalance;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{AppId, InstanceId, NodeId};

use super::placement::{Candidate, Place, Refusal, Wish, choose, in_words};

pub use self::rebalance::rebalance;

/// What matters of the workers and of the instances that serve.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// As they are for an app that has nothing on them.
    pub workers: Vec<Candidate>,
    pub apps: BTreeMap<AppId, FleetApp>,
    pub instances: Vec<Running>,
}

/// An app that serves.
#[derive(Debug, Clone)]
pub struct FleetApp {
    pub slug: String,
    pub wish: Wish,
    /// Workers that have its image.
    pub images: BTreeSet<NodeId>,
}

/// An instance that serves.
#[derive(Debug, Clone, Copy)]
pub struct Running {
    pub id: InstanceId,
    pub app: AppId,
    pub node: NodeId,
}

/// An instance that would go, and where to; to nowhere when nobody takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    pub instance: InstanceId,
    pub app: String,
    pub from: String,
    pub to: Option<(NodeId, String)>,
    /// Why it goes; or why it cannot.
    pub reason: String,
}

impl Fleet {
    /// What emptying the node would do, one instance after the other.
    pub fn empty(mut self, node: NodeId) -> Vec<Planned> {
        let Some(from) = self.worker(node).map(|worker| worker.name.clone()) else { return Vec::new() };
        self.workers
            .iter_mut()
            .filter(|worker| worker.node == node)
            .for_each(|worker| worker.cordoned = true);
        let leaving: Vec<Running> =
            self.instances.iter().filter(|running| running.node == node).copied().collect();
        let plan = leaving.into_iter().filter_map(|running| {
            let app = self.apps.get(&running.app)?.slug.clone();
            let found = self.place(&running);
            let (to, reason) = match found {
                Ok(place) => {
                    self.carry_out(&running, &place);
                    (Some((place.node, place.name)), format!("{from} is drained"))
                }
                Err(refusals) => (None, in_words(&refusals)),
            };
            Some(Planned { instance: running.id, app, from: from.clone(), to, reason })
        });
        plan.collect()
    }

    fn worker(&self, node: NodeId) -> Option<&Candidate> {
        self.workers.iter().find(|worker| worker.node == node)
    }

    /// How many instances of the app are on each node, without one.
    fn replicas(&self, app: AppId, without: Option<InstanceId>) -> BTreeMap<NodeId, usize> {
        let mut on = BTreeMap::new();
        for running in
            self.instances.iter().filter(|running| running.app == app && Some(running.id) != without)
        {
            *on.entry(running.node).or_default() += 1;
        }
        on
    }

    /// Where a new instance in the place of that one would be.
    fn place(&self, moving: &Running) -> Result<Place, Vec<Refusal>> {
        let Some(app) = self.apps.get(&moving.app) else { return Err(Vec::new()) };
        let on = self.replicas(moving.app, Some(moving.id));
        let candidates = self.workers.iter().map(|worker| Candidate {
            of_release: on.get(&worker.node).copied().unwrap_or_default(),
            has_image: app.images.contains(&worker.node),
            ..worker.clone()
        });
        let choice = choose(&app.wish, candidates.collect(), 1);
        choice.places.into_iter().next().ok_or(choice.refusals)
    }

    /// The instance is there now, and no longer where it was.
    fn carry_out(&mut self, moving: &Running, to: &Place) {
        let Some(needs) = self.apps.get(&moving.app).map(|app| app.wish.needs) else { return };
        for worker in &mut self.workers {
            if worker.node == to.node {
                worker.take(to.port, needs, worker.turn);
                (worker.of_release, worker.has_image) = (0, false);
            } else if worker.node == moving.node {
                worker.give_back(needs);
            }
        }
        for running in self.instances.iter_mut().filter(|running| running.id == moving.id) {
            running.node = to.node;
        }
    }
}
