//! SQL of the front: one row, or none.

use sqlx::PgConnection;

use crate::plan::routes::Front;

/// Makes this transaction the only one that changes the front.
pub async fn lock(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtext('wisehosting front'))").execute(conn).await?;
    Ok(())
}

/// The front that proxies serve.
pub async fn find(conn: &mut PgConnection) -> sqlx::Result<Option<Front>> {
    let row = sqlx::query!("select host, upstream from fronts").fetch_optional(conn).await?;
    row.map(|row| {
        let upstream = row.upstream.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok(Front { host: row.host, upstream })
    })
    .transpose()
}

/// Replaces it.
pub async fn set(conn: &mut PgConnection, front: Option<&Front>) -> sqlx::Result<()> {
    sqlx::query!("delete from fronts").execute(&mut *conn).await?;
    if let Some(Front { host, upstream }) = front {
        sqlx::query!("insert into fronts (host, upstream) values ($1, $2)", host, upstream.to_string())
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// Slug of the app whose host name is `host`.
pub async fn app_at(conn: &mut PgConnection, host: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "select slug from apps join zones on zones.id = apps.zone_id where slug || '.' || suffix = $1",
        host
    )
    .fetch_optional(conn)
    .await
}
