//! Every agent that is connected here gets its newest desired state.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::Utc;
use daemon::reconcile::Reconciler;
use protocol::identity::AgentKind;
use protocol::ids::NodeId;
use protocol::spec::{Generation, MeshSpec, PrivateSpec, ProxySpec, Spec, Versioned};
use sqlx::PgConnection;
use tracing::debug;

use super::dispatch_network;
use crate::app::{App, AppState};
use crate::generations::{self, Consumer};
use crate::hub::Key;
use crate::plan::worker::{Holder, Images, Wanted};
use crate::variables::predefined::{self, Place};
use crate::vault::{Purpose, Vault};
use crate::{apps, certificates, front, instances, mesh, network, nodes, plan, routes, streams, tombstones};

/// However long a table takes to make, a change waits no longer than this.
const LONGEST_REST: Duration = Duration::from_secs(1);

pub struct DispatchSpecs {
    app: AppState,
    part: Part,
    /// How long the last pass was, if it went well.
    took: Duration,
}

/// The tables of routes of a large fleet take long to make, and nothing else has to wait for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Routes,
    Others,
}

impl DispatchSpecs {
    pub fn new(app: AppState, part: Part) -> Self {
        Self { app, part, took: Duration::ZERO }
    }
}

impl Reconciler for DispatchSpecs {
    fn name(&self) -> &'static str {
        match self.part {
            Part::Routes => "dispatch routes",
            Part::Others => "dispatch specs",
        }
    }

    /// As long as a table took to make: the changes of that time are in the next one together.
    fn rest(&self) -> Duration {
        if self.part == Part::Routes { self.took } else { Duration::ZERO }
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        self.took = Duration::ZERO;
        self.dispatch().await?;
        self.took = began.elapsed().min(LONGEST_REST);
        Ok(())
    }
}

impl DispatchSpecs {
    async fn dispatch(&self) -> anyhow::Result<()> {
        let app = &self.app;
        let current = {
            let mut conn = app.db.acquire().await?;
            generations::all(&mut conn).await?
        };
        let mut behind: HashMap<Consumer, Vec<Key>> = HashMap::new();
        let mut network_only = Vec::new();
        for key in app.hub.connected() {
            let consumer = consumer(key);
            if (consumer == Consumer::Routes) != (self.part == Part::Routes) {
                continue;
            }
            let current = current.get(&consumer.to_string());
            match current.and_then(|current| current.only_network_since) {
                _ if current.is_some_and(|current| !app.hub.lacks(key, current.generation)) => {}
                Some(from) if app.hub.lacks_only_network(key, from) => network_only.push(key),
                _ => behind.entry(consumer).or_default().push(key),
            }
        }
        // A state that cannot be made must not hold up the others.
        let mut failed = dispatch_network::send(app, &network_only).await;
        for (consumer, keys) in behind {
            if let Err(error) = send(app, consumer, &keys).await {
                failed = Err(error.context(format!("desired state of {consumer}")));
            }
        }
        failed
    }
}

/// Sends every agent what it lacks.
#[cfg(test)]
pub async fn all(app: &AppState) -> anyhow::Result<()> {
    for part in [Part::Others, Part::Routes] {
        DispatchSpecs::new(app.clone(), part).pass().await?;
    }
    Ok(())
}

/// Sends one agent its desired state, if it has another one.
pub async fn to_agent(app: &AppState, key: Key) -> anyhow::Result<()> {
    send(app, consumer(key), &[key]).await
}

fn consumer(key: Key) -> Consumer {
    Consumer::of(key.node, key.kind)
}

/// Reads the generation and the rows in one snapshot, so that what is called generation 7 is generation 7.
async fn send(app: &AppState, consumer: Consumer, keys: &[Key]) -> anyhow::Result<()> {
    let mut tx = app.db.begin().await?;
    sqlx::query!("set transaction isolation level repeatable read").execute(&mut *tx).await?;
    let generation = generations::current(&mut tx, consumer).await?;
    if generation == 0 {
        tx.rollback().await?;
        return begin(app, consumer).await;
    }
    if keys.iter().any(|key| app.hub.lacks(*key, generation)) {
        let specs = specs(app, &mut tx, consumer, keys, generation).await?;
        tx.commit().await?;
        for (key, spec) in specs {
            debug!(node.id = %key.node, agent = %key.kind, generation, "desired state sent");
            app.hub.send_spec(key, spec);
        }
    }
    Ok(())
}

/// Nothing was ever decided for this consumer: its first state is the empty one. Raising it wakes the dispatcher.
async fn begin(app: &AppState, consumer: Consumer) -> anyhow::Result<()> {
    let mut tx = app.db.begin().await?;
    if generations::current(&mut tx, consumer).await? == 0 {
        generations::raise(&mut tx, consumer).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn specs(
    app: &AppState,
    conn: &mut PgConnection,
    consumer: Consumer,
    keys: &[Key],
    generation: Generation,
) -> anyhow::Result<Vec<(Key, Versioned<Spec>)>> {
    let spec_of: Box<dyn Fn(Key) -> Spec + Send> = match consumer {
        Consumer::Mesh => {
            let all = nodes::store::all(conn).await?;
            let ways = mesh::store::ways(conn).await?;
            let prefix = Some(app.config.mesh.cidr.prefix_len());
            Box::new(move |key| Spec::Mesh(MeshSpec { prefix, ..plan::mesh::spec(key.node, &all, &ways) }))
        }
        Consumer::Routes => {
            let spec = proxy_spec(app, conn).await?;
            let own = worker_tables(conn, keys).await?;
            Box::new(move |key| match own.get(&key) {
                Some(own) => Spec::Proxy(own.clone()),
                None => Spec::Proxy(spec.clone()),
            })
        }
        Consumer::Worker(node) => {
            let spec = worker_spec(app, conn, node).await?;
            Box::new(move |_| Spec::Worker(spec.clone()))
        }
    };
    Ok(keys.iter().map(|key| (*key, Versioned { generation, spec: spec_of(*key) })).collect())
}

/// What the workers among `keys` answer for by themselves.
async fn worker_tables(conn: &mut PgConnection, keys: &[Key]) -> sqlx::Result<HashMap<Key, ProxySpec>> {
    let mut tables = HashMap::new();
    for key in keys.iter().filter(|key| key.kind == AgentKind::Ingress) {
        tables.insert(*key, routes::of_worker(conn, key.node).await?.unwrap_or_default());
    }
    Ok(tables)
}

/// What every proxy serves.
pub async fn proxy_spec(app: &AppState, conn: &mut PgConnection) -> anyhow::Result<ProxySpec> {
    let front = front::store::find(conn).await?;
    let served = routes::store::served(conn).await?;
    let certificates = certificates::store::issued(conn, &app.vault).await?;
    let challenges = certificates::store::challenges(conn).await?;
    let mut spec =
        plan::routes::spec(front.as_ref(), &served, certificates, challenges, app.config.acme.is_some());
    plan::resolvers::put(&mut spec, routes::store::resolvers(conn).await?);
    let brought = certificates::imports::store::names(conn).await?;
    let hosts = spec.routes.iter().flat_map(|route| &route.hosts);
    spec.refused = certificates::imports::cover::strangers(hosts, &brought, &spec.certificates);
    let (published, udp) = streams::store::published(conn).await?;
    spec.streams = plan::streams::streams(published, &served, &udp);
    let alpn_challenges = certificates::store::alpn_challenges(conn).await?;
    Ok(protocol::spec::ProxySpec { alpn_challenges, ..spec })
}

async fn worker_spec(
    app: &AppState,
    conn: &mut PgConnection,
    id: NodeId,
) -> anyhow::Result<protocol::spec::WorkerSpec> {
    let node = nodes::store::known(conn, id).await?.context("the node was removed")?;
    let rows = instances::store::wanted_on(conn, id).await?;
    let mut wanted = Vec::with_capacity(rows.len());
    for row in rows {
        let env = env(&app.vault, &row)?;
        let predefined = predefined(&row, &node, apps::api::scheme(app));
        wanted.push(Wanted {
            id: row.id,
            app_id: row.app_id,
            app: row.app,
            project: row.project_id,
            release: row.release,
            image_id: row.image_id,
            image_reference: row.image_reference,
            settings: row.settings.0,
            env,
            predefined,
            host_port: u16::try_from(row.host_port).context("a host port out of range")?,
            udp: row.publishes_udp,
            exclusive: row.exclusive,
            task: row.task,
        });
    }
    let images = images(conn, id).await?;
    let needed = wanted.iter().map(|wanted| &wanted.image_id);
    let holders = holders(app, conn, needed.chain(images.hold.iter().map(|(id, _)| id))).await?;
    let private = Some(private_spec(conn, id).await?);
    let spec = plan::worker::spec(id, node.mesh_address, wanted, images, &holders, Utc::now());
    Ok(protocol::spec::WorkerSpec { private, ..spec })
}

/// What the containers on the node reach by name.
async fn private_spec(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<PrivateSpec> {
    let viewers = network::store::viewers(conn, node).await?;
    let projects: Vec<_> = viewers.iter().map(|viewer| viewer.id).collect();
    let reached = network::store::reached(conn, &projects).await?;
    let serving = network::store::serving(conn, reached.iter().map(|one| one.app_id)).await?;
    Ok(plan::network::spec(viewers, &reached, &serving))
}

async fn images(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<Images> {
    let caches = tombstones::store::caches_to_remove(conn, node).await?;
    let copies = crate::images::registry::store::orders(conn, node).await?;
    let mut images = Images { caches, copies, ..Images::default() };
    for order in crate::images::store::ordered(conn, node).await? {
        match order.hold {
            Some(reference) => images.hold.push((order.image_id, reference)),
            None => images.remove.push(order.image_id),
        }
    }
    Ok(images)
}

fn env(vault: &Vault, row: &instances::store::WantedRow) -> anyhow::Result<BTreeMap<String, String>> {
    let plain = vault.open(Purpose::Variables, &format!("app-variables:{}", row.app_id), &row.variables)?;
    serde_json::from_slice(&plain)
        .with_context(|| format!("variables of {} release {}", row.app, row.release))
}

/// What the platform tells the instance.
fn predefined(
    row: &instances::store::WantedRow,
    node: &nodes::store::Known,
    scheme: &str,
) -> BTreeMap<String, String> {
    let (app, project, host) = (row.app.clone(), row.project.clone(), row.host.clone());
    let place = Place { app, project, host, port: row.zone_port };
    let mut told = place.variables(scheme);
    predefined::add_release(&mut told, row.release, row.commit_id.as_deref(), row.source.as_ref());
    predefined::add_instance(&mut told, row.id, &node.name, &node.labels);
    told
}

/// Workers that have one of `images`, and the keys to ask them with.
pub(crate) async fn holders(
    app: &App,
    conn: &mut PgConnection,
    images: impl Iterator<Item = &String>,
) -> anyhow::Result<Vec<Holder>> {
    let mut images: Vec<String> = images.cloned().collect();
    images.sort_unstable();
    images.dedup();
    let mut holders = Vec::new();
    for row in instances::store::image_holders(conn, &images).await? {
        let Some(sealed) = &row.signing_key else { continue };
        holders.push(Holder {
            image_id: row.image_id,
            node: row.node,
            address: nodes::ports::worker_address(row.address, row.worker_port),
            online: row.online,
            key: nodes::signing::open(&app.vault, row.node, sealed)?,
        });
    }
    Ok(holders)
}
