//! Gathers what there is to know about a host name: from the tables, from public DNS, from its ports and over the mesh.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use daemon::address::is_public;
use futures_util::future::join_all;
use protocol::ids::{NodeId, OrganizationId};
use protocol::spec::{Generation, ProxySpec};
use rustls::RootCertStore;
use tokio::net::TcpStream;

use super::store::{self, ProxyRow, TargetRow};
use super::{Answer, Door, Evidence, Knock, Name, Proxy, Route, Target, knock};
use crate::app::AppState;
use crate::certificates::imports::cover::wildcard_of;
use crate::dns::addresses;
use crate::generations::{self, Consumer};
use crate::nodes::v4;
use crate::reconcile::dispatch_specs::proxy_spec;
use crate::routes;

/// Addresses that are asked.
const DOORS: usize = 6;
/// For a connection over the mesh.
const REACH: Duration = Duration::from_secs(3);
/// For a route table, on a busy machine.
const ON_ITS_WAY: Duration = Duration::from_secs(2);

/// What can be found out about `host` within about ten seconds.
pub(super) async fn gather(
    app: &AppState,
    organization: OrganizationId,
    host: &str,
    roots: &Arc<RootCertStore>,
) -> anyhow::Result<Evidence> {
    let known = known(app, organization, host).await?;
    let (dns, targets) = tokio::join!(dns(app, host), reach_all(known.targets));
    let doors = doors(host, &known.name, &dns, &known.proxies, roots).await;
    let proxies = settled(app, known.proxies, worker(&known.name), known.generation).await?;
    Ok(Evidence {
        host: host.to_owned(),
        now: Utc::now(),
        name: known.name,
        dns,
        doors,
        proxies,
        generation: known.generation,
        acme: app.config.acme.is_some(),
        certificate: known.certificate,
        resolver: known.resolver,
        route: known.route,
        targets,
    })
}

async fn dns(app: &AppState, host: &str) -> Vec<Answer> {
    let answers = addresses::ask(&app.config.dns.addresses(), host).await;
    answers.into_iter().map(|(resolver, result)| Answer { resolver, result }).collect()
}

/// The proxies, once a table of a moment ago had its time to get to them: only those that do not take it are behind.
async fn settled(
    app: &AppState,
    first: Vec<Proxy>,
    worker: Option<NodeId>,
    generation: Generation,
) -> anyhow::Result<Vec<Proxy>> {
    let behind = |proxy: &Proxy| proxy.connected && proxy.applied < generation;
    if !first.iter().any(behind) {
        return Ok(first);
    }
    tokio::time::sleep(ON_ITS_WAY).await;
    let mut conn = app.db.acquire().await?;
    Ok(store::proxies(&mut conn, worker).await?.into_iter().map(Proxy::from).collect())
}

/// What the tables say, read at one moment.
struct Known {
    name: Name,
    proxies: Vec<Proxy>,
    generation: Generation,
    certificate: Option<super::Certificate>,
    resolver: Option<String>,
    route: Option<Route>,
    targets: Vec<TargetRow>,
}

async fn known(app: &AppState, organization: OrganizationId, host: &str) -> anyhow::Result<Known> {
    let mut tx = app.db.begin().await?;
    let name = store::name(&mut tx, organization, host).await?;
    let worker = worker(&name);
    let proxies = store::proxies(&mut tx, worker).await?.into_iter().map(Proxy::from).collect();
    let generation = generations::current(&mut tx, Consumer::Routes).await?;
    let (mut certificate, mut resolver, mut route, mut targets) = (None, None, None, Vec::new());
    if name != Name::Unknown {
        certificate = store::certificate(&mut tx, host).await?;
        resolver = store::resolver(&mut tx, host).await?;
        let spec = match worker {
            Some(worker) => routes::of_worker(&mut tx, worker).await?.unwrap_or_default(),
            None => proxy_spec(app, &mut tx).await?,
        };
        route = route_of(&spec, host);
    }
    if let Some(route) = &route {
        targets = store::targets(&mut tx, &route.app).await?;
    }
    Ok(Known { name, proxies, generation, certificate, resolver, route, targets })
}

/// Who answers instead of the proxies.
fn worker(name: &Name) -> Option<NodeId> {
    match name {
        Name::Direct { worker, .. } => worker.as_ref().map(|worker| worker.id),
        _ => None,
    }
}

/// The route that a request for `/` of the host takes.
fn route_of(spec: &ProxySpec, host: &str) -> Option<Route> {
    let of = |wanted: &str| {
        let fits = |route: &&Arc<protocol::spec::Route>| {
            route.path == "/" && route.hosts.iter().any(|host| host == wanted)
        };
        spec.routes.iter().find(fits)
    };
    let route = of(host).or_else(|| of(&wildcard_of(host)?))?;
    Some(Route {
        app: route.app.clone(),
        upstreams: route.upstreams.len(),
        unavailable: route.unavailable,
        maintenance: route.options.maintenance.is_some(),
    })
}

impl From<ProxyRow> for Proxy {
    fn from(row: ProxyRow) -> Self {
        let endpoint = row.endpoint.and_then(|endpoint| endpoint.parse::<SocketAddr>().ok());
        Self {
            name: row.name,
            address: endpoint.map(|endpoint| endpoint.ip()),
            listens: row.listens,
            connected: row.connected,
            applied: row.applied,
        }
    }
}

/// Asks the addresses that DNS names. Whoever keeps the DNS chooses them, and the control plane stands inside the fleet's
/// networks: so only public ones are asked, and the proxies' own.
async fn doors(
    host: &str,
    name: &Name,
    dns: &[Answer],
    proxies: &[Proxy],
    roots: &Arc<RootCertStore>,
) -> Vec<Door> {
    let answers = dns.iter().filter_map(|answer| answer.result.as_ref().ok());
    let addresses: BTreeSet<IpAddr> = answers.flat_map(|answer| answer.addresses.iter().copied()).collect();
    let asked = addresses.into_iter().take(DOORS).map(async |address: IpAddr| {
        let ours = proxies.iter().any(|proxy| proxy.address == Some(address));
        if ours || is_public(address) {
            match name {
                // At 443 something in front of the worker answers like a proxy.
                Name::Direct { port, .. } if *port != 443 => knock::plain_door(host, address, *port).await,
                _ => knock::door(host, address, roots).await,
            }
        } else {
            Door { address, http: Knock::NotAsked, https: Knock::NotAsked }
        }
    });
    join_all(asked).await
}

pub(super) async fn reach_all(rows: Vec<TargetRow>) -> Vec<Target> {
    join_all(rows.into_iter().map(target)).await
}

async fn target(row: TargetRow) -> Target {
    let port = u16::try_from(row.port).unwrap_or_default();
    let started = Instant::now();
    let connected = tokio::time::timeout(REACH, TcpStream::connect((v4(row.address), port))).await;
    let reach = match connected {
        Ok(Ok(_)) => Ok(started.elapsed()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", REACH.as_secs())),
    };
    let failure = row.report.and_then(|report| report.0.failure);
    Target {
        node: row.node,
        state: row.state,
        in_rotation: row.in_rotation,
        failure: failure.map(|failure| (failure.message, failure.hint)),
        reach,
    }
}
