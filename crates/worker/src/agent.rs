//! The agent: joins the parts.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use daemon::lifecycle::Lifecycle;
use daemon::reconcile::{Activator, StatusCell, drive};
use node::identity::KeyWatch;
use node::ledger::Ledger;
use node::link::{Events, Link, LinkConfig, LinkEvent, LinkHandle, Timing};
use protocol::identity::{AgentKind, NodeIdentity};
use protocol::message::{Applied, FromAgent, FromControlPlane};
use protocol::question::{Answer, AnswerKind, Ask, Question};
use protocol::report::{Hello, HostFacts};
use protocol::spec::private::PrivateChange;
use protocol::spec::{Generation, Spec, Versioned, WorkerSpec};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::bandwidth::Bandwidth;
use crate::config::Config;
use crate::disk_use::DiskUse;
use crate::guard::Guard;
use crate::images::clean::Cleaner;
use crate::images::{Images, ImagesConfig};
use crate::instances::{self, Instances, InstancesConfig, Observer};
use crate::job::{BuildSettings, JobCommand, Jobs, JobsConfig};
use crate::lease::{Keeper, Permit};
use crate::means::Means;
use crate::podman::Podman;
use crate::private::{Examiner, Network};
use crate::tickets::TicketKeys;
use crate::uplink::Uplink as _;
use crate::{bridges, exec, files, job, leave, probe, serve, stats, storage, zones};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// For links and open hand-overs; instances and builds go on without the agent.
const GRACE: Duration = Duration::from_secs(10);
/// Of people that may wait: each takes Podman a moment.
const QUESTIONS: usize = 8;
const RECONCILE_EVERY: Duration = Duration::from_secs(30);
/// To list all images takes Podman a while.
const IMAGES_EVERY: Duration = Duration::from_mins(1);

/// `wisehosting-worker run`.
pub async fn run(config: Config) -> anyhow::Result<ExitCode> {
    let mut lifecycle = Lifecycle::new();
    let stop = lifecycle.stopping();
    let folder = config.state_dir.display().to_string();
    let Some(_lock) =
        daemon::lock::take(&config.state_dir).with_context(|| format!("cannot use {folder}"))?
    else {
        anyhow::bail!("another wisehosting-worker works with {folder}");
    };
    if let Some(address) = config.ingress {
        let settings = zones::Settings {
            address,
            node_dir: config.node_dir.clone(),
            state_dir: config.state_dir.clone(),
        };
        lifecycle.spawn("ingress", zones::run(settings, stop.clone()));
    }
    let grace = if config.ingress.is_some() { zones::GRACE + GRACE } else { GRACE };
    lifecycle.spawn("agent", async move {
        let Some(identity) = node::identity::wait_for(&config.node_dir, &stop).await else { return Ok(()) };
        Parts::start(&config, identity, &stop).await?.run(&stop).await
    });
    lifecycle.run(grace).await
}

/// Everything that runs once the host has joined.
#[derive(Default)]
struct Parts(JoinSet<(&'static str, anyhow::Result<()>)>);

impl Parts {
    async fn start(
        config: &Config,
        identity: NodeIdentity,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let (podman, facts, means) = prepare(config).await?;
        let ledger: Ledger<WorkerSpec> = Ledger::load(config.state_dir.join(leave::SPEC))?;
        let (spec, watched) = watch::channel(Arc::new(
            ledger.current().map(|current| current.spec.clone()).unwrap_or_default(),
        ));
        let network = network(config, podman.clone(), &ledger).await;
        let hello = hello(config, facts, network.in_force());
        let (link, handle, events) = Link::new(link_config(identity.clone(), hello))?;

        let of_key = handle.clone();
        let activator = Activator::new();
        let connected = Arc::new(Notify::new());
        let (commands, received) = mpsc::channel(64);
        let settings = instances_config(config, &podman, &means, network.clone());
        let image_activator = Activator::new();
        let of_images = images_config(config, podman.clone());
        let images = Images::new(of_images, handle.clone(), watched.clone(), image_activator.clone())?;
        let (limits, watched_too) = (watched.clone(), watched.clone());
        let (reconciler, observer) =
            Instances::new(settings, handle.clone(), watched.clone(), activator.clone())?;
        let keeper = Keeper::of(&reconciler, handle.clone(), watched, activator.clone());
        let corrections = reconciler.outbox().run(handle.clone(), stop.clone());
        let fresh = reconciler.fresh();
        let jobs = Jobs::new(jobs_config(config)?, handle.clone())?;
        let listener = serve::listen(identity.mesh_address, config.mesh.port)
            .with_context(|| format!("cannot listen on {}:{}", identity.mesh_address, config.mesh.port))?;
        let metrics = daemon::status::install_metrics();
        let status = daemon::status::router(metrics.clone());
        let tickets = TicketKeys::new(identity.api_key.signing_key());
        let router = mesh_router(&podman, &fresh, &tickets, status, stop);
        let mut parts = Self::default();
        let (storage_connected, questions) =
            parts.tell_of_storage(config, &podman, &handle, watched_too, stop);
        let (examiner, examined) = mpsc::channel(QUESTIONS);
        let of_network = Examiner { network: network.clone(), uplink: handle.clone() };
        parts.spawn("examiner", of_network.run(examined, stop.clone()));
        let inbox = Inbox {
            handle: handle.clone(),
            ledger,
            spec,
            network,
            activators: [activator.clone(), image_activator.clone()],
            connected: [connected.clone(), storage_connected],
            permit: reconciler.permit(),
            commands,
            questions,
            examiner,
        };

        parts.spawn("link", link.run(stop.clone()));
        parts.spawn("lease", keeper.run(stop.clone()));
        parts.spawn("corrections", corrections);
        parts.spawn("metrics", daemon::status::fold_metrics(metrics, stop.clone()));
        parts.spawn("jobs", jobs.run(received, stop.clone()));
        parts.spawn("report", observer.clone().report(handle.clone(), connected, stop.clone()));
        let disks = parts.watch_limits(&podman, means, &observer, limits, stop);
        parts.spawn("stats", stats::run(podman.clone(), observer, disks, handle, stop.clone()));
        parts.spawn("events", instances::watch_events(podman, activator.clone(), stop.clone()));
        parts.spawn("fresh", fresh.sweep(stop.clone()));
        parts.spawn("http", serve::serve(listener, router, stop.clone()));
        parts.spawn(
            "instances",
            drive(reconciler, activator, RECONCILE_EVERY, StatusCell::default(), stop.clone()),
        );
        let images = drive(images, image_activator, IMAGES_EVERY, StatusCell::default(), stop.clone());
        parts.spawn("images", images);
        parts.spawn("inbox", inbox.run(events, stop.clone()));
        parts.watch_identity(&config.node_dir, identity, (of_key, tickets), stop);
        Ok(parts)
    }

    /// What lies here besides the instances: tells of it, and cleans up when somebody asks. Returns what is to be told of
    /// each connection, and where questions go.
    fn tell_of_storage(
        &mut self,
        config: &Config,
        podman: &Podman,
        handle: &LinkHandle,
        spec: watch::Receiver<Arc<WorkerSpec>>,
        stop: &CancellationToken,
    ) -> (Arc<Notify>, mpsc::Sender<Ask>) {
        let connected = Arc::new(Notify::new());
        let (questions, asked) = mpsc::channel(QUESTIONS);
        let cleaner =
            Cleaner { podman: podman.clone(), jobs: jobs_folder(config), spec, uplink: handle.clone() };
        let storage = storage::run(podman.clone(), handle.clone(), connected.clone(), stop.clone());
        self.spawn("storage", storage);
        self.spawn("cleaner", cleaner.run(asked, stop.clone()));
        (connected, questions)
    }

    fn spawn(&mut self, name: &'static str, part: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.0.spawn(async move { (name, part.await) });
    }

    /// What the kernel does not do by itself once a container runs.
    fn watch_limits(
        &mut self,
        podman: &Podman,
        means: Arc<Means>,
        observer: &Observer,
        spec: watch::Receiver<Arc<WorkerSpec>>,
        stop: &CancellationToken,
    ) -> DiskUse {
        let disks = DiskUse::default();
        let measure = disks.clone().measure(podman.clone(), observer.clone(), spec.clone(), stop.clone());
        self.spawn("disks", measure);
        let bandwidth = Bandwidth::new(podman.clone(), means, observer.clone(), spec);
        let held = drive(bandwidth, Activator::new(), RECONCILE_EVERY, StatusCell::default(), stop.clone());
        self.spawn("bandwidth", held);
        disks
    }

    /// Another key is taken as it comes; another identity ends all.
    fn watch_identity(
        &mut self,
        node_dir: &Path,
        identity: NodeIdentity,
        (handle, tickets): (LinkHandle, TicketKeys),
        stop: &CancellationToken,
    ) {
        let watch = KeyWatch::new(node_dir.to_owned(), identity.clone());
        self.spawn("key", follow(handle, watch, tickets, stop.clone()));
        self.spawn("identity", same_identity(node_dir.to_owned(), identity, stop.clone()));
    }

    /// Until `stop`, or until a part ends by itself, which is a failure of all.
    async fn run(mut self, stop: &CancellationToken) -> anyhow::Result<()> {
        while let Some(ended) = self.0.join_next().await {
            let (name, result) = ended.context("a part of the agent panicked")?;
            result.with_context(|| format!("{name} failed"))?;
            anyhow::ensure!(stop.is_cancelled(), "{name} ended before the agent was told to stop");
        }
        Ok(())
    }
}

/// The host, and what the worker knows of it.
async fn prepare(config: &Config) -> anyhow::Result<(Podman, HostFacts, Arc<Means>)> {
    let podman = Podman::new(&config.podman.socket)?;
    let version = podman.version().await?.version;
    info!(podman = version, "Podman answers");
    let means = Arc::new(Means::of_this_host(&podman, config.instances.user_namespaces).await);
    let probe = Some(probe::host().await);
    bridges::announce();
    if let Err(error) = job::prepare(&podman).await {
        warn!(error = format!("{error:#}"), "the network of builds is missing; the first build tries again");
    }
    std::fs::create_dir_all(&config.state_dir).context("cannot make state_dir")?;
    let enforced = Some(Box::new(means.enforced()));
    let worker_port = Some(config.mesh.port);
    let facts = HostFacts { podman: Some(version), worker_port, probe, enforced, ..HostFacts::default() };
    Ok((podman, facts, means))
}

fn link_config(identity: NodeIdentity, hello: impl Fn() -> Hello + Send + Sync + 'static) -> LinkConfig {
    LinkConfig {
        identity,
        agent: AgentKind::Worker,
        version: VERSION.to_owned(),
        root_pem: None,
        hello: Box::new(hello),
        timing: Timing::default(),
    }
}

fn mesh_router(
    podman: &Podman,
    fresh: &exec::Fresh,
    keys: &TicketKeys,
    status: Router,
    stop: &CancellationToken,
) -> Router {
    let programs = exec::router(podman.clone(), fresh.clone(), keys.clone(), stop.clone());
    let files = files::router(podman.clone(), keys.clone());
    serve::router(podman.clone(), keys.clone(), status).merge(programs).merge(files)
}

/// Another key of the host: its tickets are taken first, then it is signed in with.
async fn follow(
    handle: LinkHandle,
    watch: KeyWatch,
    tickets: TicketKeys,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let followed = handle.follow(watch, |key| tickets.change(key.signing_key()));
    stop.run_until_cancelled(followed).await;
    Ok(())
}

/// Everything is made with the identity: with another one the process ends and is started again.
async fn same_identity(
    node_dir: PathBuf,
    identity: NodeIdentity,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    anyhow::ensure!(
        !node::identity::wait_for_another(&node_dir, &identity, &stop).await,
        "the host has joined anew"
    );
    Ok(())
}

fn hello(
    config: &Config,
    known: HostFacts,
    generation: watch::Receiver<Generation>,
) -> impl Fn() -> Hello + Send + Sync + use<> {
    let (jobs, build_slots) = (jobs_folder(config), config.builds.slots);
    move || Hello {
        version: VERSION.to_owned(),
        generation: *generation.borrow(),
        jobs: Jobs::<LinkHandle>::known(&jobs),
        build_slots,
        host: HostFacts {
            podman: known.podman.clone(),
            worker_port: known.worker_port,
            probe: known.probe.clone(),
            enforced: known.enforced.clone(),
            ..node::facts::host_facts()
        },
    }
}

fn jobs_folder(config: &Config) -> PathBuf {
    config.state_dir.join("jobs")
}

fn caches_folder(config: &Config) -> PathBuf {
    config.state_dir.join("caches")
}

/// As the last desired state has it.
async fn network(config: &Config, podman: Podman, ledger: &Ledger<WorkerSpec>) -> Network {
    let opened = config.instances.private_networks.clone();
    let guard = Guard::new(config.mesh.interface.clone(), config.mesh.cidr, opened);
    // This very binary, even if the file was replaced meanwhile.
    let network = Network::new(podman, guard, config.names_dir(), PathBuf::from("/proc/self/exe"));
    if let Some(last) = ledger.current()
        && let Err(error) = network.resume(last.generation, &last.spec).await
    {
        warn!(error = format!("{error:#}"), "the private network is not in force yet");
    }
    network
}

fn instances_config(
    config: &Config,
    podman: &Podman,
    means: &Arc<Means>,
    network: Network,
) -> InstancesConfig {
    InstancesConfig {
        state_dir: config.state_dir.clone(),
        podman: podman.clone(),
        network,
        means: means.clone(),
        registry_networks: config.builds.private_networks.clone(),
    }
}

fn images_config(config: &Config, podman: Podman) -> ImagesConfig {
    ImagesConfig {
        state_dir: config.state_dir.clone(),
        podman,
        jobs: jobs_folder(config),
        caches: caches_folder(config),
        registry_networks: config.builds.private_networks.clone(),
    }
}

fn jobs_config(config: &Config) -> anyhow::Result<JobsConfig> {
    let builds = &config.builds;
    Ok(JobsConfig {
        folder: jobs_folder(config),
        slots: builds.slots,
        settings: BuildSettings {
            socket: config.podman.socket.clone(),
            caches: Some(caches_folder(config)),
            memory_mb: builds.memory_mb,
            cpu_millis: builds.cpu_millis,
            timeout_s: builds.timeout_s,
            allow_file_urls: builds.allow_file_urls,
            private_networks: builds.private_networks.clone(),
        },
        program: std::env::current_exe().context("cannot tell where this program is")?,
    })
}

/// Takes what the control plane says to the parts that it is for.
struct Inbox {
    handle: LinkHandle,
    ledger: Ledger<WorkerSpec>,
    spec: watch::Sender<Arc<WorkerSpec>>,
    network: Network,
    /// Of the reconcilers.
    activators: [Activator; 2],
    connected: [Arc<Notify>; 2],
    permit: Permit,
    commands: mpsc::Sender<JobCommand>,
    questions: mpsc::Sender<Ask>,
    /// The same, of the private network.
    examiner: mpsc::Sender<Ask>,
}

impl Inbox {
    async fn run(mut self, mut events: Events, stop: CancellationToken) -> anyhow::Result<()> {
        let mut first = false;
        let mut in_force = self.network.in_force();
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                Ok(()) = in_force.changed() => {
                    let generation = *in_force.borrow_and_update();
                    self.handle.say(FromAgent::Applied(Applied { generation })).await;
                    continue;
                }
                () = stop.cancelled() => return Ok(()),
            };
            match event {
                None => return Ok(()),
                Some(LinkEvent::Connected) => {
                    first = true;
                    self.connected.iter().for_each(|part| part.notify_one());
                    self.permit.connected();
                    self.activators.iter().for_each(Activator::signal);
                }
                Some(LinkEvent::Disconnected) => {}
                Some(LinkEvent::Message(message)) => self.take(message, &mut first).await?,
            }
        }
    }

    async fn take(&mut self, message: FromControlPlane, first: &mut bool) -> anyhow::Result<()> {
        match message {
            FromControlPlane::Spec(Versioned { generation, spec: Spec::Worker(spec) }) => {
                let first = std::mem::take(first);
                self.apply(Versioned { generation, spec }, first).await?;
            }
            FromControlPlane::SpecPrivate(change) => self.apply_private(*change).await?,
            FromControlPlane::JobStart(job) => self.commands.send(JobCommand::Start(Box::new(job))).await?,
            FromControlPlane::JobCancel(cancel) => {
                self.commands.send(JobCommand::Cancel(cancel.job_id)).await?;
            }
            FromControlPlane::LeaseGrant(grant) => {
                if self.permit.take(&grant) {
                    self.activators[0].signal();
                }
            }
            FromControlPlane::Ask(ask) => self.asked(ask).await,
            other => warn!(kind = other.kind(), "not for a worker"),
        }
        Ok(())
    }

    /// As [`Inbox::apply`], where nothing but the private network is new: of the instances there is nothing to do.
    async fn apply_private(&mut self, change: PrivateChange) -> anyhow::Result<()> {
        let (from, generation) = (change.from, change.generation);
        let known = self.ledger.current().filter(|known| known.generation == from);
        let Some((known, private)) = known.and_then(|known| Some((known, known.spec.private.as_ref()?)))
        else {
            // The state that it changes was refused, and so there will be another one that is whole.
            error!(generation, from, "a change of the private network fits no desired state that is here");
            return Ok(());
        };
        let private = Some(change.apply(private));
        let versioned = Versioned { generation, spec: WorkerSpec { private, ..known.spec.clone() } };
        let spec = self.ledger.store(versioned).context("cannot write the ledger")?.spec.clone();
        debug!(generation, "the private network has changed");
        if let Err(error) = self.network.take(generation, &spec).await {
            error!(generation, error = format!("{error:#}"), "the private network is as it was");
        }
        self.spec.send_if_modified(|known| {
            *known = Arc::new(spec);
            false
        });
        let generation = *self.network.in_force().borrow();
        self.handle.say(FromAgent::Applied(Applied { generation })).await;
        Ok(())
    }

    /// What takes Podman a moment is answered beside this.
    async fn asked(&self, ask: Ask) {
        let answer = match ask.question {
            Question::Log(_) => node::answer::of_any(&ask),
            Question::Cleanable | Question::Clean { .. } | Question::Private { .. } => {
                let about_network = matches!(ask.question, Question::Private { .. });
                let to = if about_network { &self.examiner } else { &self.questions };
                let Err(refused) = to.try_send(ask) else { return };
                let message = "too many questions wait already: try again in a moment".to_owned();
                Answer { id: refused.into_inner().id, answer: AnswerKind::Failed { message } }
            }
        };
        self.handle.say(FromAgent::Answer(answer)).await;
    }

    /// On disk first, then in force, then acknowledged: in force are the rules of the private network, so that nobody
    /// here begins a connection to an instance that has left it.
    async fn apply(&mut self, versioned: Versioned<WorkerSpec>, first: bool) -> anyhow::Result<()> {
        let generation = versioned.generation;
        if self.ledger.takes(generation, first) {
            if let Err(problem) = instances::check(&versioned.spec) {
                error!(generation, problem, "the desired state was refused");
                return Ok(());
            }
            let spec = self.ledger.store(versioned).context("cannot write the ledger")?.spec.clone();
            info!(generation, instances = spec.instances.len(), "new desired state");
            if let Err(error) = self.network.take(generation, &spec).await {
                error!(generation, error = format!("{error:#}"), "the private network is as it was");
            }
            self.spec.send_replace(Arc::new(spec));
            self.activators.iter().for_each(Activator::signal);
        }
        let generation = *self.network.in_force().borrow();
        self.handle.say(FromAgent::Applied(Applied { generation })).await;
        Ok(())
    }
}
