//! SQL of nodes, join tokens and agents.

pub mod checks;
pub mod health;
pub mod instances;
pub mod keys;
pub mod labels;
pub mod numbers;
pub mod storage;
pub mod tokens;

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};

use chrono::{DateTime, Utc};
use protocol::identity::{AgentKind, Role};
use protocol::ids::NodeId;
use protocol::labels::Labels;
use protocol::report::{Hello, HostFacts};
use protocol::spec::Generation;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::health::{Health, clock};
use super::ports::worker_address;
use super::{Agent, Node, NodeKey, Origin, Status, capabilities, inet, roles, v4, words};
use crate::generations::Consumer;
use crate::http::page::PageQuery;
use crate::{images, routes};

/// A node to be.
#[derive(Debug)]
pub struct NewNode<'a> {
    pub id: NodeId,
    pub name: &'a str,
    pub roles: &'a [Role],
    pub origin: Origin,
    pub mesh_address: Ipv4Addr,
    pub public_key: &'a str,
    pub endpoint: Option<String>,
    /// Added to those that it has.
    pub labels: &'a Labels,
    /// In the place of those that the configuration set before.
    pub declared_labels: &'a Labels,
    pub zone: Option<&'a str>,
}

/// What the hub and the mesh need of a node.
#[derive(Debug, Clone)]
pub struct Known {
    pub id: NodeId,
    pub name: String,
    pub roles: Vec<Role>,
    pub origin: Origin,
    pub mesh_address: Ipv4Addr,
    /// Where its worker hands out images and takes calls.
    pub worker_address: SocketAddr,
    pub public_key: String,
    /// The key by which the configuration names it. The node's own may have been rotated since.
    pub declared_key: Option<String>,
    pub endpoint: Option<String>,
    pub labels: Labels,
    pub declared_labels: Labels,
    pub zone: Option<String>,
    /// Sealed.
    pub signing_key: Option<Vec<u8>>,
    /// Asks the host for another key.
    pub rotation: Option<Uuid>,
    /// Its keys are refused, and nobody keeps a tunnel to it.
    pub revoked: bool,
}

/// Makes this transaction the only one that hands out addresses and names.
pub async fn lock_addresses(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtext('wisehosting mesh addresses'))")
        .execute(conn)
        .await?;
    Ok(())
}

/// Addresses of all nodes that are not removed.
pub async fn addresses(conn: &mut PgConnection) -> sqlx::Result<BTreeSet<Ipv4Addr>> {
    let found = sqlx::query_scalar!("select mesh_address from nodes where removed_at is null")
        .fetch_all(conn)
        .await?;
    Ok(found.into_iter().map(v4).collect())
}

pub async fn insert(conn: &mut PgConnection, node: &NewNode<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into nodes (id, name, roles, origin, mesh_address, public_key, endpoint, labels, declared_labels, zone)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        node.id as _,
        node.name,
        &words(node.roles),
        node.origin as _,
        inet(node.mesh_address),
        node.public_key,
        node.endpoint,
        Json(node.labels) as _,
        Json(node.declared_labels) as _,
        node.zone
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Sets what may change without the node being another one.
pub async fn update(conn: &mut PgConnection, node: &NewNode<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "update nodes set name = $2, roles = $3, origin = $4, mesh_address = $5, public_key = $6, endpoint = $7,
                public_key_since = case when public_key = $6 then public_key_since else now() end,
                revoked_at = case when public_key = $6 then revoked_at end,
                labels = labels || $8, declared_labels = $9, zone = $10
         where id = $1",
        node.id as _,
        node.name,
        &words(node.roles),
        node.origin as _,
        inet(node.mesh_address),
        node.public_key,
        node.endpoint,
        Json(node.labels) as _,
        Json(node.declared_labels) as _,
        node.zone
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes the key by which the configuration names the node.
pub async fn set_declared_key(conn: &mut PgConnection, id: NodeId, key: &str) -> sqlx::Result<()> {
    sqlx::query!("update nodes set declared_key = $2 where id = $1", id as _, key).execute(conn).await?;
    Ok(())
}

pub async fn set_endpoint(conn: &mut PgConnection, id: NodeId, endpoint: &str) -> sqlx::Result<()> {
    sqlx::query!("update nodes set endpoint = $2 where id = $1", id as _, endpoint).execute(conn).await?;
    Ok(())
}

/// All nodes that are not removed, by name.
pub async fn all(conn: &mut PgConnection) -> sqlx::Result<Vec<Known>> {
    let rows = sqlx::query!(
        r#"select id, name, roles, origin as "origin: Origin", mesh_address, public_key, declared_key, endpoint,
                  labels as "labels: Json<Labels>", declared_labels as "declared_labels: Json<Labels>", zone,
                  signing_key, rotation, revoked_at is not null as "revoked!",
                  (host ->> 'worker_port')::int as worker_port
           from nodes where removed_at is null order by name"#
    )
    .fetch_all(conn)
    .await?;
    let known = rows.into_iter().map(|row| Known {
        id: row.id,
        name: row.name,
        roles: roles(&row.roles),
        origin: row.origin,
        mesh_address: v4(row.mesh_address),
        worker_address: worker_address(row.mesh_address, row.worker_port),
        public_key: row.public_key,
        declared_key: row.declared_key,
        endpoint: row.endpoint,
        labels: row.labels.0,
        declared_labels: row.declared_labels.0,
        zone: row.zone,
        signing_key: row.signing_key,
        rotation: row.rotation,
        revoked: row.revoked,
    });
    Ok(known.collect())
}

/// The node `id`, unless it is removed.
pub async fn known(conn: &mut PgConnection, id: NodeId) -> sqlx::Result<Option<Known>> {
    let row = sqlx::query!(
        r#"select id, name, roles, origin as "origin: Origin", mesh_address, public_key, declared_key, endpoint,
                  labels as "labels: Json<Labels>", declared_labels as "declared_labels: Json<Labels>", zone,
                  signing_key, rotation, revoked_at is not null as "revoked!",
                  (host ->> 'worker_port')::int as worker_port
           from nodes where id = $1 and removed_at is null"#,
        id as _
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Known {
        id: row.id,
        name: row.name,
        roles: roles(&row.roles),
        origin: row.origin,
        mesh_address: v4(row.mesh_address),
        worker_address: worker_address(row.mesh_address, row.worker_port),
        public_key: row.public_key,
        declared_key: row.declared_key,
        endpoint: row.endpoint,
        labels: row.labels.0,
        declared_labels: row.declared_labels.0,
        zone: row.zone,
        signing_key: row.signing_key,
        rotation: row.rotation,
        revoked: row.revoked,
    }))
}

/// Takes the node out. Its row stays for history; its name, key and address are free again.
pub async fn remove(conn: &mut PgConnection, id: NodeId) -> sqlx::Result<()> {
    sqlx::query!(
        "update nodes set removed_at = now(), api_key_digest = null, signing_key = null, rotation = null,
                next_key_digest = null, next_signing_key = null, former_key_digest = null, former_signing_key = null,
                status = 'offline', status_since = now(), missing_since = coalesce(missing_since, now())
         where id = $1",
        id as _
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("delete from agents where node_id = $1", id as _).execute(&mut *conn).await?;
    sqlx::query!("delete from node_storage where node_id = $1", id as _).execute(&mut *conn).await?;
    sqlx::query!("delete from node_images where node_id = $1", id as _).execute(&mut *conn).await?;
    sqlx::query!("delete from image_orders where node_id = $1", id as _).execute(&mut *conn).await?;
    let consumer = Consumer::Worker(id).to_string();
    sqlx::query!("delete from generations where consumer = $1", consumer).execute(conn).await?;
    Ok(())
}

/// Notes that an agent exists and which version it is.
pub async fn note_agent(
    conn: &mut PgConnection,
    id: NodeId,
    kind: AgentKind,
    version: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into agents (node_id, kind, version, last_seen_at) values ($1, $2, $3, now())
         on conflict (node_id, kind) do update set version = excluded.version, last_seen_at = now()",
        id as _,
        kind as _,
        version
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes the agent's `hello` in: it is connected to `replica`, has these slots, and its host is what it says.
pub async fn agent_connected(
    conn: &mut PgConnection,
    id: NodeId,
    kind: AgentKind,
    replica: Uuid,
    hello: &Hello,
) -> sqlx::Result<()> {
    // What is on the agent's disk is in force. A number from before a database was restored says nothing.
    sqlx::query!(
        "insert into agents as old (node_id, kind, version, build_slots, connected_to, connected_at, last_seen_at,
                                    applied_generation)
         select $1, $2, $3, $4, $5, now(), now(),
                case when $6 <= coalesce((select generation from generations where consumer = $7), 0) then $6 else 0 end
         on conflict (node_id, kind) do update
         set version = excluded.version, build_slots = excluded.build_slots,
             connected_to = excluded.connected_to, connected_at = now(), last_seen_at = now(),
             applied_generation = excluded.applied_generation, refusal = null, refused_at = null",
        id as _,
        kind as _,
        hello.version,
        i32::try_from(hello.build_slots).unwrap_or(i32::MAX),
        replica,
        hello.generation,
        Consumer::of(id, kind).to_string()
    )
    .execute(&mut *conn)
    .await?;
    health::note_host(conn, id, &hello.host).await
}

/// The agent's connection to `replica` ended. A newer connection elsewhere is left alone.
pub async fn agent_disconnected(
    conn: &mut PgConnection,
    id: NodeId,
    kind: AgentKind,
    replica: Uuid,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update agents set connected_to = null, last_seen_at = now()
         where node_id = $1 and kind = $2 and connected_to = $3",
        id as _,
        kind as _,
        replica
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(Debug)]
struct NodeRow {
    id: NodeId,
    name: String,
    roles: Vec<String>,
    origin: Origin,
    mesh_address: ipnet::IpNet,
    public_key: String,
    endpoint: Option<String>,
    status: Status,
    status_since: DateTime<Utc>,
    last_seen_at: Option<DateTime<Utc>>,
    missing_since: Option<DateTime<Utc>>,
    check_failures: i32,
    checked_at: Option<DateTime<Utc>>,
    next_check_at: Option<DateTime<Utc>>,
    check_error: Option<String>,
    host: Json<HostFacts>,
    labels: Json<Labels>,
    declared_labels: Json<Labels>,
    zone: Option<String>,
    instances: i64,
    apps: i64,
    cordoned_at: Option<DateTime<Utc>>,
    rtt_us: Option<i64>,
    created_at: DateTime<Utc>,
    key_changed_at: Option<DateTime<Utc>>,
    rotation_asked_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

impl NodeRow {
    fn health(&self, agents: &[Agent]) -> Health {
        let newest = agents.iter().max_by_key(|agent| agent.clock_measured_at);
        Health {
            missing_since: self.missing_since,
            failures: self.check_failures,
            checked_at: self.checked_at,
            next_check_at: self.next_check_at,
            error: self.check_error.clone(),
            clock_offset_ms: newest.and_then(|agent| agent.clock_offset_ms),
            clock_measured_at: newest.and_then(|agent| agent.clock_measured_at),
        }
    }

    /// Without what other tables know of it.
    fn node(self, agents: Vec<Agent>, routes: i64) -> Node {
        let health = self.health(&agents);
        let mut warnings = clock::warnings(health.clock_offset_ms, &agents);
        warnings.extend(routes::crowded(self.host.engine.as_deref(), routes));
        Node {
            capabilities: capabilities::of(&roles(&self.roles), &self.host, health.clock_offset_ms),
            warnings,
            health,
            declared_labels: self.declared_labels.keys().cloned().collect(),
            labels: self.labels.0.into_iter().chain(self.declared_labels.0).collect(),
            zone: self.zone,
            id: self.id,
            name: self.name,
            roles: roles(&self.roles),
            origin: self.origin,
            mesh_address: v4(self.mesh_address),
            public_key: self.public_key,
            endpoint: self.endpoint,
            status: self.status,
            status_since: self.status_since,
            last_seen_at: self.last_seen_at,
            agents,
            host: self.host.0,
            instances: self.instances,
            apps: self.apps,
            cordoned_at: self.cordoned_at,
            #[expect(clippy::cast_precision_loss, reason = "no packet takes 2^52 microseconds")]
            rtt_ms: self.rtt_us.map(|us| us as f64 / 1000.0),
            numbers: None,
            images: None,
            key: NodeKey {
                changed_at: self.key_changed_at,
                rotation_asked_at: self.rotation_asked_at,
                revoked_at: self.revoked_at,
            },
            created_at: self.created_at,
        }
    }
}

/// One page of the nodes, or the one that `only` names by id or name.
pub async fn list(conn: &mut PgConnection, page: &PageQuery, only: Option<&str>) -> sqlx::Result<Vec<Node>> {
    let rows = sqlx::query_as!(
        NodeRow,
        r#"select id, name, roles, origin as "origin: Origin", mesh_address, public_key, endpoint,
                  status as "status: Status", status_since,
                  greatest(nodes.last_seen_at, (select max(agents.last_seen_at) from agents where agents.node_id = nodes.id))
                      as last_seen_at,
                  missing_since, check_failures, checked_at, next_check_at, check_error,
                  host as "host: Json<HostFacts>", labels as "labels: Json<Labels>",
                  declared_labels as "declared_labels: Json<Labels>", zone,
                  (select count(*) from instances where instances.node_id = nodes.id and wanted) as "instances!",
                  (select count(distinct app_id) from instances where instances.node_id = nodes.id and wanted)
                      as "apps!",
                  cordoned_at, rtt_us as "rtt_us?", created_at, key_changed_at, rotation_asked_at, revoked_at
           from nodes
           -- What the control planes' own mesh agents measured lately.
           left join (
               select peer ->> 'public_key' as peer_key, min((peer -> 'probes' ->> 'rtt_us')::bigint) as rtt_us
               from agents join nodes as planes on planes.id = agents.node_id and 'control-plane' = any(planes.roles)
               cross join jsonb_array_elements(report -> 'peers') as peer
               where kind = 'mesh' and planes.removed_at is null and reported_at > now() - interval '2 minutes'
               group by 1
           ) as measured on peer_key = nodes.public_key
           where removed_at is null and ($1::uuid is null or id > $1)
             and ($3::text is null or name = $3 or id::text = $3)
           order by id limit $2"#,
        page.cursor,
        page.limit() + 1,
        only
    )
    .fetch_all(&mut *conn)
    .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id.0).collect();
    let mut agents = agents_of(conn, &ids).await?;
    let mut images = images::store::of_nodes(conn, &ids).await?;
    let mut newest = numbers::newest(conn, &ids).await?;
    let has_traefik = rows.iter().any(|row| row.host.engine.as_deref() == Some("traefik"));
    let routes = if has_traefik { routes::store::count(conn).await? } else { 0 };
    let nodes = rows.into_iter().map(|row| {
        let (agents, images, numbers) =
            (agents.remove(&row.id).unwrap_or_default(), images.remove(&row.id), newest.remove(&row.id));
        Node { numbers, images, ..row.node(agents, routes) }
    });
    Ok(nodes.collect())
}

async fn agents_of(conn: &mut PgConnection, nodes: &[Uuid]) -> sqlx::Result<HashMap<NodeId, Vec<Agent>>> {
    let rows = sqlx::query!(
        r#"select node_id, kind, version, connected_to is not null as "connected!", last_seen_at,
                  coalesce(generation, 0) as "generation!", applied_generation, clock_offset_ms, clock_measured_at, refusal, refused_at
           from agents
           left join generations on consumer = case kind
               when 'mesh' then 'mesh' when 'proxy' then 'routes' when 'ingress' then 'routes' else 'worker:' || node_id end
           where node_id = any($1) order by kind"#,
        nodes
    )
    .fetch_all(conn)
    .await?;
    let mut found: HashMap<NodeId, Vec<Agent>> = HashMap::new();
    for row in rows {
        found.entry(row.node_id).or_default().push(Agent {
            kind: row.kind,
            version: row.version,
            connected: row.connected,
            last_seen_at: row.last_seen_at,
            generation: row.generation,
            applied_generation: row.applied_generation,
            clock_offset_ms: row.clock_offset_ms,
            clock_measured_at: row.clock_measured_at,
            refusal: row.refusal,
            refused_at: row.refused_at,
        });
    }
    Ok(found)
}

/// The hosts whose proxy, or worker's ingress, is connected, each with the generation of the routes that it has in force.
pub async fn proxies(conn: &mut PgConnection) -> sqlx::Result<Vec<(String, Generation)>> {
    let rows = sqlx::query!(
        "select nodes.name, applied_generation from agents join nodes on nodes.id = agents.node_id
         where (agents.kind = 'proxy' and 'proxy' = any(nodes.roles)
                or agents.kind = 'ingress' and 'worker' = any(nodes.roles))
           and nodes.removed_at is null and connected_to is not null
         order by agents.kind = 'ingress', nodes.name"
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.name, row.applied_generation)).collect())
}

/// Names of nodes with `role` whose connected agent of `kind` has not `generation` in force yet.
pub async fn behind(
    conn: &mut PgConnection,
    kind: AgentKind,
    role: Role,
    generation: Generation,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "select nodes.name from agents join nodes on nodes.id = agents.node_id
         where agents.kind = $1 and $2 = any(nodes.roles) and nodes.removed_at is null
           and connected_to is not null and applied_generation < $3
         order by nodes.name",
        kind.as_str(),
        role.as_str(),
        generation
    )
    .fetch_all(conn)
    .await
}

/// How many instances should run on the node.
pub async fn wanted_instances(conn: &mut PgConnection, id: NodeId) -> sqlx::Result<i64> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from instances where node_id = $1 and wanted"#,
        id as _
    );
    count.fetch_one(conn).await
}

/// Forgets the instances that only wait for a worker that will not report any more.
pub async fn forget_instances(conn: &mut PgConnection, id: NodeId) -> sqlx::Result<()> {
    sqlx::query!("delete from instances where node_id = $1 and not exclusive", id as _)
        .execute(&mut *conn)
        .await?;
    // What must not run twice is waited for, until its lease is over: see `healing`.
    sqlx::query!("update instances set wanted = false, in_rotation = false where node_id = $1", id as _)
        .execute(conn)
        .await?;
    Ok(())
}
