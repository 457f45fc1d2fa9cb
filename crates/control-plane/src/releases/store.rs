use protocol::ids::{AppId, NodeId, ReleaseId};
use sqlx::PgConnection;

use crate::apps::Settings;

/// What a release is made of.
#[derive(Debug)]
pub struct NewRelease<'a> {
    pub app_id: AppId,
    pub image_id: &'a str,
    pub image_reference: &'a str,
    pub image_size_bytes: i64,
    /// The worker that has the image.
    pub image_node_id: Option<NodeId>,
    pub source: Option<serde_json::Value>,
    pub commit_id: Option<&'a str>,
    pub settings: &'a Settings,
    /// Sealed as `app-variables:<app id>`.
    pub variables: &'a [u8],
}

/// Makes the app's next release. Waits for whoever else is numbering something of this app.
pub async fn create(conn: &mut PgConnection, new: NewRelease<'_>) -> sqlx::Result<(ReleaseId, i32)> {
    sqlx::query!("select id from apps where id = $1 for update", new.app_id as _)
        .fetch_one(&mut *conn)
        .await?;
    let row = sqlx::query!(
        "insert into releases (id, app_id, number, image_id, image_reference, image_size_bytes, image_node_id, source,
                               commit_id, settings, variables)
         select $1, $2, coalesce(max(number), 0) + 1, $3, $4, $5, $6, $7, $8, $9, $10
         from releases where app_id = $2
         returning id, number",
        ReleaseId::new() as _,
        new.app_id as _,
        new.image_id,
        new.image_reference,
        new.image_size_bytes,
        new.image_node_id as _,
        new.source,
        new.commit_id,
        sqlx::types::Json(new.settings) as _,
        new.variables,
    )
    .fetch_one(conn)
    .await?;
    Ok((row.id, row.number))
}
