//! SQL of stopped and deleted apps: what the planner looks at and what its steps change.

use std::collections::BTreeMap;

use protocol::ids::{AppId, InstanceId, NodeId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::plan::stop::{Running, Situation, Traffic};

/// All stopped and deleted apps of which something should still run.
pub async fn situations(conn: &mut PgConnection) -> sqlx::Result<BTreeMap<AppId, Situation>> {
    let rows = sqlx::query!(
        r#"select instances.id, instances.app_id, in_rotation, out_generation is not null as "left!",
                  exists (select from deployments
                          where deployments.app_id = apps.id and deployments.state = 'rolling-out') as "rolling_out!"
           from instances join apps on apps.id = instances.app_id
           where wanted and (apps.stopped_at is not null or apps.deleted_at is not null)
           order by instances.id for update of instances"#
    )
    .fetch_all(conn)
    .await?;
    let mut situations = BTreeMap::<AppId, Situation>::new();
    for row in rows {
        let situation = situations.entry(row.app_id).or_default();
        situation.rolling_out = row.rolling_out;
        let traffic = match (row.in_rotation, row.left) {
            (true, _) => Traffic::Served,
            (false, true) => Traffic::Draining,
            (false, false) => Traffic::Never,
        };
        situation.instances.push(Running { id: row.id, traffic });
    }
    Ok(situations)
}

/// The instances have to stop. Returns their nodes.
pub async fn end(conn: &mut PgConnection, ids: &[InstanceId]) -> sqlx::Result<Vec<NodeId>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    sqlx::query_scalar!("update instances set wanted = false where id = any($1) returning node_id", &ids)
        .fetch_all(conn)
        .await
}
