use protocol::ids::{AppId, DeploymentId};
use sqlx::PgConnection;

/// A deployment that was asked for under a key, and the digest of that request.
#[derive(Debug)]
pub struct Asked {
    pub deployment_id: DeploymentId,
    pub digest: Vec<u8>,
}

/// The caller holds the app's row.
pub async fn find(conn: &mut PgConnection, app: AppId, key: &str) -> sqlx::Result<Option<Asked>> {
    sqlx::query_as!(
        Asked,
        r#"select deployment_id as "deployment_id: _", digest from request_keys where app_id = $1 and key = $2"#,
        app as _,
        key
    )
    .fetch_optional(conn)
    .await
}

pub async fn keep(
    conn: &mut PgConnection,
    app: AppId,
    key: &str,
    digest: &[u8],
    deployment: DeploymentId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into request_keys (app_id, key, digest, deployment_id) values ($1, $2, $3, $4)",
        app as _,
        key,
        digest,
        deployment as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Nobody asks again after a day.
pub async fn sweep(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("delete from request_keys where created_at < now() - interval '1 day'")
        .execute(conn)
        .await?;
    Ok(())
}
