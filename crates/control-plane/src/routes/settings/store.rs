//! SQL of what people set for routes.

use protocol::ids::{AppId, DomainId};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::Own;

/// A host name of an app, and what is set for it alone.
#[derive(Debug)]
pub struct Site {
    pub host: String,
    /// Absent for the app's own name in its zone.
    pub domain: Option<DomainId>,
    pub own: Json<Own>,
}

/// What is set for the app.
pub async fn of_app(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Own> {
    let own =
        sqlx::query_scalar!(r#"select route_options as "own: Json<Own>" from apps where id = $1"#, app as _)
            .fetch_one(conn)
            .await?;
    Ok(own.0)
}

/// The app's domain of this name, whether it is served or not.
pub async fn domain(
    conn: &mut PgConnection,
    app: AppId,
    hostname: &str,
) -> sqlx::Result<Option<(DomainId, Own)>> {
    let found = sqlx::query!(
        r#"select id as "id: DomainId", route_options as "own: Json<Own>" from domains
           where app_id = $1 and hostname = $2"#,
        app as _,
        hostname
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|row| (row.id, row.own.0)))
}

/// Names by which the app is reached: its own, and its verified domains.
pub async fn sites(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Vec<Site>> {
    sqlx::query_as!(
        Site,
        r#"select apps.slug || '.' || zones.suffix as "host!", null::uuid as "domain: DomainId",
                  '{}'::jsonb as "own!: Json<Own>"
           from apps join zones on zones.id = apps.zone_id where apps.id = $1
           union all
           select hostname, id, route_options from domains where app_id = $1 and state = 'verified'
           order by 2 nulls first"#,
        app as _
    )
    .fetch_all(conn)
    .await
}

pub async fn set_of_app(conn: &mut PgConnection, app: AppId, own: &Own) -> sqlx::Result<()> {
    sqlx::query!(
        "update apps set route_options = $2, updated_at = now() where id = $1",
        app as _,
        Json(own) as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn set_of_domain(conn: &mut PgConnection, domain: DomainId, own: &Own) -> sqlx::Result<()> {
    sqlx::query!("update domains set route_options = $2 where id = $1", domain as _, Json(own) as _)
        .execute(conn)
        .await?;
    Ok(())
}
