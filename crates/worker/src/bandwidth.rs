//! How much instances may send and receive. What an interface sends can be held back, so the limit of what leaves an
//! instance is on its own end of the virtual cable, and that of what reaches it on the host's end: the same queue on
//! both. The app cannot change its end, because that takes `CAP_NET_ADMIN`. Cable and queues are gone with each run of the
//! container, so they are made after each start, and looked for again and again.

mod cable;

use std::collections::BTreeMap;
use std::sync::Arc;

use daemon::reconcile::Reconciler;
use protocol::ids::InstanceId;
use protocol::spec::{InstanceSpec, WorkerSpec};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::instances::Observer;
use crate::means::Means;
use crate::podman::Podman;

/// Mbit/s; absent where there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    egress: Option<u32>,
    ingress: Option<u32>,
}

impl Limits {
    /// `None` when there is nothing to hold back.
    fn of(spec: &InstanceSpec) -> Option<Self> {
        let limits = Self { egress: spec.isolation.egress_mbit, ingress: spec.isolation.ingress_mbit };
        (limits.egress.is_some() || limits.ingress.is_some()).then_some(limits)
    }
}

/// Right after the start of `container`. A failure does not stop the app; the next pass tries again.
pub(crate) async fn hold_now(podman: &Podman, means: &Means, spec: &InstanceSpec, container: &str) {
    let Some(limits) = Limits::of(spec).filter(|_| means.bandwidth.is_ok()) else { return };
    if let Err(error) = hold(podman, container, limits).await {
        warn!(instance.id = %spec.id, error = format!("{error:#}"), "the limits of the bandwidth are not in force yet");
    }
}

async fn hold(podman: &Podman, container: &str, limits: Limits) -> anyhow::Result<()> {
    let Some(network) = cable::Network::of(podman, container).await? else { return Ok(()) };
    for cable in network.cables().await? {
        network.limit_inner(&cable, limits.egress).await?;
        network.limit_outer(&cable, limits.ingress).await?;
    }
    Ok(())
}

/// Keeps the limits of running instances in force, whatever else touches the host's queues.
#[derive(Debug)]
pub struct Bandwidth {
    podman: Podman,
    means: Arc<Means>,
    observer: Observer,
    spec: watch::Receiver<Arc<WorkerSpec>>,
    /// What was said of each instance last.
    trouble: BTreeMap<InstanceId, String>,
}

impl Bandwidth {
    pub fn new(
        podman: Podman,
        means: Arc<Means>,
        observer: Observer,
        spec: watch::Receiver<Arc<WorkerSpec>>,
    ) -> Self {
        Self { podman, means, observer, spec, trouble: BTreeMap::new() }
    }

    /// Says a problem once, and when it is over.
    fn note(&mut self, id: InstanceId, held: anyhow::Result<()>) {
        match held.map_err(|error| format!("{error:#}")) {
            Ok(()) => {
                if self.trouble.remove(&id).is_some() {
                    info!(instance.id = %id, "the limits of the bandwidth are in force");
                }
            }
            Err(error) => {
                if self.trouble.get(&id) != Some(&error) {
                    warn!(instance.id = %id, error, "the limits of the bandwidth are not in force");
                    self.trouble.insert(id, error);
                }
            }
        }
    }
}

impl Reconciler for Bandwidth {
    fn name(&self) -> &'static str {
        "bandwidth"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        if self.means.bandwidth.is_err() {
            return Ok(());
        }
        let spec = self.spec.borrow_and_update().clone();
        let limited: BTreeMap<InstanceId, Limits> =
            spec.instances.iter().filter_map(|spec| Some((spec.id, Limits::of(spec)?))).collect();
        self.trouble.retain(|id, _| limited.contains_key(id));
        for (container, id) in self.observer.live() {
            if let Some(limits) = limited.get(&id) {
                let held = hold(&self.podman, &container, *limits).await;
                self.note(id, held);
            }
        }
        Ok(())
    }
}
