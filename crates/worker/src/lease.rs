//! Keeps instances of exclusive apps within their lease, see [`protocol::lease`]: asks for it as long as there are any,
//! and stops them by itself when it is over, whoever is gone by then. Without a lease none starts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daemon::reconcile::Activator;
use protocol::ids::InstanceId;
use protocol::lease::{Holder, Lease, LeaseGrant, LeaseRequest};
use protocol::message::FromAgent;
use protocol::spec::WorkerSpec;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::instances::{Fencer, Instances};
use crate::uplink::Uplink;

/// How often the lease is looked at.
const TICK: Duration = Duration::from_millis(500);
/// Between two requests that are not answered.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// How often Podman is asked what runs, while all of it may.
const LOOK_EVERY: Duration = Duration::from_secs(10);

const FILE: &str = "lease.json";

/// What this host may run of exclusive apps. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Permit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    holder: Mutex<Holder>,
    file: PathBuf,
    boot: String,
    /// Wakes the keeper: there is a new connection.
    ask: Notify,
}

/// On disk, so that an agent that starts again in the same run of the host need not stop anything.
#[derive(Serialize, Deserialize)]
struct Saved {
    boot: String,
    lease: Lease,
}

/// Milliseconds since the host started, sleep included, which no one sets. An answer that cannot be had is as good as one
/// after the end of every lease.
fn clock_ms() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    uptime_ms(&text).unwrap_or(u64::MAX)
}

/// Of `/proc/uptime`: seconds with two decimals, then something else.
fn uptime_ms(text: &str) -> Option<u64> {
    let (seconds, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    let hundredths: u64 = hundredths.get(..2)?.parse().ok()?;
    seconds.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(hundredths * 10)
}

impl Permit {
    /// With what an earlier agent was granted since the host started.
    pub(crate) fn load(state_dir: &Path, boot: &str) -> Self {
        let file = state_dir.join(FILE);
        let saved = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Saved>(&text).ok());
        let lease = saved.filter(|saved| saved.boot == boot && !boot.is_empty()).map(|saved| saved.lease);
        let holder = Holder::new(lease.unwrap_or_default(), first());
        let holder = Mutex::new(holder);
        Self(Arc::new(Shared { holder, file, boot: boot.to_owned(), ask: Notify::new() }))
    }

    fn holder(&self) -> MutexGuard<'_, Holder> {
        self.0.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the exclusive instance may go on.
    pub(crate) fn may_run(&self, id: InstanceId) -> bool {
        self.holder().may_run(id, clock_ms())
    }

    /// Whether the exclusive instance may start.
    pub(crate) fn may_start(&self, id: InstanceId) -> bool {
        self.holder().may_start(id, clock_ms())
    }

    /// There is a new connection: what was asked over the last one may not be answered.
    pub fn connected(&self) {
        self.0.ask.notify_one();
    }

    /// Takes an answer; `true` when it is news.
    pub fn take(&self, grant: &LeaseGrant) -> bool {
        let lease = {
            let mut holder = self.holder();
            if !holder.take(grant) {
                return false;
            }
            holder.lease().clone()
        };
        let saved = Saved { boot: self.0.boot.clone(), lease };
        let text = serde_json::to_vec(&saved).expect("plain data");
        // Without it the next agent asks before anything goes on.
        if let Err(error) = daemon::file::replace(&self.0.file, &text, 0o600) {
            warn!(%error, "cannot write the lease down");
        }
        true
    }

    fn ask(&self, wanted: &BTreeSet<InstanceId>) -> Option<LeaseRequest> {
        let mut holder = self.holder();
        let now_ms = clock_ms();
        holder.is_due(wanted, now_ms).then(|| holder.ask(now_ms))
    }

    fn stop_within(&self) -> Duration {
        self.holder().lease().stop_within().max(Duration::from_secs(1))
    }
}

/// A number that is another one in each run of the agent.
fn first() -> u32 {
    let random = InstanceId::new().0.as_u128();
    u32::try_from(random & u128::from(u32::MAX >> 1)).unwrap_or_default()
}

/// Asks for the lease, and stops what runs without one.
#[derive(Debug)]
pub struct Keeper<U> {
    permit: Permit,
    uplink: U,
    spec: watch::Receiver<Arc<WorkerSpec>>,
    fencer: Fencer,
    reconcile: Activator,
    asked_at: Option<Instant>,
    looked_at: Option<Instant>,
    /// Whether the last look found a container of an exclusive app.
    found: bool,
    /// Containers that are being stopped.
    fencing: BTreeSet<String>,
    tasks: JoinSet<String>,
}

impl<U: Uplink> Keeper<U> {
    /// For the instances of that reconciler, which `reconcile` wakes.
    pub fn of(
        instances: &Instances<U>,
        uplink: U,
        spec: watch::Receiver<Arc<WorkerSpec>>,
        reconcile: Activator,
    ) -> Self {
        Self {
            permit: instances.permit(),
            uplink,
            spec,
            fencer: instances.fencer(),
            reconcile,
            asked_at: None,
            looked_at: None,
            found: false,
            fencing: BTreeSet::new(),
            tasks: JoinSet::new(),
        }
    }

    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.permit.0.ask.notified() => self.asked_at = None,
                // Err only once the agent stops.
                Ok(()) = self.spec.changed() => self.asked_at = None,
                () = stop.cancelled() => return Ok(()),
            }
            let wanted = self.wanted();
            self.ask(&wanted).await;
            self.guard(&wanted).await;
        }
    }

    fn wanted(&self) -> BTreeSet<InstanceId> {
        let spec = self.spec.borrow();
        spec.instances.iter().filter(|instance| instance.exclusive).map(|instance| instance.id).collect()
    }

    async fn ask(&mut self, wanted: &BTreeSet<InstanceId>) {
        if self.asked_at.is_some_and(|at| at.elapsed() < ASK_AGAIN) {
            return;
        }
        if let Some(request) = self.permit.ask(wanted) {
            self.asked_at = Some(Instant::now());
            self.uplink.say(FromAgent::LeaseRequest(request)).await;
        }
    }

    /// Podman is asked at once when something that is wanted may not run, else now and then.
    async fn guard(&mut self, wanted: &BTreeSet<InstanceId>) {
        while let Some(ended) = self.tasks.try_join_next() {
            match ended {
                Ok(container) => drop(self.fencing.remove(&container)),
                Err(error) => error!(%error, "a task of the lease ended early"),
            }
        }
        let over = wanted.iter().any(|id| !self.permit.may_run(*id));
        let idle = wanted.is_empty() && !self.found;
        let rested = self.looked_at.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
        if !over && !(rested && (!idle || self.looked_at.is_none())) {
            return;
        }
        let running = match self.fencer.running().await {
            Ok(running) => running,
            Err(error) => return warn!(%error, "cannot see which exclusive instances run"),
        };
        self.looked_at = Some(Instant::now());
        self.found = !running.is_empty();
        for found in running {
            let (id, container) = (found.instance, found.container.clone());
            if !self.permit.may_run(id) && self.fencing.insert(container.clone()) {
                warn!(instance.id = %id, container, "the lease is over: stopping an exclusive instance");
                let (fencer, within) = (self.fencer.clone(), self.permit.stop_within());
                let reconcile = self.reconcile.clone();
                self.tasks.spawn(async move {
                    fencer.stop(&found, within).await;
                    info!(instance.id = %id, container, "an exclusive instance is stopped");
                    reconcile.signal();
                    container
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(permit: &Permit, instance: InstanceId) {
        let request = permit.ask(&BTreeSet::from([instance])).expect("it is due");
        let grant = LeaseGrant { seq: request.seq, ttl_ms: 60_000, instances: vec![instance] };
        assert!(permit.take(&grant));
    }

    #[test]
    fn a_lease_outlives_the_agent_and_not_the_run_of_the_host() {
        let folder = tempfile::tempdir().expect("temp dir");
        let instance = InstanceId::new();
        let permit = Permit::load(folder.path(), "boot 1");
        assert!(!permit.may_start(instance));
        granted(&permit, instance);
        assert!(permit.may_start(instance));
        let again = Permit::load(folder.path(), "boot 1");
        assert!(again.may_run(instance) && !again.may_run(InstanceId::new()));
        assert!(!Permit::load(folder.path(), "boot 2").may_run(instance), "nobody knows how long it was off");
        assert!(!Permit::load(folder.path(), "").may_run(instance), "a host that cannot tell its runs apart");
    }

    #[test]
    fn the_clock_is_read_from_the_time_since_the_start() {
        assert_eq!(uptime_ms("350735.47 234388.90\n"), Some(350_735_470));
        assert_eq!(uptime_ms(""), None);
        assert!(clock_ms() < u64::MAX, "this host has one");
    }
}
