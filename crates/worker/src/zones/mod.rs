//! The worker's own front door: answers for the direct zones that point at it, in plain HTTP, while there is anything to
//! answer for. It has a link of its own, so that neither its table nor the instances wait for the other, and needs the
//! control plane for changes only: the last table is on disk.

mod listener;
mod table;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ingress::{Gateway, Options};
use node::identity::KeyWatch;
use node::link::{Events, Link, LinkConfig, LinkEvent, LinkHandle, Timing};
use node::traffic::Reports;
use protocol::identity::{AgentKind, NodeIdentity};
use protocol::message::{Applied, FromAgent, FromControlPlane};
use protocol::report::Hello;
use protocol::spec::{Spec, Versioned};
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use table::FILE;
use table::{Table, Taken};

/// Time for running requests after a stop.
pub const GRACE: Duration = Duration::from_secs(30);
/// How soon a table that could not be written is tried again.
const WRITE_RETRY: Duration = Duration::from_secs(5);

/// Where visitors come in, and the folders.
#[derive(Debug, Clone)]
pub struct Settings {
    pub address: SocketAddr,
    /// The mesh agent's state folder, where `identity.json` is.
    pub node_dir: PathBuf,
    pub state_dir: PathBuf,
}

/// Serves until `stop`. What is on disk is served before the control plane, the mesh or Podman are there.
pub async fn run(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    std::fs::create_dir_all(&settings.state_dir)?;
    let gateway = Gateway::new(Options { traffic: true, ..Options::default() });
    let table = Arc::new(Table::restore(Arc::clone(&gateway), &settings.state_dir)?);
    let upkeep = async {
        gateway.maintain(stop.clone()).await;
        anyhow::Ok(())
    };
    // What is served at last is reported, too.
    let served = CancellationToken::new();
    let listening = async {
        let _served = served.clone().drop_guard();
        listener::run(Arc::clone(&gateway), settings.address, table.watch(), stop.clone()).await
    };
    let (recorded, counted) = (Arc::clone(&gateway), Arc::clone(&gateway));
    daemon::status::add_metrics(move || counted.metrics());
    let agent = Agent { table: Arc::clone(&table), traffic: Reports::new(move || recorded.traffic()) };
    let agent = node::agent::keep(settings.node_dir, agent, served.clone());
    tokio::try_join!(upkeep, listening, agent).map(|((), (), ())| ())
}

/// The link and everything behind it.
struct Agent {
    table: Arc<Table>,
    traffic: Reports,
}

impl node::agent::Agent for Agent {
    const FAILED: &'static str = "zones have no link to the control plane; they are served as they were";

    async fn run(
        &mut self,
        identity: NodeIdentity,
        keys: KeyWatch,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let of_hello = Arc::clone(&self.table);
        let (link, handle, events) = Link::new(LinkConfig {
            identity,
            agent: AgentKind::Ingress,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            root_pem: None,
            hello: Box::new(move || Hello {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                generation: of_hello.generation(),
                jobs: Vec::new(),
                build_slots: 0,
                host: node::facts::host_facts(),
            }),
            timing: Timing::default(),
        })?;
        let inbox = take_all(handle.clone(), events, Arc::clone(&self.table), stop.clone());
        tokio::select! {
            ended = self.traffic.beside(link, &handle, inbox, stop) => ended,
            never = handle.follow(keys, |_| ()) => match never {},
        }
    }
}

/// In force first, then on disk, then acknowledged.
async fn take_all(
    handle: LinkHandle,
    mut events: Events,
    table: Arc<Table>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut first = true;
    // A table that could not be written yet.
    let mut waiting: Option<(Versioned<_>, bool)> = None;
    loop {
        let event = tokio::select! {
            event = events.recv() => match event {
                Some(event) => Some(event),
                None => return Ok(()),
            },
            () = tokio::time::sleep(WRITE_RETRY), if waiting.is_some() => None,
            () = stop.cancelled() => return Ok(()),
        };
        let offered = match event {
            Some(LinkEvent::Connected) => {
                first = true;
                continue;
            }
            Some(LinkEvent::Message(FromControlPlane::Spec(Versioned {
                generation,
                spec: Spec::Proxy(spec),
            }))) => (Versioned { generation, spec }, std::mem::take(&mut first)),
            Some(LinkEvent::Message(FromControlPlane::Ask(ask))) => {
                handle.send(FromAgent::Answer(node::answer::of_any(&ask))).await?;
                continue;
            }
            Some(LinkEvent::Disconnected | LinkEvent::Message(_)) => continue,
            None => match waiting.take() {
                Some(waiting) => waiting,
                None => continue,
            },
        };
        match table.take(offered.0.clone(), offered.1) {
            Ok(Taken::InForce(generation)) => {
                waiting = None;
                handle.send(FromAgent::Applied(Applied { generation })).await?;
            }
            Ok(Taken::Old | Taken::Bad) => {}
            Err(error) => {
                let error = format!("{error:#}");
                warn!(
                    error,
                    "the new routes of the zones are in force, but cannot be written and are not acknowledged until they are"
                );
                waiting = Some(offered);
            }
        }
    }
}
