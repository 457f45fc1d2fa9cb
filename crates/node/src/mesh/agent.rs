//! The agent's life: tunnel first, then identity, then the link.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::Context;
use daemon::credentials::Credentials;
use protocol::identity::{AgentKind, NodeIdentity};
use protocol::message::{Applied, FromAgent, FromControlPlane};
use protocol::numbers::NUMBERS_EVERY_S;
use protocol::report::{Hello, HostFacts};
use protocol::spec::{Generation, Spec, Versioned};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Mesh;
use super::config::{Config, ControlPlane, Declared};
use super::join;
use super::keys::Keys;
use super::rotate::Rotation;
use crate::link::{Events, Link, LinkConfig, LinkEvent, LinkHandle, Timing};
use crate::{answer, facts, identity};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Between reports, and between looks at whether the tunnel still is as it should be.
const PERIOD: Duration = Duration::from_secs(30);
/// Between two readings of the host's numbers.
const NUMBERS: Duration = Duration::from_secs(NUMBERS_EVERY_S);
/// Between looks at whether the device answers at all.
const CHECK: Duration = Duration::from_secs(5);
/// Between looks at the device while a peer changes its key.
const HURRY: Duration = Duration::from_millis(50);
/// After a pass that failed.
const RETRY: Duration = Duration::from_secs(2);

/// `wisehosting-mesh run`. A host that has joined brings its tunnel up at once, whoever answers.
pub async fn run(config: Config, credentials: Credentials, stop: CancellationToken) -> anyhow::Result<()> {
    let Some(_lock) = daemon::lock::take(&config.state_dir)
        .with_context(|| format!("cannot use {}", config.state_dir.display()))?
    else {
        anyhow::bail!("another wisehosting-mesh works with {}", config.state_dir.display());
    };
    let keys = Keys::load_or_create(&config.state_dir)?;
    let joined = match (&config.control_plane, &config.declared) {
        (Some(control_plane), _) => enrolled(&config, control_plane, keys, &credentials, &stop).await?,
        (None, Some(declared)) => by_declaration(&config, declared, keys, &stop).await?,
        (None, None) => anyhow::bail!("neither control_plane nor declared is set"),
    };
    match joined {
        Some((mesh, identity)) => serve(&config, mesh, identity, stop).await,
        None => Ok(()),
    }
}

async fn enrolled(
    config: &Config,
    control_plane: &ControlPlane,
    keys: Keys,
    credentials: &Credentials,
    stop: &CancellationToken,
) -> anyhow::Result<Option<(Mesh, NodeIdentity)>> {
    let place = match join::place(&config.state_dir)? {
        Some(place) => place,
        None => match join::enrol(config, control_plane, &keys.public, credentials, stop).await? {
            Some(place) => place,
            None => return Ok(None),
        },
    };
    let mesh = Mesh::new(config, keys, place.address, place.bootstrap)?;
    Ok(Some((mesh, place.identity)))
}

async fn by_declaration(
    config: &Config,
    declared: &Declared,
    keys: Keys,
    stop: &CancellationToken,
) -> anyhow::Result<Option<(Mesh, NodeIdentity)>> {
    let public_key = keys.public.clone();
    let mut mesh = Mesh::new(config, keys, declared.address, declared.peers.clone())?;
    let known = identity::read(&config.state_dir)?;
    if let Some(identity) = known {
        if identity.mesh_address == declared.address.addr() {
            return Ok(Some((mesh, identity)));
        }
        warn!(
            was = %identity.mesh_address,
            is = %declared.address.addr(),
            "the declared address changed: asking for a new identity"
        );
    }
    // The tunnel is what the question travels through, so it is looked after meanwhile.
    let identity = tokio::select! {
        identity = join::declare(config, declared, &public_key, stop) => identity?,
        () = keep_up(&mut mesh) => None,
    };
    Ok(identity.map(|identity| (mesh, identity)))
}

/// Passes forever.
async fn keep_up(mesh: &mut Mesh) {
    loop {
        let pause = if passed(mesh).await { CHECK } else { RETRY };
        tokio::time::sleep(pause).await;
    }
}

async fn passed(mesh: &mut Mesh) -> bool {
    match mesh.pass().await {
        Ok(()) => true,
        Err(error) => {
            warn!(error = format!("{error:#}"), "the tunnel is not as it should be; trying again");
            false
        }
    }
}

/// The life of a node that has joined.
async fn serve(
    config: &Config,
    mut mesh: Mesh,
    identity: NodeIdentity,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    // Up from the ledger before anything is dialled.
    passed(&mut mesh).await;
    let root_pem = match config.control_plane.as_ref().and_then(|plane| plane.root_certificate.as_ref()) {
        Some(path) => Some(std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?),
        None => None,
    };
    let generation = Arc::new(AtomicI64::new(mesh.generation()));
    let wireguard = mesh.kind().map(|kind| kind.as_str().to_owned());
    let host = move || HostFacts { wireguard: wireguard.clone(), ..facts::host_facts() };
    let (on_disk, of_hello) = (generation.clone(), host.clone());
    let hello = move || Hello {
        version: VERSION.to_owned(),
        generation: on_disk.load(Ordering::Relaxed),
        jobs: Vec::new(),
        build_slots: 0,
        host: of_hello(),
    };
    let (link, handle, events) = Link::new(LinkConfig {
        identity: identity.clone(),
        agent: AgentKind::Mesh,
        version: VERSION.to_owned(),
        root_pem,
        hello: Box::new(hello),
        timing: Timing::default(),
    })?;
    let said = host();
    let prober = Arc::clone(&mesh.prober);
    let key = Rotation::new(config.state_dir.clone(), identity);
    let agent =
        Agent { mesh, handle, generation, first: false, applied: None, key, host: Box::new(host), said };
    // The agent ends when the link does, which ends when the process stops.
    tokio::try_join!(link.run(stop.clone()), agent.run(events), prober.run(stop))?;
    info!("the tunnel stays up without the agent");
    Ok(())
}

struct Agent {
    mesh: Mesh,
    handle: LinkHandle,
    /// On disk, for `hello`.
    generation: Arc<AtomicI64>,
    /// The next spec is the first of this connection.
    first: bool,
    /// The generation that this connection knows to be in force.
    applied: Option<Generation>,
    key: Rotation,
    /// Reads what the host is.
    host: Box<dyn Fn() -> HostFacts + Send + Sync>,
    /// What the control plane knows of the host.
    said: HostFacts,
}

impl Agent {
    async fn run(mut self, mut events: Events) -> anyhow::Result<()> {
        let mut tick = tokio::time::interval(PERIOD);
        let mut check = tokio::time::interval(CHECK);
        let prober = Arc::clone(&self.mesh.prober);
        let (mut numbers, mut meter) = (tokio::time::interval(NUMBERS), facts::numbers::Meter::default());
        numbers.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(LinkEvent::Connected) => {
                        (self.first, self.applied) = (true, None);
                        tick.reset_immediately();
                    }
                    Some(LinkEvent::Disconnected) => self.first = false,
                    Some(LinkEvent::Message(FromControlPlane::Spec(spec))) => self.take(spec, &mut tick)?,
                    Some(LinkEvent::Message(FromControlPlane::Ask(ask))) => {
                        self.say(FromAgent::Answer(answer::of_any(&ask))).await;
                    }
                    Some(LinkEvent::Message(other)) => {
                        warn!(kind = other.kind(), "not for a mesh agent; ignored");
                    }
                    None => return Ok(()),
                },
                _ = tick.tick() => self.work(&mut tick).await,
                _ = numbers.tick() => self.say(FromAgent::Numbers(meter.read())).await,
                key = self.key.settled() => self.handle.rekey(key),
                () = prober.turned() => tick.reset_immediately(),
                () = prober.calls() => { passed(&mut self.mesh).await; }
                () = tokio::time::sleep(HURRY), if self.mesh.hurries() => { passed(&mut self.mesh).await; }
                _ = check.tick() => self.look(&mut tick).await,
            }
        }
    }

    fn take(&mut self, spec: Versioned<Spec>, tick: &mut Interval) -> anyhow::Result<()> {
        let Versioned { generation, spec } = spec;
        let Spec::Mesh(spec) = spec else {
            warn!("the desired state is for another agent; ignored");
            return Ok(());
        };
        self.mesh.offer(Versioned { generation, spec }, self.first)?;
        self.first = false;
        self.generation.store(self.mesh.generation(), Ordering::Relaxed);
        tick.reset_immediately();
        Ok(())
    }

    /// Between reports: whether the device answers, and whether a peer has to be dialled elsewhere.
    async fn look(&mut self, tick: &mut Interval) {
        let answers = self.mesh.device.answers().await;
        let news = answers && self.mesh.is_due() && passed(&mut self.mesh).await && self.mesh.has_news();
        if !answers || news {
            tick.reset_immediately();
        }
    }

    /// A pass, and what the control plane should know of it.
    async fn work(&mut self, tick: &mut Interval) {
        if !passed(&mut self.mesh).await {
            tick.reset_after(RETRY);
            return;
        }
        if let Some(generation) = self.mesh.ledger.current().map(|current| current.generation)
            && self.applied != Some(generation)
        {
            self.say(FromAgent::Applied(Applied { generation })).await;
            self.applied = Some(generation);
        }
        match self.mesh.report().await {
            Ok(report) => self.say(FromAgent::MeshReport(report)).await,
            Err(error) => warn!(error = format!("{error:#}"), "no report of the tunnel"),
        }
        self.say_what_changed().await;
        let wanted = self.mesh.ledger.current().and_then(|current| current.spec.rotation);
        if self.handle.is_connected()
            && let Err(error) = self.key.rotate(wanted, &self.handle).await
        {
            warn!(error = format!("{error:#}"), "the API key is not changed yet");
        }
    }

    /// A host is updated under the running agent: another system generation, a new kernel that waits for a reboot.
    async fn say_what_changed(&mut self) {
        let host = (self.host)();
        if host != self.said {
            self.say(FromAgent::Host(host.clone())).await;
            self.said = host;
        }
    }

    async fn say(&self, message: FromAgent) {
        if let Err(error) = self.handle.send(message).await {
            warn!(%error, "not said");
        }
    }
}
