//! SQL of roll-outs: what the planner's steps change. What it looks at is in [`super::situations`].

use protocol::ids::{AppId, DeploymentId, InstanceId, NodeId};
use protocol::job::Stage;
use protocol::spec::{Generation, Resources};
use sqlx::PgConnection;
use uuid::Uuid;

use super::situations::Rolling;
use super::{ending, progress};
use crate::apps::Deploy;
use crate::bus::{self, Topic};
use crate::network;
use crate::placement;
use crate::plan::placement::Place;

/// Deployments of a release that exists, first in their app's queue with nothing else on its way.
pub async fn startable(conn: &mut PgConnection) -> sqlx::Result<Vec<DeploymentId>> {
    sqlx::query_scalar!(
        "select id from deployments
         where state = 'queued' and release_id is not null
           and not exists (
               select 1 from deployments as other
               where other.app_id = deployments.app_id
                 and (other.state in ('building', 'rolling-out')
                      or other.state = 'queued' and other.number < deployments.number))
           -- One that was cancelled has to be undone first: what it left in the table is no release's.
           and not exists (
               select 1 from instances join deployments as other on other.id = instances.deployment_id
               where instances.app_id = deployments.app_id and in_rotation and other.state = 'cancelled')
         order by id for update skip locked"
    )
    .fetch_all(conn)
    .await
}

/// The roll-out begins.
pub async fn start(conn: &mut PgConnection, id: DeploymentId) -> sqlx::Result<()> {
    sqlx::query!(
        "update deployments set state = 'rolling-out', waiting_for = null, stepped_at = now() where id = $1",
        id as _
    )
    .execute(&mut *conn)
    .await?;
    progress::enter(conn, id, Stage::Start, None).await
}

/// A step was taken.
pub async fn stepped(conn: &mut PgConnection, id: DeploymentId) -> sqlx::Result<()> {
    sqlx::query!("update deployments set stepped_at = now() where id = $1", id as _).execute(conn).await?;
    Ok(())
}

/// Says what a deployment waits for, if that is news.
pub async fn set_waiting_for(
    conn: &mut PgConnection,
    id: DeploymentId,
    what: Option<&str>,
) -> sqlx::Result<()> {
    let done = sqlx::query!(
        "update deployments set waiting_for = $2 where id = $1 and waiting_for is distinct from $2",
        id as _,
        what
    )
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() > 0 {
        bus::say(conn, Topic::Deployments, id).await?;
    }
    Ok(())
}

/// One more instance is wanted.
pub async fn start_instance(
    conn: &mut PgConnection,
    rolling: &Rolling,
    id: InstanceId,
    place: &Place,
) -> sqlx::Result<()> {
    let Resources { memory_mb, cpu_millis, .. } = rolling.settings.resources;
    sqlx::query!(
        "insert into instances (id, app_id, release_id, deployment_id, node_id, host_port, memory_mb, cpu_millis,
                                exclusive, publishes_udp)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9,
                 exists (select from streams where app_id = $2 and protocol = 'udp'))",
        id as _,
        rolling.app_id as _,
        rolling.release_id as _,
        rolling.id as _,
        place.node as _,
        place.port,
        i32::try_from(memory_mb).unwrap_or(i32::MAX),
        i32::try_from(cpu_millis).unwrap_or(i32::MAX),
        rolling.settings.exclusive
    )
    .execute(&mut *conn)
    .await?;
    placement::store::took_turn(conn, place.node).await
}

/// The instance has to stop. Returns its node.
pub async fn unwant(conn: &mut PgConnection, id: InstanceId) -> sqlx::Result<Option<NodeId>> {
    sqlx::query_scalar!("update instances set wanted = false where id = $1 returning node_id", id as _)
        .fetch_optional(conn)
        .await
}

/// The route table of `generation` leads to `enter` and no longer to `leave`.
pub async fn switch(
    conn: &mut PgConnection,
    generation: Generation,
    enter: &[InstanceId],
    leave: &[InstanceId],
) -> sqlx::Result<()> {
    let entering = enter;
    let enter: Vec<Uuid> = enter.iter().map(|id| id.0).collect();
    sqlx::query!(
        "update instances set in_rotation = true, out_generation = null, out_at = null where id = any($1)",
        &enter
    )
    .execute(&mut *conn)
    .await?;
    network::store::instances_changed(conn, entering).await?;
    take_out(conn, generation, leave).await
}

/// The deployment goes on when the proxies have the table of `generation`.
pub async fn set_switched(
    conn: &mut PgConnection,
    id: DeploymentId,
    generation: Generation,
) -> sqlx::Result<()> {
    sqlx::query!("update deployments set switch_generation = $2 where id = $1", id as _, generation)
        .execute(conn)
        .await?;
    Ok(())
}

/// The route table of `generation` no longer leads to `ids`.
pub async fn take_out(
    conn: &mut PgConnection,
    generation: Generation,
    ids: &[InstanceId],
) -> sqlx::Result<()> {
    network::store::instances_changed(conn, ids).await?;
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    sqlx::query!(
        "update instances set in_rotation = false, out_generation = $2, out_at = now() where id = any($1)",
        &ids,
        generation
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The deployment is the app's live one, and so are all instances that serve: those that it kept become its own. A
/// stopped app runs again.
pub async fn go_live(conn: &mut PgConnection, rolling: &Rolling) -> sqlx::Result<()> {
    sqlx::query!(
        "update deployments set state = 'superseded' where app_id = $1 and state = 'live'",
        rolling.app_id as _
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("update deployments set state = 'live', finished_at = now() where id = $1", rolling.id as _)
        .execute(&mut *conn)
        .await?;
    sqlx::query!(
        "update instances set deployment_id = $2 where app_id = $1 and in_rotation and deployment_id <> $2",
        rolling.app_id as _,
        rolling.id as _
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "update apps set stopped_at = null where id = $1 and stopped_at is not null",
        rolling.app_id as _
    )
    .execute(&mut *conn)
    .await?;
    progress::enter(conn, rolling.id, Stage::Drain, None).await?;
    if !draining(conn, rolling.app_id).await? {
        progress::close(conn, rolling.id, Stage::Drain).await?;
    }
    ending::record_live(conn, rolling.id).await?;
    bus::say(conn, Topic::Apps, rolling.app_id).await?;
    // The app's next deployment may begin.
    bus::say(conn, Topic::Jobs, "").await
}

async fn draining(conn: &mut PgConnection, app: AppId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select 1 from instances
                          where app_id = $1 and wanted and not in_rotation and out_generation is not null) as "any!""#,
        app as _
    )
    .fetch_one(conn)
    .await
}

/// Ends the instances that nobody uses any more: every connected proxy and worker's ingress has a table without them, every
/// connected worker whose containers may reach them was told, `drain_s` passed since they left it, and no roll-out may
/// still lead back to them. Returns their apps and nodes.
///
/// Workers that were not told are looked at once and not for each instance: there may be thousands of either.
pub async fn drained(conn: &mut PgConnection) -> sqlx::Result<Vec<(AppId, NodeId)>> {
    let rows = sqlx::query!(
        "with due as materialized (
             select instances.id, environments.project_id from instances
             join releases on releases.id = instances.release_id
             join apps on apps.id = instances.app_id
             join environments on environments.id = apps.environment_id
             where wanted and not in_rotation and out_generation is not null
               and out_at < now() - make_interval(secs => coalesce((releases.settings->'deploy'->>'drain_s')::float8, $1))
               and not exists (select 1 from deployments
                               where deployments.app_id = instances.app_id and deployments.state = 'rolling-out'
                                 and switch_generation is not null)
         ), served as materialized (
             select min(applied_generation) as generation from agents
             where kind in ('proxy', 'ingress') and connected_to is not null
         ), behind as materialized (
             select agents.node_id from agents join generations on consumer = 'worker:' || node_id
             where kind = 'worker' and connected_to is not null
               and applied_generation < coalesce(network_to, generation) and exists (select 1 from due)
         ), reaching as materialized (
             select distinct environments.project_id from behind
             join app_containers on app_containers.node_id = behind.node_id
             join apps on apps.id = app_containers.app_id
             join environments on environments.id = apps.environment_id
         ), reached as materialized (
             select project_id from network_changes
             union all select project_id from reaching
             union all select target_project_id from network_grants join reaching using (project_id)
         )
         update instances set wanted = false
         from due, served
         where instances.id = due.id and wanted and not in_rotation
           and (served.generation is null or out_generation <= served.generation)
           and not exists (select 1 from reached where reached.project_id = due.project_id)
         returning instances.app_id, node_id",
        f64::from(Deploy::default().drain_s)
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.app_id, row.node_id)).collect())
}

/// Live deployments of the app whose drain is over.
pub async fn drains_over(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Vec<DeploymentId>> {
    if draining(conn, app).await? {
        return Ok(Vec::new());
    }
    sqlx::query_scalar!(
        "select id from deployments join deployment_stages on deployment_id = id and stage = 'drain'
         where app_id = $1 and deployment_stages.state = 'running'",
        app as _
    )
    .fetch_all(conn)
    .await
}

/// Ends instances that never served and whose deployment is over. Returns their nodes.
pub async fn left_over(conn: &mut PgConnection) -> sqlx::Result<Vec<NodeId>> {
    sqlx::query_scalar!(
        "update instances set wanted = false
         from deployments
         where deployments.id = instances.deployment_id and deployments.state in ('failed', 'cancelled')
           and wanted and not in_rotation and out_generation is null
         returning node_id"
    )
    .fetch_all(conn)
    .await
}
