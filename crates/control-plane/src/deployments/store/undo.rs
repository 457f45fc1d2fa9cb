//! SQL of the way back: what the planner looks at.

use protocol::ids::{AppId, InstanceId};
use sqlx::PgConnection;

use super::situations::GONE_S;
use crate::plan::undo::{Seen, Situation};

/// Apps without a roll-out that have something of an ended deployment in the table, or miss something of the live one.
pub async fn due(conn: &mut PgConnection) -> sqlx::Result<Vec<AppId>> {
    sqlx::query_scalar!(
        r#"select due.app_id as "app_id!: AppId" from (
             select instances.app_id from deployments
             join instances on instances.deployment_id = deployments.id and wanted and in_rotation
             where deployments.state in ('failed', 'cancelled')
             -- Not `or`, for which every instance is joined first.
             union
             select instances.app_id from instances
             join deployments on deployments.id = instances.deployment_id and deployments.state = 'live'
             join apps on apps.id = instances.app_id and stopped_at is null and deleted_at is null
             where wanted and not in_rotation and out_generation is not null
         ) as due
         where not exists (select from deployments as other
                           where other.app_id = due.app_id and other.state = 'rolling-out')
         order by due.app_id"#
    )
    .fetch_all(conn)
    .await
}

/// What the planner decides on. A stopped or deleted app has nothing to go back to.
pub async fn situation(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Situation> {
    let replicas = sqlx::query_scalar!(
        r#"select coalesce((deployments.settings ->> 'replicas')::int, 0) as "replicas!"
           from deployments join apps on apps.id = deployments.app_id
           where app_id = $1 and deployments.state = 'live' and stopped_at is null and deleted_at is null"#,
        app as _
    )
    .fetch_optional(&mut *conn)
    .await?;
    let rows = sqlx::query!(
        r#"select instances.id as "id: InstanceId", in_rotation, deployments.state = 'live' as "live!",
                  deployments.state = 'cancelled' as "cancelled!",
                  deployments.state in ('failed', 'cancelled') as "ended!",
                  instances.state = 'healthy'
                  and not coalesce(missing_since < now() - make_interval(secs => $2), false) as "healthy!"
           from instances
           join deployments on deployments.id = instances.deployment_id
           join nodes on nodes.id = instances.node_id
           where instances.app_id = $1 and wanted and (in_rotation or out_generation is not null)
           order by instances.id for update of instances"#,
        app as _,
        GONE_S
    )
    .fetch_all(conn)
    .await?;
    let mut now =
        Situation { replicas: usize::try_from(replicas.unwrap_or(0)).unwrap_or(0), ..Situation::default() };
    for row in rows {
        let seen = Seen { id: row.id, healthy: row.healthy };
        match (row.in_rotation, row.ended, row.live) {
            (true, true, _) => {
                now.asked |= row.cancelled;
                now.stray.push(seen);
            }
            (true, false, _) => now.healthy += usize::from(row.healthy),
            (false, _, true) if replicas.is_some() => now.back.push(seen),
            (false, ..) => {}
        }
    }
    Ok(now)
}
