//! One agent without containers: the real link, and answers that a worker or a proxy gives at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use node::link::{Events, Link, LinkConfig, LinkEvent, LinkHandle, Timing};
use protocol::identity::{AgentKind, NodeIdentity};
use protocol::ids::InstanceId;
use protocol::job::{Built, Job, Outcome, Work};
use protocol::message::{Applied, FromAgent, FromControlPlane, JobDone};
use protocol::report::{Hello, HostFacts, InstanceReport, InstanceState, InstanceStats, Stats, WorkerReport};
use protocol::spec::Spec;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// As a worker's agent does.
const STATS: Duration = Duration::from_secs(5);
const REPORT: Duration = Duration::from_secs(30);
const BUILD_SLOTS: u32 = 2;

/// What a connected agent has been told.
#[derive(Default)]
pub(crate) struct Told {
    /// Its desired state arrived since the last connect.
    pub(crate) spec: AtomicBool,
    /// Routes with an instance, of proxies.
    pub(crate) routes: AtomicUsize,
}

/// A connected agent.
pub(crate) struct Connected {
    pub(crate) link: LinkHandle,
    pub(crate) told: Arc<Told>,
    stop: CancellationToken,
    tasks: JoinSet<Result<()>>,
}

impl Connected {
    pub(crate) fn new(identity: &NodeIdentity, kind: AgentKind) -> Result<Self> {
        let config = LinkConfig {
            identity: identity.clone(),
            agent: kind,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            root_pem: None,
            hello: Box::new(move || hello(kind)),
            timing: Timing::default(),
        };
        let (link, handle, events) = Link::new(config)?;
        let (stop, told) = (CancellationToken::new(), Arc::new(Told::default()));
        let agent = Agent { link: handle.clone(), told: told.clone(), kind, instances: BTreeMap::new() };
        let mut tasks = JoinSet::new();
        tasks.spawn(link.run(stop.clone()));
        tasks.spawn(agent.run(events));
        Ok(Self { link: handle, told, stop, tasks })
    }

    /// Ends the connection as the end of a process does.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        // A link ends without an error when it is told to.
        self.tasks.join_all().await;
    }
}

fn hello(kind: AgentKind) -> Hello {
    let host = HostFacts {
        architecture: "x86_64".to_owned(),
        kernel: "6.12.0".to_owned(),
        cpus: 16,
        memory_mb: 65_536,
        podman: (kind == AgentKind::Worker).then(|| "5.4.0".to_owned()),
        ..HostFacts::default()
    };
    let build_slots = if kind == AgentKind::Worker { BUILD_SLOTS } else { 0 };
    Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        generation: 0,
        jobs: Vec::new(),
        build_slots,
        host,
    }
}

struct Agent {
    link: LinkHandle,
    told: Arc<Told>,
    kind: AgentKind,
    /// What runs, and since when.
    instances: BTreeMap<InstanceId, DateTime<Utc>>,
}

impl Agent {
    async fn run(mut self, mut events: Events) -> Result<()> {
        // Not all at the same moment, as on hosts that were not started together.
        let spread = |period: Duration| tokio::time::Instant::now() + period.mul_f64(rand::random());
        let mut stats = tokio::time::interval_at(spread(STATS), STATS);
        let mut reports = tokio::time::interval_at(spread(REPORT), REPORT);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(LinkEvent::Message(message)) => self.take(message).await?,
                    Some(_) => {}
                    None => return Ok(()),
                },
                _ = stats.tick(), if self.kind == AgentKind::Worker => self.link.send(self.stats()).await?,
                _ = reports.tick(), if self.kind == AgentKind::Worker => self.link.send(self.report()).await?,
            }
        }
    }

    async fn take(&mut self, message: FromControlPlane) -> Result<()> {
        match message {
            FromControlPlane::Spec(spec) => {
                match spec.spec {
                    Spec::Worker(worker) => {
                        let since = |id| self.instances.get(&id).copied().unwrap_or_else(Utc::now);
                        self.instances = worker
                            .instances
                            .iter()
                            .map(|instance| (instance.id, since(instance.id)))
                            .collect();
                        self.link.send(self.report()).await?;
                    }
                    Spec::Proxy(proxy) => {
                        let routed = proxy.routes.iter().filter(|route| !route.upstreams.is_empty()).count();
                        self.told.routes.store(routed, Ordering::Relaxed);
                    }
                    Spec::Mesh(_) => {}
                }
                self.link.send(FromAgent::Applied(Applied { generation: spec.generation })).await?;
                self.told.spec.store(true, Ordering::Relaxed);
            }
            FromControlPlane::SpecPrivate(change) => {
                self.link.send(FromAgent::Applied(Applied { generation: change.generation })).await?;
            }
            FromControlPlane::JobStart(job) => self.link.send(done(&job)).await?,
            _ => {}
        }
        Ok(())
    }

    fn report(&self) -> FromAgent {
        let healthy = |(id, since): (&InstanceId, &DateTime<Utc>)| InstanceReport {
            id: *id,
            state: InstanceState::Healthy,
            started_at: Some(*since),
            restarts: 0,
            exit_code: None,
            out_of_memory: false,
            probe: None,
            failure: None,
            over_disk: None,
        };
        FromAgent::WorkerReport(WorkerReport {
            instances: self.instances.iter().map(healthy).collect(),
            strays: Vec::new(),
        })
    }

    fn stats(&self) -> FromAgent {
        let of = |id: &InstanceId| InstanceStats {
            id: *id,
            cpu_millis: 20,
            memory_bytes: 64 << 20,
            received_bytes: 10_000,
            sent_bytes: 100_000,
            receive_rate: Some(2_000),
            send_rate: Some(20_000),
            pids: Some(8),
            disk_bytes: Some(1 << 20),
        };
        FromAgent::Stats(Stats { at: Utc::now(), instances: self.instances.keys().map(of).collect() })
    }
}

/// A build that was done at once: an image of its own for each.
fn done(job: &Job) -> FromAgent {
    let outcome = match &job.work {
        Work::Build(build) => Outcome::Built(Built {
            image_id: format!("sha256:{}", hex::encode(rand::random::<[u8; 32]>())),
            reference: build.tag.clone(),
            size_bytes: 50 << 20,
            exposed_ports: vec![8080],
            commit: None,
        }),
        Work::Certificate(_) => Outcome::Cancelled,
    };
    FromAgent::JobDone(JobDone { job_id: job.id, outcome })
}
