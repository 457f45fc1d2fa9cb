//! SQL of what runs on a node.

use protocol::ids::NodeId;
use protocol::report::InstanceReport;
use sqlx::PgConnection;

use crate::instances::unknown_since;
use crate::nodes::instances::NodeInstance;

/// All instances, by app.
pub async fn list(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<Vec<NodeInstance>> {
    let rows = sqlx::query!(
        r#"select instances.id, apps.slug, releases.number, task is not null as "task!", wanted, in_rotation,
                  instances.state, report, observed_at, instances.created_at, now() as "now!"
           from instances
           join apps on apps.id = instances.app_id
           join releases on releases.id = instances.release_id
           where instances.node_id = $1
           order by apps.slug, releases.number desc, instances.id"#,
        node as _
    )
    .fetch_all(conn)
    .await?;
    let instance = rows.into_iter().map(|row| {
        // A report of another version may not parse; then only the state is known.
        let report = row.report.and_then(|report| serde_json::from_value::<InstanceReport>(report).ok());
        NodeInstance {
            id: row.id,
            app: row.slug,
            release: row.number,
            task: row.task,
            wanted: row.wanted,
            in_rotation: row.in_rotation,
            state: row.state,
            restarts: report.as_ref().map_or(0, |report| report.restarts),
            started_at: report.and_then(|report| report.started_at),
            observed_at: row.observed_at,
            unknown_since: unknown_since(row.observed_at, row.created_at, row.now),
            stats: None,
        }
    });
    Ok(instance.collect())
}
