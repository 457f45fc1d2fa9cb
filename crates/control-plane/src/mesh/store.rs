//! SQL of the mesh.

use protocol::report::MeshReport;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::Side;
use crate::nodes::{Status, v4};

/// All nodes with what their mesh agents reported last, by name.
pub async fn sides(conn: &mut PgConnection) -> sqlx::Result<Vec<Side>> {
    let rows = sqlx::query!(
        r#"select id, name, mesh_address, public_key, endpoint, status as "status: Status",
                  host ->> 'wireguard' as wireguard, reported_at as "reported_at?",
                  report as "report?: Json<MeshReport>"
           from nodes left join agents on node_id = id and kind = 'mesh'
           where removed_at is null order by name"#
    )
    .fetch_all(conn)
    .await?;
    let side = rows.into_iter().map(|row| Side {
        id: row.id,
        name: row.name,
        mesh_address: v4(row.mesh_address),
        public_key: row.public_key,
        endpoint: row.endpoint,
        status: row.status,
        wireguard: row.wireguard,
        reported_at: row.reported_at,
        report: row.report.map(|report| report.0),
    });
    Ok(side.collect())
}
