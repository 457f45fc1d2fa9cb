//! SQL of previews: who serves now. The rest is what roll-outs look at.

use protocol::ids::{AppId, InstanceId};
use sqlx::PgConnection;

use super::situations::GONE_S;
use crate::plan::preview::Serving;

/// The app's instances in the table.
pub async fn serving(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Vec<Serving>> {
    sqlx::query_as!(
        Serving,
        r#"select instances.id as "id: InstanceId", nodes.name as node,
                  instances.state = 'healthy'
                  and not coalesce(missing_since < now() - make_interval(secs => $2), false) as "healthy!"
           from instances join nodes on nodes.id = instances.node_id
           where app_id = $1 and wanted and in_rotation order by instances.id"#,
        app as _,
        GONE_S
    )
    .fetch_all(conn)
    .await
}
