//! SQL of instances that are to be on another node.

use chrono::{DateTime, Utc};
use protocol::ids::{AppId, DeploymentId, InstanceId, NodeId};
use protocol::job::Failure;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::placement::moves::{Cause, MoveState, MoveView};

/// A move to be.
#[derive(Debug)]
pub struct New<'a> {
    pub instance: InstanceId,
    pub to: Option<NodeId>,
    pub cause: Cause,
    pub reason: &'a str,
    pub asked_by: &'a str,
}

/// Wants an instance that serves elsewhere. `false` when it does not serve, or has to move already.
pub async fn insert(conn: &mut PgConnection, new: &New<'_>) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into moves (id, instance_id, app_id, from_node_id, to_node_id, cause, reason, asked_by)
         select $1, id, app_id, node_id, $3, $4, $5, $6 from instances
         where id = $2 and wanted and in_rotation and task is null
         on conflict (instance_id) where state in ('waiting', 'moving') do nothing",
        Uuid::now_v7(),
        new.instance as _,
        new.to as _,
        new.cause as _,
        new.reason,
        new.asked_by
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Minutes until an instance that could not be moved is tried again: twice as many after each time, up to an hour.
const FIRST_PAUSE_MIN: i32 = 5;

/// Wants all instances that serve on nodes that are to be empty elsewhere, and those that could not be moved again after
/// their pause.
pub async fn want_drained(conn: &mut PgConnection) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "insert into moves (id, instance_id, app_id, from_node_id, cause, reason, asked_by)
         select gen_random_uuid(), instances.id, app_id, node_id, 'drain', nodes.name || ' is drained', started_by
         from drains join instances using (node_id) join nodes on nodes.id = node_id
         where finished_at is null and wanted and in_rotation and task is null
           and not exists (
               select from moves where instance_id = instances.id and state in ('waiting', 'moving'))
           and coalesce((
               select max(changed_at) + least(interval '1 hour', make_interval(mins => $1) * power(2, count(*) - 1))
               from moves where instance_id = instances.id and state = 'failed' and created_at >= started_at
           ), '-infinity') <= now()
         on conflict (instance_id) where state in ('waiting', 'moving') do nothing",
        FIRST_PAUSE_MIN
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// A move that is not over.
#[derive(Debug)]
pub struct Open {
    pub id: Uuid,
    pub instance: InstanceId,
    pub app: AppId,
    /// Name of the node that it leaves.
    pub from: String,
    pub to: Option<NodeId>,
    pub cause: Cause,
    pub reason: String,
    /// Why it waited when it was tried last.
    pub problem: Option<String>,
}

/// Moves that wait, away from nodes that are gone first, then the one that has not been tried for the longest time. A node
/// that is back, or whose worker is, keeps what it has.
pub async fn waiting(conn: &mut PgConnection, most: i64) -> sqlx::Result<Vec<Open>> {
    sqlx::query_as!(
        Open,
        r#"select moves.id, instance_id as "instance: InstanceId", app_id as "app: AppId", nodes.name as "from",
                  to_node_id as "to: NodeId", cause as "cause: Cause", reason, problem
           from moves join nodes on nodes.id = from_node_id
           where state = 'waiting' and (cause <> 'lost' or missing_since is not null and not exists (
               select from agents
               where agents.node_id = nodes.id and kind = 'worker' and connected_to is not null))
           order by cause = 'lost' desc, tried_at nulls first, moves.id limit $1"#,
        most
    )
    .fetch_all(conn)
    .await
}

/// Whether it waits still, as [`waiting`] has it. Until the end of the transaction nobody calls it off.
pub async fn is_due(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<bool> {
    let due = sqlx::query_scalar!(
        r#"select cause <> 'lost' or missing_since is not null and not exists (
                      select from agents
                      where agents.node_id = nodes.id and kind = 'worker' and connected_to is not null) as "due!"
           from moves join nodes on nodes.id = from_node_id
           where moves.id = $1 and state = 'waiting' for update of moves"#,
        id
    );
    Ok(due.fetch_optional(conn).await?.unwrap_or_default())
}

/// How many are under way, away from nodes that are gone or others.
pub async fn under_way(conn: &mut PgConnection, lost: bool) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from moves where state = 'moving' and (cause = 'lost') = $1"#,
        lost
    )
    .fetch_one(conn)
    .await
}

/// Whether the instance gets requests.
pub async fn serves(conn: &mut PgConnection, instance: InstanceId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from instances where id = $1 and wanted and in_rotation) as "serves!""#,
        instance as _
    )
    .fetch_one(conn)
    .await
}

/// Its deployment carries it out.
pub async fn begin(conn: &mut PgConnection, id: Uuid, deployment: DeploymentId) -> sqlx::Result<()> {
    sqlx::query!(
        "update moves set state = 'moving', deployment_id = $2, problem = null, changed_at = now() where id = $1",
        id,
        deployment as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// It was tried, and still waits for that.
pub async fn block(conn: &mut PgConnection, id: Uuid, problem: &str) -> sqlx::Result<()> {
    sqlx::query!("update moves set problem = $2, tried_at = now() where id = $1", id, problem)
        .execute(conn)
        .await?;
    Ok(())
}

/// It is over.
pub async fn end(
    conn: &mut PgConnection,
    id: Uuid,
    state: MoveState,
    problem: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update moves set state = $2, problem = $3, changed_at = now() where id = $1",
        id,
        state as _,
        problem
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A move whose deployment is over.
#[derive(Debug)]
pub struct Ended {
    pub id: Uuid,
    /// Its new instance serves.
    pub well: bool,
    pub number: Option<i32>,
    pub failure: Option<Json<Failure>>,
}

pub async fn ended(conn: &mut PgConnection) -> sqlx::Result<Vec<Ended>> {
    sqlx::query_as!(
        Ended,
        r#"select moves.id, coalesce(deployments.state in ('live', 'superseded'), false) as "well!",
                  deployments.number as "number?", failure as "failure?: Json<Failure>"
           from moves left join deployments on deployments.id = deployment_id
           where moves.state = 'moving'
             and (deployments.id is null or deployments.state not in ('queued', 'building', 'rolling-out'))"#
    )
    .fetch_all(conn)
    .await
}

/// Those that are not over and those of the last hour, or of one drain; the newest first.
pub async fn list(conn: &mut PgConnection, from: Option<NodeId>) -> sqlx::Result<Vec<MoveView>> {
    sqlx::query_as!(
        MoveView,
        r#"select moves.id, instance_id as "instance: InstanceId", apps.slug as app, leaves.name as "from",
                  coalesce(arrives.name, target.name) as "to?", cause as "cause: Cause", reason,
                  moves.state as "state: MoveState", deployments.number as "deployment?", problem, moves.changed_at
           from moves
           join apps on apps.id = moves.app_id
           join nodes as leaves on leaves.id = from_node_id
           left join nodes as target on target.id = to_node_id
           left join deployments on deployments.id = moves.deployment_id
           left join lateral (
               select nodes.name from instances join nodes on nodes.id = instances.node_id
               where instances.deployment_id = moves.deployment_id and instances.created_at > moves.created_at
               order by instances.created_at desc limit 1
           ) arrives on moves.state in ('moving', 'done')
           where (moves.state in ('waiting', 'moving') or moves.changed_at > now() - interval '1 hour')
             and ($1::uuid is null or from_node_id = $1)
           order by moves.state in ('waiting', 'moving') desc, moves.changed_at desc limit 200"#,
        from as _
    )
    .fetch_all(conn)
    .await
}

/// Takes a rebalance back as far as it has not begun: one move, or all. Returns the instances, which stay.
pub async fn cancel(conn: &mut PgConnection, only: Option<Uuid>) -> sqlx::Result<Vec<InstanceId>> {
    sqlx::query_scalar!(
        r#"update moves set state = 'cancelled', problem = null, changed_at = now()
           where state = 'waiting' and cause = 'rebalance' and ($1::uuid is null or id = $1)
           returning instance_id as "instance: InstanceId""#,
        only
    )
    .fetch_all(conn)
    .await
}

/// Why a move was asked for, and how far it is.
pub async fn standing(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<(Cause, MoveState)>> {
    let row = sqlx::query!(
        r#"select cause as "cause: Cause", state as "state: MoveState" from moves where id = $1"#,
        id
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.cause, row.state)))
}

/// Forgets what was over a week ago.
pub async fn sweep(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from moves where state not in ('waiting', 'moving') and changed_at < now() - interval '7 days'"
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A node that is to be empty, or is.
#[derive(Debug)]
pub struct Drain {
    pub started_by: String,
    pub started_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    pub instances: i32,
    /// Instances that should still run there.
    pub left: i64,
}

/// Begins to empty the node. `false` when that is under way.
pub async fn start_drain(conn: &mut PgConnection, node: NodeId, by: &str) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into drains (node_id, started_by, instances)
         select $1, $2, count(*) from instances where node_id = $1 and wanted
         on conflict (node_id) do update
         set started_by = excluded.started_by, started_at = now(), instances = excluded.instances, finished_at = null
         where drains.finished_at is not null",
        node as _,
        by
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// No longer empties the node; what is on its way goes on. `false` when nothing emptied it.
pub async fn stop_drain(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<bool> {
    sqlx::query!(
        "update moves set state = 'cancelled', problem = null, changed_at = now()
         where from_node_id = $1 and cause = 'drain' and state = 'waiting'",
        node as _
    )
    .execute(&mut *conn)
    .await?;
    let done = sqlx::query!("delete from drains where node_id = $1", node as _).execute(conn).await?;
    Ok(done.rows_affected() > 0)
}

pub async fn drain(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<Option<Drain>> {
    sqlx::query_as!(
        Drain,
        r#"select started_by, started_at, finished_at, drains.instances,
                  (select count(*) from instances where instances.node_id = drains.node_id and wanted) as "left!"
           from drains where node_id = $1"#,
        node as _
    )
    .fetch_optional(conn)
    .await
}

/// Ends the drains of nodes on which nothing runs any more; of one whose worker is gone, nothing that should. Returns
/// the nodes.
pub async fn finish_drains(conn: &mut PgConnection) -> sqlx::Result<Vec<NodeId>> {
    sqlx::query_scalar!(
        r#"update drains set finished_at = now()
           where finished_at is null
             and not exists (
                 select from instances
                 where instances.node_id = drains.node_id
                   -- Those that stopped are told for a while still.
                   and (wanted or state <> 'stopped' and exists (
                       select from agents
                       where agents.node_id = drains.node_id and kind = 'worker' and connected_to is not null)))
           returning node_id as "node: NodeId""#
    )
    .fetch_all(conn)
    .await
}

/// What should still run on a node that is drained.
#[derive(Debug)]
pub struct Left {
    pub instance: InstanceId,
    pub app: String,
    /// It is a command of a release, not a replica.
    pub task: bool,
    pub in_rotation: bool,
    /// It served.
    pub leaving: bool,
    pub state: Option<MoveState>,
    pub deployment: Option<i32>,
    pub problem: Option<String>,
    /// When it is tried again, if it failed.
    pub next_try_at: Option<DateTime<Utc>>,
}

pub async fn left(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<Vec<Left>> {
    sqlx::query_as!(
        Left,
        r#"select instances.id as "instance: InstanceId", apps.slug as app, task is not null as "task!", in_rotation,
                  out_generation is not null as "leaving!", latest.state as "state?: MoveState",
                  deployments.number as "deployment?", latest.problem as "problem?",
                  case when latest.state = 'failed' then (
                      select max(changed_at) + least(interval '1 hour', make_interval(mins => $2) * power(2, count(*) - 1))
                      from moves join drains on drains.node_id = instances.node_id
                      where instance_id = instances.id and state = 'failed' and moves.created_at >= started_at
                  ) end as next_try_at
           from instances
           join apps on apps.id = instances.app_id
           left join lateral (
               select moves.state, moves.deployment_id, moves.problem from moves
               where moves.instance_id = instances.id order by moves.created_at desc limit 1
           ) latest on true
           left join deployments on deployments.id = latest.deployment_id
           where instances.node_id = $1 and wanted order by apps.slug, instances.id"#,
        node as _,
        FIRST_PAUSE_MIN
    )
    .fetch_all(conn)
    .await
}

/// The new instance of the deployment may be on no other node.
pub async fn set_target(
    conn: &mut PgConnection,
    deployment: DeploymentId,
    target: Option<NodeId>,
) -> sqlx::Result<()> {
    sqlx::query!("update deployments set target_node_id = $2 where id = $1", deployment as _, target as _)
        .execute(conn)
        .await?;
    Ok(())
}
