//! SQL of nodes that are gone, and of what ran there.

pub mod lease;
pub mod strays;

use std::time::Duration;

use chrono::{DateTime, Utc};
use protocol::ids::{AppId, InstanceId, NodeId, OrganizationId};
use protocol::report::MeshReport;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::corrections::Correction;
use super::replicas::Short;
use crate::http::page::PageQuery;
use crate::nodes::Status;

/// A node that nobody hears from, or that was one a moment ago.
#[derive(Debug)]
pub struct Missing {
    pub id: NodeId,
    pub name: String,
    pub public_key: String,
    pub status: Status,
    /// None when it is back.
    pub since: Option<DateTime<Utc>>,
    pub missing: Duration,
    /// How often it went offline lately, before this time.
    pub before: i64,
    /// The proxies are not led to it.
    pub unreached: bool,
}

/// Nodes that are missing, and those that the proxies are not led to still, or all by `only`. Times that they were gone
/// before count within so many hours.
pub async fn missing(
    conn: &mut PgConnection,
    only: Option<NodeId>,
    flapping_h: u32,
) -> sqlx::Result<Vec<Missing>> {
    let rows = sqlx::query!(
        r#"select id as "id: NodeId", name, public_key, status as "status: Status", missing_since as since,
                  coalesce(extract(epoch from now() - missing_since), 0)::float8 as "missing_s!",
                  unreached_since is not null as "unreached!",
                  (select count(*) from node_transitions
                   where node_id = nodes.id and to_status = 'offline'
                     and at > now() - make_interval(hours => $1) and at < missing_since) as "before!"
           from nodes
           where removed_at is null and ($2::uuid is null and (missing_since is not null or unreached_since is not null)
                                         or id = $2)
           order by id"#,
        i32::try_from(flapping_h).unwrap_or(i32::MAX),
        only as _
    )
    .fetch_all(conn)
    .await?;
    let missing = rows.into_iter().map(|row| Missing {
        id: row.id,
        name: row.name,
        public_key: row.public_key,
        status: row.status,
        since: row.since,
        missing: Duration::try_from_secs_f64(row.missing_s).unwrap_or_default(),
        before: row.before,
        unreached: row.unreached,
    });
    Ok(missing.collect())
}

/// What the mesh agents of connected proxies said last of their tunnels, unless that is too long ago.
pub async fn witnesses(conn: &mut PgConnection) -> sqlx::Result<Vec<(DateTime<Utc>, MeshReport)>> {
    let rows = sqlx::query!(
        r#"select mesh.reported_at as "at!", mesh.report as "report!: Json<MeshReport>"
           from agents as proxy join agents as mesh on mesh.node_id = proxy.node_id and mesh.kind = 'mesh'
           where proxy.kind = 'proxy' and proxy.connected_to is not null and mesh.report is not null
             and mesh.reported_at > now() - interval '90 s'"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.at, row.report.0)).collect())
}

/// Whether an agent of another host than a control plane's is connected anywhere.
pub async fn somebody(conn: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from agents join nodes on nodes.id = node_id
                          where connected_to is not null and not 'control-plane' = any(roles)) as "any!""#
    )
    .fetch_one(conn)
    .await
}

/// The proxies are led to the node's instances only where an app has no others, or as to all others again. `false` when
/// it was so already.
pub async fn set_unreached(conn: &mut PgConnection, id: NodeId, unreached: bool) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update nodes set unreached_since = case when $2 then now() end
         where id = $1 and (unreached_since is not null) <> $2",
        id as _,
        unreached
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// An instance that serves from a node that is missing, and has no move yet.
#[derive(Debug)]
pub struct Stranded {
    pub id: InstanceId,
    /// Its app's own time of grace.
    pub grace: Option<Duration>,
}

/// Of one node. A move that failed is tried again after a minute.
pub async fn stranded(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<Vec<Stranded>> {
    let rows = sqlx::query!(
        r#"select instances.id as "id: InstanceId", (settings -> 'placement' ->> 'grace_s')::bigint as grace_s
           from instances join apps on apps.id = app_id and deleted_at is null and stopped_at is null
           where node_id = $1 and wanted and in_rotation and task is null
             and not exists (
                 select from moves
                 where instance_id = instances.id
                   and (state in ('waiting', 'moving')
                        or state = 'failed' and changed_at > now() - interval '1 min'))
           order by instances.id"#,
        node as _
    )
    .fetch_all(conn)
    .await?;
    let seconds = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    Ok(rows.into_iter().map(|row| Stranded { id: row.id, grace: row.grace_s.map(seconds) }).collect())
}

/// Moves away from nodes that are back before they began. Returns the nodes.
pub async fn call_off(conn: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "update moves set state = 'cancelled', problem = null, changed_at = now()
         from nodes
         where nodes.id = from_node_id and cause = 'lost' and state = 'waiting' and missing_since is null
         returning nodes.name"
    )
    .fetch_all(conn)
    .await
}

/// Apps that run and have fewer instances than their live deployment asks for, while no other is under way. One that
/// could not be helped is left alone for five minutes.
pub async fn short_of_replicas(conn: &mut PgConnection) -> sqlx::Result<Vec<Short>> {
    sqlx::query_as!(
        Short,
        r#"select apps.id as "app: AppId", (deployments.settings ->> 'replicas')::bigint as "wanted!",
                  coalesce(there, 0) as "there!"
           from deployments
           join apps on apps.id = deployments.app_id and deleted_at is null and stopped_at is null
           left join (select app_id, count(*) as there from instances where wanted and task is null group by app_id)
               as counted on counted.app_id = apps.id
           where deployments.state = 'live' and coalesce(there, 0) < (deployments.settings ->> 'replicas')::bigint
             and not exists (
                 select from deployments as other
                 where other.app_id = apps.id
                   and (other.state in ('queued', 'building', 'rolling-out')
                        or other.state = 'failed' and other.kind = 'scale' and other.created_by = 'system'
                           and other.finished_at > now() - interval '5 min'))
           order by apps.id limit 20"#
    )
    .fetch_all(conn)
    .await
}

/// Whether there is an event with this target and detail already.
pub async fn is_told(
    conn: &mut PgConnection,
    target: &str,
    detail: &serde_json::Value,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from audit_events
                          where target = $1 and detail = $2 and at > now() - interval '1 day') as "told!""#,
        target,
        detail
    )
    .fetch_one(conn)
    .await
}

/// One page of what the worker of a node put right, the newest first. A node of before with its name is another.
pub async fn corrections(
    conn: &mut PgConnection,
    node: NodeId,
    page: &PageQuery,
) -> sqlx::Result<Vec<Correction>> {
    let rows = sqlx::query!(
        "select audit_events.id, at, app, detail
         from nodes join audit_events on actor = 'node:' || name and at >= nodes.created_at
         where nodes.id = $1 and action in ('app.correct', 'node.correct')
           and ($2::uuid is null or audit_events.id < $2)
         order by audit_events.id desc limit $3",
        node as _,
        page.cursor,
        page.limit() + 1
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| Correction::of(row.id, row.at, row.app, &row.detail)).collect())
}

/// An instance of a node that is gone, and how far it is to be elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub organization: OrganizationId,
    pub app: AppId,
    pub slug: String,
    pub instance: InstanceId,
    pub node: String,
    pub since: Option<DateTime<Utc>>,
    /// Absent while its turn has not come.
    pub problem: Option<String>,
    /// Number of the deployment that places it elsewhere.
    pub deployment: Option<i32>,
}

/// Of one node or of all.
pub async fn waiting(conn: &mut PgConnection, from: Option<NodeId>) -> sqlx::Result<Vec<Waiting>> {
    sqlx::query_as!(
        Waiting,
        r#"select projects.organization_id as "organization: OrganizationId", apps.id as "app: AppId", apps.slug,
                  instance_id as "instance: InstanceId", nodes.name as node, missing_since as since, problem,
                  deployments.number as "deployment?"
           from moves
           join apps on apps.id = moves.app_id
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id
           join nodes on nodes.id = from_node_id
           left join deployments on deployments.id = deployment_id
           where cause = 'lost' and moves.state in ('waiting', 'moving') and ($1::uuid is null or from_node_id = $1)
           order by apps.slug, instance_id"#,
        from as _
    )
    .fetch_all(conn)
    .await
}
