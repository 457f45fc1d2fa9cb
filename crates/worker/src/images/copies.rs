//! Images of this host that go to registries, and images that leave them: what the desired state orders, one after the
//! other, and again after a while when it could not be done.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use daemon::reconcile::Activator;
use protocol::registry::{CopyAction, CopyOrder, CopyReport};
use protocol::spec::WorkerSpec;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::places::Places;
use crate::podman::Podman;
use crate::registry::Client;

/// After what could not be done.
const AGAIN: Duration = Duration::from_mins(2);

/// Carries out the orders.
#[derive(Debug)]
pub(super) struct Copies {
    worker: Worker,
    /// At most one is under way.
    running: JoinSet<()>,
    busy: bool,
    /// How it ended. It says so before it wakes the reconciler, which would find it running still otherwise.
    ends: (mpsc::Sender<End>, mpsc::Receiver<End>),
    /// How orders of the present desired state ended, by reference, and when to try again.
    ended: BTreeMap<String, (CopyReport, Instant)>,
}

type End = (CopyOrder, Result<(), String>);

#[derive(Debug, Clone)]
struct Worker {
    podman: Podman,
    places: Places,
    client: Client,
}

impl Copies {
    pub(super) fn new(podman: Podman, places: Places) -> anyhow::Result<Self> {
        let client = Client::new(podman.clone(), places.clone())?;
        let worker = Worker { podman, places, client };
        Ok(Self {
            worker,
            running: JoinSet::new(),
            busy: false,
            ends: mpsc::channel(1),
            ended: BTreeMap::new(),
        })
    }

    /// Takes in what has ended, and begins the next.
    pub(super) fn pass(&mut self, spec: &WorkerSpec, activator: &Activator) {
        while let Some(ended) = self.running.try_join_next() {
            if let Err(panic) = ended {
                warn!(error = %panic, "a copy to a registry panicked");
                self.busy = false;
            }
        }
        while let Ok((order, result)) = self.ends.1.try_recv() {
            self.note(order, result.err());
            self.busy = false;
        }
        self.ended.retain(|_, (report, _)| spec.copies.iter().any(|order| is_of(report, order)));
        if self.busy {
            return;
        }
        let due = |order: &&CopyOrder| {
            let ended = self.ended.get(&order.reference);
            ended.is_none_or(|(report, again)| report.problem.is_some() && *again <= Instant::now())
        };
        let Some(order) = spec.copies.iter().find(due).cloned() else { return };
        let (worker, ends, activator) = (self.worker.clone(), self.ends.0.clone(), activator.clone());
        self.busy = true;
        self.running.spawn(async move {
            let result = worker.carry_out(&order).await.map_err(|error| format!("{error:#}"));
            // It cannot be closed: its receiver owns this task.
            let _ = ends.send((order, result)).await;
            activator.signal();
        });
    }

    fn note(&mut self, order: CopyOrder, problem: Option<String>) {
        let CopyOrder { image_id, reference, action } = order;
        match &problem {
            None => info!(image.id = image_id, reference, ?action, "done in the registry"),
            Some(problem) => {
                warn!(image.id = image_id, reference, ?action, problem, "not done in the registry");
            }
        }
        let report = CopyReport { image_id, reference: reference.clone(), action, problem };
        self.ended.insert(reference, (report, Instant::now() + AGAIN));
    }

    pub(super) fn reports(&self) -> Vec<CopyReport> {
        self.ended.values().map(|(report, _)| report.clone()).collect()
    }
}

fn is_of(report: &CopyReport, order: &CopyOrder) -> bool {
    (&report.reference, &report.image_id, report.action) == (&order.reference, &order.image_id, order.action)
}

impl Worker {
    async fn carry_out(&self, CopyOrder { image_id, reference, action }: &CopyOrder) -> anyhow::Result<()> {
        self.places.check(reference).await.map_err(|refused| anyhow::anyhow!(refused.message))?;
        let places = self.places.of(image_id).await?;
        let login =
            places.into_iter().find(|place| place.reference == *reference).and_then(|place| place.login);
        let login = login.context("the control plane has no login for it")?;
        match action {
            CopyAction::Push => Ok(self.podman.push(image_id, reference, &login).await?),
            CopyAction::Remove => self.client.remove(reference, image_id, &login).await,
        }
    }
}
