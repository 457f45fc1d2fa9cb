//! SQL of placement: what workers have to give, and what they take.

pub mod fleet;
pub mod moves;

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use protocol::ids::{DeploymentId, InstanceId, NodeId, ReleaseId};
use protocol::labels::Labels;
use protocol::report::HostFacts;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::config::Placement as Policy;
use crate::instances::store::image_holders;
use crate::plan::placement::{Amount, Candidate};

/// Makes this transaction the only one that places instances: what it reads of the workers' room holds until its end.
pub async fn lock(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtext('wisehosting placement'))").execute(conn).await?;
    Ok(())
}

/// Whose instances are to be placed.
#[derive(Debug)]
pub struct Sought<'a> {
    pub deployment: DeploymentId,
    /// The release whose instances in the table stay beside the new ones; none when all are replaced.
    pub staying: Option<ReleaseId>,
    /// The one of them that goes.
    pub replaced: Option<InstanceId>,
    pub image: &'a str,
}

/// All workers, by name.
pub async fn candidates(
    conn: &mut PgConnection,
    policy: &Policy,
    sought: &Sought<'_>,
) -> sqlx::Result<Vec<Candidate>> {
    let rows = sqlx::query!(
        r#"with held as (
               select node_id, array_agg(host_port) as ports,
                      count(*) filter (where wanted) as instances,
                      count(*) filter (where wanted and task is null
                          and (deployment_id = $1
                               or release_id = $2 and in_rotation and id is distinct from $3)) as own,
                      -- Until their worker says that they stopped; it tells of them for a while longer.
                      sum(memory_mb) filter (where wanted or state <> 'stopped') as memory_mb,
                      sum(cpu_millis) filter (where wanted or state <> 'stopped') as cpu_millis
               from instances group by node_id
           )
           select nodes.id as "id: NodeId", nodes.name, host - 'probe' - 'enforced' as "host!: Json<HostFacts>",
                  labels as "labels: Json<Labels>", declared_labels as "declared_labels: Json<Labels>",
                  takes_apps, max_instances, cordoned_at is not null as "cordoned!", coalesce(turn, 0) as "turn!",
                  agents.connected_to is not null as "online!", coalesce(ports, '{}') as "ports!",
                  coalesce(instances, 0) as "instances!", coalesce(own, 0) as "own!",
                  coalesce(memory_mb, 0) as "memory_mb!", coalesce(cpu_millis, 0) as "cpu_millis!"
           from nodes
           left join placement_turns on placement_turns.node_id = nodes.id
           left join agents on agents.node_id = nodes.id and agents.kind = 'worker'
           left join held on held.node_id = nodes.id
           where removed_at is null and 'worker' = any(roles) order by nodes.name"#,
        sought.deployment as _,
        sought.staying as _,
        sought.replaced as _
    )
    .fetch_all(&mut *conn)
    .await?;
    let images = [sought.image.to_owned()];
    let holders: HashSet<NodeId> =
        image_holders(conn, &images).await?.into_iter().map(|row| row.node).collect();
    let count = |count: i64| usize::try_from(count).unwrap_or(usize::MAX);
    let candidates = rows.into_iter().map(|row| Candidate {
        online: row.online,
        takes_apps: row.takes_apps,
        cordoned: row.cordoned,
        max_instances: row.max_instances.and_then(|most| usize::try_from(most).ok()),
        labels: row.labels.0.into_iter().chain(row.declared_labels.0).collect(),
        capacity: policy.capacity(&row.host),
        reserved: amount(row.cpu_millis, row.memory_mb),
        of_release: count(row.own),
        instances: count(row.instances),
        has_image: holders.contains(&row.id),
        used_ports: row.ports.into_iter().collect(),
        turn: row.turn,
        ..Candidate::new(row.id, row.name)
    });
    Ok(candidates.collect())
}

fn amount(cpu_millis: i64, memory_mb: i64) -> Amount {
    let positive = |number: i64| u64::try_from(number).unwrap_or_default();
    Amount { cpu_millis: positive(cpu_millis), memory_mb: positive(memory_mb) }
}

/// The node was given an instance. The caller holds [`lock`].
pub async fn took_turn(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into placement_turns (node_id, turn) select $1, coalesce(max(turn), 0) + 1 from placement_turns
         on conflict (node_id) do update set turn = excluded.turn",
        node as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A worker as it is asked for and filled.
#[derive(Debug)]
pub struct Row {
    pub id: NodeId,
    pub name: String,
    pub online: bool,
    pub takes_apps: bool,
    pub takes_builds: bool,
    pub max_instances: Option<i32>,
    pub cordoned_at: Option<DateTime<Utc>>,
    pub host: HostFacts,
    pub instances: i64,
    pub reserved: Amount,
}

/// All workers by name, or one.
pub async fn nodes(conn: &mut PgConnection, only: Option<NodeId>) -> sqlx::Result<Vec<Row>> {
    let rows = sqlx::query!(
        r#"select nodes.id as "id: NodeId", nodes.name, takes_apps, takes_builds, max_instances, cordoned_at,
                  host as "host: Json<HostFacts>",
                  exists (select from agents
                          where agents.node_id = nodes.id and kind = 'worker' and connected_to is not null) as "online!",
                  count(instances.id) as "instances!", coalesce(sum(memory_mb), 0) as "memory_mb!",
                  coalesce(sum(cpu_millis), 0) as "cpu_millis!"
           from nodes left join instances
                on instances.node_id = nodes.id and (wanted or state <> 'stopped')
           where removed_at is null and 'worker' = any(roles) and ($1::uuid is null or nodes.id = $1)
           group by nodes.id order by nodes.name"#,
        only as _
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(|row| Row {
        id: row.id,
        name: row.name,
        online: row.online,
        takes_apps: row.takes_apps,
        takes_builds: row.takes_builds,
        max_instances: row.max_instances,
        cordoned_at: row.cordoned_at,
        host: row.host.0,
        instances: row.instances,
        reserved: amount(row.cpu_millis, row.memory_mb),
    });
    Ok(rows.collect())
}

/// What the node takes from now on.
pub async fn set_node(
    conn: &mut PgConnection,
    id: NodeId,
    takes_apps: bool,
    takes_builds: bool,
    max_instances: Option<i32>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update nodes set takes_apps = $2, takes_builds = $3, max_instances = $4 where id = $1",
        id as _,
        takes_apps,
        takes_builds,
        max_instances
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Cordons the node, or takes that back. `false` when it was so already.
pub async fn cordon(conn: &mut PgConnection, id: NodeId, cordoned: bool) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update nodes set cordoned_at = case when $2 then now() end
         where id = $1 and (cordoned_at is not null) <> $2",
        id as _,
        cordoned
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}
