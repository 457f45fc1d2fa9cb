//! Labels that people give.

use protocol::ids::NodeId;
use protocol::labels::Labels;
use sqlx::PgConnection;
use sqlx::types::Json;

/// Labels of the node apart from the declared ones, held until the transaction ends.
pub async fn lock(conn: &mut PgConnection, id: NodeId) -> sqlx::Result<Labels> {
    let labels = sqlx::query_scalar!(
        r#"select labels as "labels: Json<Labels>" from nodes where id = $1 for update"#,
        id as _
    );
    Ok(labels.fetch_one(conn).await?.0)
}

pub async fn set(
    conn: &mut PgConnection,
    id: NodeId,
    labels: &Labels,
    zone: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query!("update nodes set labels = $2, zone = $3 where id = $1", id as _, Json(labels) as _, zone)
        .execute(conn)
        .await?;
    Ok(())
}
