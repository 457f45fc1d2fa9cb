//! Keeps the instances of the spec running and no others. One reconciler decides ([`plan`]); what it decides is done
//! in one task per instance, so that a slow image or a stubborn app holds up nobody else.

mod apply;
mod board;
pub(crate) mod container;
mod corrections;
pub(crate) mod create;
mod drift;
mod fencer;
pub(crate) mod image;
mod inside;
mod once;
mod outbox;
mod plan;
mod probe;
mod record;
#[cfg(test)]
pub(crate) mod samples;
mod sockets;
mod strays;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use daemon::reconcile::{Activator, Reconciler};
use futures_util::StreamExt as _;
use ipnet::IpNet;
use protocol::ids::InstanceId;
use protocol::message::FromAgent;
use protocol::report::{InstanceState, OverDisk, WorkerReport};
use protocol::spec::{InstanceSpec, WorkerSpec};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::exec::Fresh;
use crate::handover::Taker;
use crate::lease::Permit;
use crate::logs::{self, Owner};
use crate::means::Means;
use crate::places::Places;
use crate::podman::{Listed, Podman};
use crate::private::Network;
use crate::scrub::Scrubber;
use crate::uplink::Uplink;
use board::Board;
pub use fencer::Fencer;
use once::Fate;
pub use outbox::Outbox;
use plan::{Observed, Phase, Step};
use record::{Exit, Record};
use strays::Strays;

/// Labels on what is ours.
pub mod label {
    pub const INSTANCE: &str = "wisehosting.instance";
    /// The app's name.
    pub const APP: &str = "wisehosting.app";
    pub const APP_ID: &str = "wisehosting.app-id";
    /// The release's number.
    pub const RELEASE: &str = "wisehosting.release";
    pub const SPEC_HASH: &str = "wisehosting.spec-hash";
    /// On containers that may run only under a lease.
    pub const EXCLUSIVE: &str = "wisehosting.exclusive";
    /// The session of a program in a container of its own.
    pub const RUN: &str = "wisehosting.run";
    /// On networks that we made.
    pub const NETWORK: &str = "wisehosting.network";
    /// On the network of a project: its id.
    pub const PROJECT: &str = "wisehosting.project";
    /// On images that we built.
    pub const IMAGE: &str = "wisehosting.image";
}

/// How often the report is sent when nothing changes.
const REPORT_EVERY: Duration = Duration::from_secs(30);

/// What the instances need of this host.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    podman: Podman,
    network: Network,
    images: image::Fetcher,
    probe: reqwest::Client,
    board: Board,
    permit: Permit,
    /// Of this run of the host.
    boot: String,
    means: Arc<Means>,
}

/// Settings of [`Instances`].
#[derive(Debug)]
pub struct InstancesConfig {
    pub state_dir: PathBuf,
    pub podman: Podman,
    pub network: Network,
    pub means: Arc<Means>,
    /// See [`crate::config::Builds::private_networks`].
    pub registry_networks: Vec<IpNet>,
}

/// The reconciler.
#[derive(Debug)]
pub struct Instances<U> {
    host: Host,
    uplink: U,
    spec: watch::Receiver<Arc<WorkerSpec>>,
    strays: Strays,
    /// Of the logs.
    positions: PathBuf,
    outbox: Outbox,
    /// Containers whose limits could not be set again.
    in_vain: BTreeSet<String>,
    tasks: JoinSet<Ended>,
    /// Instances for which steps are under way.
    busy: BTreeSet<InstanceId>,
    /// Containers that are probed.
    probed: HashMap<String, AbortHandle>,
    /// Containers whose log is delivered.
    followed: BTreeSet<String>,
    alarm: Option<AbortHandle>,
}

/// A task of the reconciler has ended.
#[derive(Debug)]
enum Ended {
    /// With the container whose limits could not be set, if there is one.
    Applied(InstanceId, Option<String>),
    Probed(String),
    Followed(String),
    Alarm,
}

/// The other end of [`Instances`]: for reports and numbers.
#[derive(Debug, Clone)]
pub struct Observer {
    board: Board,
}

impl<U: Uplink> Instances<U> {
    pub fn new(
        config: InstancesConfig,
        uplink: U,
        spec: watch::Receiver<Arc<WorkerSpec>>,
        activator: Activator,
    ) -> anyhow::Result<(Self, Observer)> {
        let board = Board::load(&config.state_dir.join("instances.json"), activator);
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot = boot.trim().to_owned();
        let taker = Taker::new(config.podman.clone(), &config.state_dir)?;
        let places = Places::new(uplink.clone(), config.registry_networks);
        let host = Host {
            images: image::Fetcher::new(config.podman.clone(), taker, places),
            podman: config.podman,
            network: config.network,
            probe: probe::client()?,
            board: board.clone(),
            permit: Permit::load(&config.state_dir, &boot),
            boot,
            means: config.means,
        };
        let instances = Self {
            host,
            uplink,
            spec,
            strays: Strays::load(config.state_dir.join("strays.json")),
            positions: config.state_dir.join("logs"),
            outbox: Outbox::load(config.state_dir.join("corrections.json")),
            in_vain: BTreeSet::new(),
            tasks: JoinSet::new(),
            busy: BTreeSet::new(),
            probed: HashMap::new(),
            followed: BTreeSet::new(),
            alarm: None,
        };
        Ok((instances, Observer { board }))
    }

    /// For programs that get containers of their own, beside the instances.
    pub fn fresh(&self) -> Fresh {
        let host = &self.host;
        Fresh::new(host.podman.clone(), host.images.clone(), host.network.clone(), host.means.clone())
    }

    /// By what it knows which exclusive instances may run.
    pub fn permit(&self) -> Permit {
        self.host.permit.clone()
    }

    /// For the one who stops those that may not.
    pub fn fencer(&self) -> Fencer {
        Fencer::new(self.host.podman.clone(), self.host.board.clone(), self.outbox.clone())
    }

    /// What tells the control plane of what was put right.
    pub fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }

    fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            match ended {
                Ok(Ended::Applied(id, in_vain)) => {
                    self.busy.remove(&id);
                    self.in_vain.extend(in_vain);
                }
                Ok(Ended::Probed(container)) => drop(self.probed.remove(&container)),
                Ok(Ended::Followed(container)) => drop(self.followed.remove(&container)),
                Ok(Ended::Alarm) => {}
                Err(error) if error.is_cancelled() => {}
                Err(panic) => error!(error = %panic, "a task of the instances panicked"),
            }
        }
    }

    /// Containers that ended by themselves since the last pass.
    async fn settle(&self, spec: &WorkerSpec, observed: &[Observed], unsure: &BTreeSet<InstanceId>) {
        for seen in observed.iter().filter(|seen| seen.phase == Phase::Exited) {
            // One that is to go is not judged any more.
            let Some(wanted) =
                spec.instances.iter().find(|wanted| wanted.id == seen.instance && !wanted.once)
            else {
                continue;
            };
            let ours = |record: &Record| {
                record.is_live()
                    && record.boot == self.host.boot
                    && record.container.as_deref() == Some(&seen.container)
            };
            if !unsure.contains(&seen.instance)
                && self.host.board.get(seen.instance).is_some_and(|r| ours(&r))
            {
                self.take_exit(wanted, &seen.container).await;
            }
        }
    }

    /// What became of the commands that run once.
    async fn settle_once(&self, spec: &WorkerSpec, observed: &[Observed], unsure: &BTreeSet<InstanceId>) {
        for wanted in spec.instances.iter().filter(|wanted| wanted.once && !unsure.contains(&wanted.id)) {
            let Some(record) = self.host.board.get(wanted.id) else { continue };
            let seen = observed.iter().find(|seen| seen.instance == wanted.id);
            match (record.fate(seen.map(|seen| seen.phase), &self.host.boot), seen) {
                (Fate::Ended, Some(seen)) => self.take_exit(wanted, &seen.container).await,
                (Fate::Interrupted, _) => drop(self.host.board.update(wanted.id, Record::interrupted)),
                (Fate::Ended | Fate::Open, _) => {}
            }
        }
    }

    async fn take_exit(&self, wanted: &InstanceSpec, container: &str) {
        let state = match self.host.podman.inspect(container).await {
            Ok(found) if found.state.running => return,
            Ok(found) => found.state,
            Err(error) => {
                warn!(instance.id = %wanted.id, %error, "cannot see how the instance ended");
                return;
            }
        };
        let last_lines = probe::last_lines(&self.host, container, &wanted.env).await;
        let exit = Exit { code: state.exit_code, oom_killed: state.oom_killed, last_lines };
        self.host.board.update(wanted.id, |record| record.exited(exit, wanted, Utc::now()));
    }

    fn carry_out(
        &mut self,
        spec: &WorkerSpec,
        plan: plan::Plan,
        guarded: bool,
        unsure: &BTreeSet<InstanceId>,
    ) {
        for (id, steps) in plan {
            if unsure.contains(&id) || self.is_running_already(id, &steps) {
                continue;
            }
            let wanted = spec.instances.iter().find(|instance| instance.id == id).cloned();
            let starts = steps.iter().any(|step| matches!(step, Step::Create | Step::Start(_)));
            if starts && !guarded {
                continue;
            }
            self.busy.insert(id);
            let host = self.host.clone();
            self.tasks.spawn(async move {
                let in_vain = apply::apply(&host, id, wanted.as_ref(), steps).await;
                host.board.reconcile();
                Ended::Applied(id, in_vain)
            });
        }
    }

    fn is_running_already(&self, id: InstanceId, steps: &[Step]) -> bool {
        let [Step::Adopt(container)] = steps else { return false };
        let known =
            |record: &Record| record.is_live() && record.container.as_deref() == Some(container.as_str());
        self.host.board.get(id).is_some_and(|record| known(&record))
    }

    fn probe(&mut self, spec: &WorkerSpec, observed: &[Observed]) {
        let live = self.host.board.live();
        for seen in observed.iter().filter(|seen| seen.phase == Phase::Running) {
            let wanted = spec.instances.iter().find(|instance| instance.id == seen.instance);
            let Some(wanted) = wanted.filter(|wanted| !wanted.once && live.contains_key(&seen.container))
            else {
                continue;
            };
            if self.probed.contains_key(&seen.container) {
                continue;
            }
            let (host, wanted, container) = (self.host.clone(), wanted.clone(), seen.container.clone());
            let handle = self.tasks.spawn(async move {
                probe::watch(&host, &wanted, &container).await;
                host.board.reconcile();
                Ended::Probed(container)
            });
            self.probed.insert(seen.container.clone(), handle);
        }
        // A container that is gone needs no probe, whatever its record says.
        let running: BTreeSet<_> = observed.iter().map(|seen| &seen.container).collect();
        self.probed.retain(|container, task| {
            let keep = running.contains(container);
            if !keep {
                task.abort();
            }
            keep
        });
    }

    fn follow_logs(&mut self, spec: &WorkerSpec, listed: &[Listed]) {
        for container in listed {
            let Some(owner) = owner(container).filter(|_| !self.followed.contains(&container.id)) else {
                continue;
            };
            self.followed.insert(container.id.clone());
            let (host, uplink) = (self.host.clone(), self.uplink.clone());
            let (positions, container) = (self.positions.clone(), container.id.clone());
            let wanted = spec.instances.iter().find(|wanted| wanted.id == owner.instance_id);
            let variables = wanted.map(|wanted| wanted.env.clone());
            self.tasks.spawn(async move {
                if let Err(error) = follow_log(&host, &uplink, owner, &container, &positions, variables).await {
                    warn!(instance.id = %owner.instance_id, error = format!("{error:#}"), "cannot read the log");
                }
                Ended::Followed(container)
            });
        }
    }

    /// Wakes this reconciler when the next pause is over.
    fn set_alarm(&mut self) {
        if let Some(alarm) = self.alarm.take() {
            alarm.abort();
        }
        let now = Utc::now();
        let next = self.host.board.snapshot().into_values().filter_map(|record| record.retry_at).min();
        let Some(pause) = next.map(|at| (at - now).to_std().unwrap_or_default()) else { return };
        let board = self.host.board.clone();
        // A moment later than the pause, so that it is over by every clock.
        let pause = pause + Duration::from_millis(20);
        self.alarm = Some(self.tasks.spawn(async move {
            tokio::time::sleep(pause).await;
            board.reconcile();
            Ended::Alarm
        }));
    }
}

impl<U: Uplink> Reconciler for Instances<U> {
    fn name(&self) -> &'static str {
        "instances"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let spec = self.spec.borrow_and_update().clone();
        let unsure = self.busy.clone();
        let listed = self.host.podman.containers(label::INSTANCE).await;
        // The firewall is looked after whether Podman answers or not.
        let guarded = match &listed {
            Ok(listed) => self.host.network.look(listed).await,
            Err(_) => self.host.network.ensure().await,
        };
        let listed = listed?;
        self.reap();
        if self.busy.len() < unsure.len() {
            // The list may be older than what a task did that has ended by now: that is looked at again at once.
            self.host.board.reconcile();
        }
        let now = Utc::now();
        let mut observed = self.set_strays_aside(&spec, &listed, now);
        self.look_for_drift(&spec, &listed, &mut observed);
        let present = observed.iter().map(|seen| seen.instance).collect();
        self.host.board.align(&spec, &present, now);
        self.settle(&spec, &observed, &unsure).await;
        self.settle_once(&spec, &observed, &unsure).await;
        let records = self.host.board.snapshot();
        let plan = plan::plan(&spec, &observed, &records, &self.permits(&spec), now);
        let corrections = corrections::of(&spec, &observed, &records, &plan, now);
        self.tell(
            corrections.into_iter().filter(|one| one.instance_id.is_none_or(|id| !unsure.contains(&id))),
        );
        self.carry_out(&spec, plan, guarded.is_ok(), &unsure);
        self.probe(&spec, &observed);
        self.follow_logs(&spec, &listed);
        self.set_alarm();
        guarded
    }
}

/// The instance's container, if it runs.
pub(crate) async fn running(
    podman: &Podman,
    instance: InstanceId,
) -> Result<Option<String>, crate::podman::Error> {
    let listed = podman.containers(&format!("{}={instance}", label::INSTANCE)).await?;
    Ok(listed.into_iter().find(|container| container.state == "running").map(|container| container.id))
}

/// `None` for a container that has our label but not our hand.
fn observe(listed: &Listed) -> Option<Observed> {
    Some(Observed {
        container: listed.id.clone(),
        instance: listed.labels.get(label::INSTANCE)?.parse().ok()?,
        hash: listed.labels.get(label::SPEC_HASH).cloned().unwrap_or_default(),
        phase: Phase::parse(&listed.state),
        drift: None,
    })
}

fn owner(listed: &Listed) -> Option<Owner> {
    Some(Owner {
        instance_id: listed.labels.get(label::INSTANCE)?.parse().ok()?,
        app_id: listed.labels.get(label::APP_ID)?.parse().ok()?,
        release: listed.labels.get(label::RELEASE)?.parse().ok()?,
    })
}

async fn follow_log(
    host: &Host,
    uplink: &impl Uplink,
    owner: Owner,
    container: &str,
    positions: &std::path::Path,
    variables: Option<BTreeMap<String, String>>,
) -> anyhow::Result<()> {
    let found = host.podman.inspect(container).await?;
    // An instance that the spec does not have any more: its container says what it was given.
    let scrubber = Scrubber::new(&variables.unwrap_or_else(|| found.config.variables()));
    let path = found.host_config.log_config.path;
    anyhow::ensure!(!path.is_empty(), "Podman names no log file");
    let mut path = PathBuf::from(path);
    // Podman makes the file at the first start.
    while !path.exists() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        path = match host.podman.inspect(container).await {
            Ok(found) => found.host_config.log_config.path.into(),
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
    }
    Ok(logs::follow(uplink, owner, path, positions, &scrubber).await?)
}

impl Observer {
    /// Reports after each change, on `connected` and every 30 s; what is reported is on disk before.
    pub async fn report(
        self,
        uplink: impl Uplink,
        connected: Arc<tokio::sync::Notify>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = self.board.changed() => {}
                () = connected.notified() => {}
                () = tokio::time::sleep(REPORT_EVERY) => {}
                () = stop.cancelled() => return Ok(()),
            }
            if let Err(error) = self.board.save() {
                error!(%error, "cannot write the memory of instances");
            }
            let report = self.board.report();
            gauges(&report);
            uplink.say(FromAgent::WorkerReport(report)).await;
        }
    }

    /// Running containers and their instances.
    pub(crate) fn live(&self) -> BTreeMap<String, InstanceId> {
        self.board.live()
    }

    /// Whether the instance has written too much.
    pub(crate) fn note_disk(&self, id: InstanceId, over: Option<OverDisk>) {
        self.board.update(id, |record| record.note_disk(over));
    }
}

fn gauges(report: &WorkerReport) {
    let states = [
        (InstanceState::Pending, "pending"),
        (InstanceState::Pulling, "pulling"),
        (InstanceState::Starting, "starting"),
        (InstanceState::Healthy, "healthy"),
        (InstanceState::Unhealthy, "unhealthy"),
        (InstanceState::Exited, "exited"),
        (InstanceState::Failed, "failed"),
        (InstanceState::Stopped, "stopped"),
    ];
    for (state, name) in states {
        let count = report.instances.iter().filter(|instance| instance.state == state).count();
        metrics::gauge!("wisehosting_worker_instances", "state" => name)
            .set(u32::try_from(count).unwrap_or(u32::MAX));
    }
}

/// Wakes the reconciler at each change of one of our containers. Podman's events may come late or not at all, hence
/// the reconciler's own clock.
pub async fn watch_events(
    podman: Podman,
    activator: Activator,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut backoff = daemon::backoff::Backoff::new(Duration::from_millis(250), Duration::from_secs(15));
    loop {
        let listen = async {
            let mut events = std::pin::pin!(podman.events(label::INSTANCE).await?);
            activator.signal();
            while let Some(event) = events.next().await {
                event?;
                activator.signal();
            }
            Ok::<_, crate::podman::Error>(())
        };
        tokio::select! {
            ended = listen => if let Err(error) = ended {
                warn!(%error, "no events from Podman");
            },
            () = stop.cancelled() => return Ok(()),
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.wait()) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// Whether `spec` is one that this worker can carry out, as far as can be told without trying.
pub(crate) fn check(spec: &WorkerSpec) -> Result<(), String> {
    let copies = spec.copies.iter().map(|order| &order.image_id);
    let named = spec.images.iter().map(|image| &image.id).chain(&spec.remove_images).chain(copies);
    if let Some(id) = named.into_iter().find(|id| !is_image_id(id)) {
        return Err(format!("`{id}` is no id of an image"));
    }
    spec.instances.iter().try_for_each(check_instance)
}

pub(crate) fn check_instance(instance: &InstanceSpec) -> Result<(), String> {
    let word = |text: &str| {
        !text.is_empty()
            && text.len() <= 60
            && text.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-')
    };
    if word(&instance.app) && word(&instance.project) && is_image_id(&instance.image.id) {
        return Ok(());
    }
    Err(format!("instance {} has a name or an image id that cannot be", instance.id))
}

fn is_image_id(id: &str) -> bool {
    let hex = id.strip_prefix("sha256:");
    hex.is_some_and(|hex| hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit()))
}
