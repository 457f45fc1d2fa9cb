//! The order in which the process starts: public listeners, the routes on disk, and only then the rest of the world.

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use daemon::lifecycle::Lifecycle;
use ingress::bind::{Inherited, listen_early};
use ingress::{Gateway, Limits, Options};
use node::identity::KeyWatch;
use node::link::{Link, LinkConfig, Timing};
use node::traffic::Reports;
use protocol::identity::{AgentKind, ApiKey, NodeIdentity};
use protocol::report::{Hello, HostFacts};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cache::Keys;
use crate::config::Config;
use crate::engine::Traefik;
use crate::jobs::{JobList, Jobs};
use crate::public::{Ending, Public};
use crate::routing::Routing;
use crate::sync::Sync;

const MESH_RETRY: Duration = Duration::from_secs(5);
/// Why a proxy has no streams.
const BEHIND_TRAEFIK: &str = "Traefik carries this proxy's requests, and its ports are fixed in its own configuration: remove `[traefik]` from the proxy's configuration, or let clients connect to another proxy";

/// Runs the proxy until it is told to stop.
pub async fn run(config: Config, mut inherited: Inherited) -> anyhow::Result<ExitCode> {
    let http = inherited.listen("http", config.http())?;
    let https = match config.https() {
        Some(address) => Some(inherited.listen("https", address)?),
        None => None,
    };
    let metrics = daemon::status::install_metrics();
    private_folder(&config.state_dir)
        .with_context(|| format!("`state_dir` {} cannot be used", config.state_dir.display()))?;
    // Where redirects point: Traefik's entry point is on HTTPS's own port.
    let https_port =
        https.as_ref().map_or(Ok(443), |https| https.local_addr().map(|address| address.port()))?;
    let limits = Limits::from(&config.limits);
    let proxy_protocol = config.proxy_protocol.clone();
    // Behind Traefik only some of the requests come here.
    let traffic = config.traefik.is_none();
    let gateway = Gateway::new(Options { https_port, limits, proxy_protocol, traffic, ..Options::default() });
    let challenges = http.local_addr()?;
    let behind = config.traefik.is_some();
    let traefik = config.traefik.map(|traefik| Traefik::new(traefik, challenges)).transpose()?;
    let keys = Keys::from_environment()?;
    // Damage is told, and waited out, where the identity is needed.
    let identity = node::identity::read(&config.node_dir).ok().flatten();
    let key = keys.of(identity.as_ref());
    let former = keys.of_key(node::identity::former_key(&config.node_dir).as_ref());
    let log = traefik.as_ref().and_then(Traefik::access_log).cloned();
    let routing = Arc::new(Routing::restore(Arc::clone(&gateway), traefik, &config.state_dir, key, former)?);
    let (told, recorded) = (log.clone(), Arc::clone(&gateway));
    let traffic = Reports::new(move || told.as_ref().map_or_else(|| recorded.traffic(), |log| log.traffic()));

    let counted = Arc::clone(&gateway);
    daemon::status::add_metrics(move || counted.metrics());
    let mut lifecycle = Lifecycle::new();
    let ending = Ending::new(&lifecycle, Duration::from_secs(config.drain_s.into()));
    // Behind Traefik only challenges come to `http`, and nobody from outside.
    let streams = (!behind).then(|| challenges.ip());
    if behind {
        let refusing = ingress::streams::refuse(Arc::clone(&gateway), BEHIND_TRAEFIK, ending.served.clone());
        lifecycle.spawn("streams", async move {
            refusing.await;
            Ok(())
        });
    }
    Public { gateway, http: Some(http), https, streams }.spawn(&mut lifecycle, &ending)?;
    // What serving needs goes on while the process drains: a proxy that still serves still takes new routes.
    let served = ending.served.clone();
    lifecycle.spawn("metrics", daemon::status::fold_metrics(metrics.clone(), served.clone()));
    let (node_dir, stopping) = (config.node_dir.clone(), served.clone());
    let status = daemon::status::draining_router(metrics, ending.begun.clone());
    lifecycle.spawn("status", async move {
        while let Some(identity) = node::identity::wait_for(&node_dir, &stopping).await {
            let address = SocketAddr::from((identity.mesh_address, config.mesh_port));
            tokio::select! {
                ended = serve_status("mesh_port", address, status.clone(), stopping.clone()) => return ended,
                true = node::identity::wait_for_another(&node_dir, &identity, &stopping) => {}
            }
        }
        Ok(())
    });
    // What is served at last is reported, too.
    let all_read = match log {
        Some(log) => {
            let read = CancellationToken::new();
            lifecycle.spawn("access log", log.follow(served, read.clone()));
            read
        }
        None => served,
    };
    let agent = Agent { keys, routing, traffic, mesh_port: config.mesh_port };
    lifecycle.spawn("agent", node::agent::keep(config.node_dir, agent, all_read));
    lifecycle.run(ending.limit()).await
}

/// The link and everything behind it.
struct Agent {
    keys: Keys,
    routing: Arc<Routing>,
    traffic: Reports,
    mesh_port: u16,
}

impl node::agent::Agent for Agent {
    const FAILED: &'static str = "no link to the control plane is possible; routes are served as they were";

    async fn run(
        &mut self,
        identity: NodeIdentity,
        keys: KeyWatch,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        if let Some(key) = self.keys.of(Some(&identity)) {
            let unlocking = Arc::clone(&self.routing);
            tokio::task::spawn_blocking(move || unlocking.unlock(key)).await??;
        }
        let jobs = JobList::default();
        let (known, of_hello) = (jobs.clone(), Arc::clone(&self.routing));
        let mesh_port = self.mesh_port;
        let (link, handle, events) = Link::new(LinkConfig {
            identity,
            agent: AgentKind::Proxy,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            root_pem: None,
            hello: Box::new(move || Hello {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                generation: of_hello.generation(),
                jobs: known.ids(),
                build_slots: 0,
                host: HostFacts {
                    engine: Some(of_hello.engine().to_owned()),
                    proxy_port: Some(mesh_port),
                    ..node::facts::host_facts()
                },
            }),
            timing: Timing::default(),
        })?;
        let sync = Sync::new(handle.clone(), Arc::clone(&self.routing), Jobs::new(handle.clone(), &jobs));
        let (sealing, routing) = (self.keys.clone(), Arc::clone(&self.routing));
        let seal_anew = |key: &ApiKey| {
            // A file, as small as the table: nothing waits for it but the next table.
            if let Some(key) = sealing.of_key(Some(key))
                && let Err(error) = routing.unlock(key)
            {
                warn!(error = format!("{error:#}"), "the routes on disk are not sealed with the new key yet");
            }
        };
        tokio::select! {
            ended = self.traffic.beside(link, &handle, sync.run(events, stop.clone()), stop) => ended,
            never = handle.follow(keys, seal_anew) => match never {},
        }
    }
}

/// `/health` and `/metrics` on the address that the setting `key` names. Routes are served whether or not this
/// succeeds.
pub(crate) async fn serve_status(
    key: &'static str,
    address: SocketAddr,
    router: axum::Router,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listener = loop {
        match listen_early(key, address) {
            Ok(listener) => break listener,
            Err(error) => warn!(%error, "no health page yet"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(MESH_RETRY)).await.is_none() {
            return Ok(());
        }
    };
    info!(%address, "health and metrics");
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await?;
    Ok(())
}

/// A folder for keys: made for the owner alone, and closed to others if it was not.
fn private_folder(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let mode = path.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & 0o700))?;
    }
    Ok(())
}
