//! SQL of the queue of builds as people see it.

use protocol::ids::{DeploymentId, OrganizationId};
use sqlx::PgConnection;

use crate::deployments::AppRef;
use crate::jobs::queue::{DeploymentRef, QueuedBuild, QueuedState};
use crate::jobs::waiting::{Slots, Waiting};

/// Builds of an organization that run or wait: the running ones first, then as they will be claimed. Positions count
/// the builds of all organizations, because all share the workers.
pub async fn list(conn: &mut PgConnection, organization: OrganizationId) -> sqlx::Result<Vec<QueuedBuild>> {
    let slots = slots(&mut *conn).await?;
    let rows = sqlx::query!(
        r#"with line as (
               select id, row_number() over (order by priority desc, id) as position
               from jobs where kind = 'build' and state = 'queued'
               union all
               select id, null from jobs where kind = 'build' and state = 'running'
           )
           select jobs.id, line.position as "position?", jobs.created_at, jobs.started_at, jobs.cancel_requested,
                  deployments.id as deployment_id, deployments.number, deployments.kind, deployments.created_by,
                  deployments.app_id, apps.slug, nodes.name as "node?",
                  (select min(earlier.number) from deployments earlier
                   where earlier.app_id = deployments.app_id and earlier.number < deployments.number
                     and earlier.state in ('queued', 'building', 'rolling-out')) as earlier
           from line
           join jobs on jobs.id = line.id
           join deployments on deployments.id = jobs.deployment_id
           join apps on apps.id = deployments.app_id
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id
           left join nodes on nodes.id = jobs.node_id
           where projects.organization_id = $1
           order by line.position nulls first, jobs.started_at, jobs.id"#,
        organization as _
    )
    .fetch_all(conn)
    .await?;
    let builds = rows.into_iter().map(|row| {
        let waits = row.position.is_some();
        QueuedBuild {
            id: row.id,
            app: AppRef { id: row.app_id, slug: row.slug },
            deployment: DeploymentRef { id: row.deployment_id, number: row.number, kind: row.kind },
            state: if waits { QueuedState::Queued } else { QueuedState::Running },
            position: row.position,
            reason: waits.then(|| Waiting::of(row.earlier, &slots).reason()),
            since: row.started_at.unwrap_or(row.created_at),
            node: row.node,
            cancelling: row.cancel_requested,
            created_by: row.created_by,
        }
    });
    Ok(builds.collect())
}

/// Build slots of the connected workers, by name; none of those that take no builds now.
pub async fn slots(conn: &mut PgConnection) -> sqlx::Result<Vec<Slots>> {
    sqlx::query_as!(
        Slots,
        r#"select nodes.name as worker,
                  case when takes_builds and cordoned_at is null then agents.build_slots else 0 end::bigint as "total!",
                  coalesce(busy, 0) as "busy!"
           from agents join nodes on nodes.id = agents.node_id and nodes.removed_at is null
           left join (select node_id, count(*) as busy from jobs where state = 'running' and kind = 'build' group by node_id)
               as load on load.node_id = agents.node_id
           where agents.kind = 'worker' and agents.connected_to is not null
           order by nodes.name"#
    )
    .fetch_all(conn)
    .await
}

/// Moves a deployment's build to the front, behind the builds of its app that have to go first. Returns how many
/// builds that are; none when it waits for no build.
pub async fn to_front(conn: &mut PgConnection, deployment: DeploymentId) -> sqlx::Result<u64> {
    let moved = sqlx::query!(
        "update jobs
         set priority = 1 + (select coalesce(max(priority), 0) from jobs where kind = 'build' and state = 'queued')
         from deployments as wanted
         join deployments as builds on builds.app_id = wanted.app_id and builds.number <= wanted.number
         where wanted.id = $1 and jobs.deployment_id = builds.id and jobs.state = 'queued'",
        deployment as _
    )
    .execute(conn)
    .await?;
    Ok(moved.rows_affected())
}
