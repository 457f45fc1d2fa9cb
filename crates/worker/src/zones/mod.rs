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
use node::link::{Events, Link, LinkConfig, LinkEvent, LinkHandle, Timing};
use node::traffic::Reports;
use protocol::identity::{AgentKind, NodeIdentity};
use protocol::message::{Applied, FromAgent, FromControlPlane};
use protocol::report::Hello;
use protocol::spec::{Spec, Versioned};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

pub use table::FILE;
use table::{Table, Taken};

/// Time for running requests after a stop.
pub const GRACE: Duration = Duration::from_secs(30);
/// How soon a link is tried again that could not even be set up.
const AGENT_RETRY: Duration = Duration::from_secs(30);
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
    let recorded = Arc::clone(&gateway);
    let traffic = Reports::new(move || recorded.traffic());
    let agent = keep_agent(settings.node_dir, Arc::clone(&table), traffic, served.clone());
    tokio::try_join!(upkeep, listening, agent).map(|((), (), ())| ())
}

/// Keeps an agent running. Whatever happens to it, the table on disk is served, so the process goes on.
async fn keep_agent(
    node_dir: PathBuf,
    table: Arc<Table>,
    mut traffic: Reports,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    while let Some(identity) = node::identity::wait_for(&node_dir, &stop).await {
        let ended = tokio::select! {
            ended = agent(identity.clone(), Arc::clone(&table), &mut traffic, stop.clone()) => ended,
            true = node::identity::wait_for_another(&node_dir, &identity, &stop) => continue,
        };
        if stop.is_cancelled() {
            break;
        }
        if let Err(error) = ended {
            let error = format!("{error:#}");
            error!(error, "zones have no link to the control plane; they are served as they were");
        }
        stop.run_until_cancelled(tokio::time::sleep(AGENT_RETRY)).await;
    }
    Ok(())
}

async fn agent(
    identity: NodeIdentity,
    table: Arc<Table>,
    traffic: &mut Reports,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let of_hello = Arc::clone(&table);
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
    let inbox = take_all(handle.clone(), events, table, stop.clone());
    // The link outlives what is said over it at last.
    let reported = CancellationToken::new();
    let traffic = traffic.run(&handle, stop, reported.clone());
    tokio::try_join!(link.run(reported), inbox, traffic).map(|((), (), ())| ())
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
