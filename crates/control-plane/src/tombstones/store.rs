use chrono::{DateTime, Utc};
use protocol::ids::{AppId, NodeId, OrganizationId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Pieces, Removed, Tombstone};

/// The organization's tombstones, the newest first; the one with this id or slug, if `key` is given.
pub async fn list(
    conn: &mut PgConnection,
    organization: OrganizationId,
    key: Option<&str>,
    kept_days: i32,
) -> sqlx::Result<Vec<Tombstone>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select apps.id, apps.slug, deleted_at as "deleted_at!", coalesce(deleted_by, '') as "deleted_by!",
                  deleted_at + make_interval(days => $2) as "gone_at!"
           from apps
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id
           where projects.organization_id = $1 and deleted_at is not null
             and ($3::text is null or apps.slug = $3 or apps.id = $4)
           order by deleted_at desc"#,
        organization as _,
        kept_days,
        key,
        key.and_then(|key| key.parse::<Uuid>().ok())
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut tombstones = Vec::with_capacity(rows.len());
    for row in rows {
        tombstones.push(row.with_pieces(conn).await?);
    }
    Ok(tombstones)
}

struct Row {
    id: AppId,
    slug: String,
    deleted_at: DateTime<Utc>,
    deleted_by: String,
    gone_at: DateTime<Utc>,
}

impl Row {
    async fn with_pieces(self, conn: &mut PgConnection) -> sqlx::Result<Tombstone> {
        let pieces = pieces(conn, self.id).await?;
        let Self { id, slug, deleted_at, deleted_by, gone_at } = self;
        Ok(Tombstone { id, slug, deleted_at, deleted_by, gone_at, pieces })
    }
}

async fn pieces(conn: &mut PgConnection, id: AppId) -> sqlx::Result<Pieces> {
    sqlx::query_as!(
        Pieces,
        r#"select (select count(*) from instances where app_id = $1 and wanted) as "containers!",
                  (select count(*) from app_variables where app_id = $1) as "variables!",
                  (select count(*) from releases where app_id = $1) as "releases!",
                  (select count(*) from deployments where app_id = $1) as "deployments!",
                  (select count(*) from archives where app_id = $1) as "uploads!",
                  (select count(*) from certificates join apps on apps.id = $1 join zones on zones.id = apps.zone_id
                   where host = apps.slug || '.' || zones.suffix
                      or host in (select hostname from domains where app_id = $1 and state = 'verified')) as "certificates!",
                  (select count(*) from domains where app_id = $1) as "domains!",
                  (select count(*) from git_access where app_id = $1) as "git_access!""#,
        id as _
    )
    .fetch_one(conn)
    .await
}

/// The app is deleted. Its instances go as the planner says.
pub async fn bury(conn: &mut PgConnection, id: AppId, by: &str) -> sqlx::Result<()> {
    sqlx::query!("update apps set deleted_at = now(), deleted_by = $2 where id = $1", id as _, by)
        .execute(conn)
        .await?;
    Ok(())
}

/// The app is back, if it is still there to come back.
pub async fn revive(conn: &mut PgConnection, id: AppId) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update apps set deleted_at = null, deleted_by = null where id = $1 and deleted_at is not null",
        id as _
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Tombstones whose time is over and of which nothing is to run any more.
pub async fn due(conn: &mut PgConnection, kept_days: i32) -> sqlx::Result<Vec<AppId>> {
    sqlx::query_scalar!(
        "select id from apps
         where deleted_at < now() - make_interval(days => $1)
           and not exists (select from instances where app_id = apps.id and wanted)
         order by deleted_at",
        kept_days
    )
    .fetch_all(conn)
    .await
}

/// One of them, held until the transaction ends, if it still is one.
pub async fn lock_due(conn: &mut PgConnection, id: AppId, kept_days: i32) -> sqlx::Result<Option<Tombstone>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, slug, deleted_at as "deleted_at!", coalesce(deleted_by, '') as "deleted_by!",
                  deleted_at + make_interval(days => $2) as "gone_at!"
           from apps where id = $1 and deleted_at < now() - make_interval(days => $2) for update"#,
        id as _,
        kept_days
    )
    .fetch_optional(&mut *conn)
    .await?;
    match row {
        Some(row) => row.with_pieces(conn).await.map(Some),
        None => Ok(None),
    }
}

pub async fn organization(conn: &mut PgConnection, id: AppId) -> sqlx::Result<OrganizationId> {
    sqlx::query_scalar!(
        r#"select projects.organization_id from apps
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id
           where apps.id = $1"#,
        id as _
    )
    .fetch_one(conn)
    .await
}

/// Lists the app's build caches for removal, and says which workers have one.
pub async fn remove_caches(conn: &mut PgConnection, id: AppId) -> sqlx::Result<Vec<NodeId>> {
    sqlx::query_scalar!(
        r#"insert into cache_removals (node_id, app_id)
           select distinct jobs.node_id, deployments.app_id from jobs
           join deployments on deployments.id = jobs.deployment_id
           where app_id = $1 and jobs.kind = 'build' and jobs.node_id is not null
           on conflict do nothing returning node_id as "node: NodeId""#,
        id as _
    )
    .fetch_all(conn)
    .await
}

/// Apps that are gone, and whose build caches the worker may still have.
pub async fn caches_to_remove(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<Vec<AppId>> {
    sqlx::query_scalar!(
        r#"select app_id as "app: AppId" from cache_removals where node_id = $1 order by app_id"#,
        node as _
    )
    .fetch_all(conn)
    .await
}

/// Forgets the lists that are so old that every worker which is still there has done them.
pub async fn sweep_caches(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("delete from cache_removals where created_at < now() - interval '30 days'")
        .execute(conn)
        .await?;
    Ok(())
}

/// Removes the app with all that is its own, and counts it.
pub async fn remove(conn: &mut PgConnection, id: AppId) -> sqlx::Result<Removed> {
    let images = sqlx::query_scalar!(
        "select distinct image_reference from releases where app_id = $1 order by image_reference",
        id as _
    )
    .fetch_all(&mut *conn)
    .await?;
    let pieces = pieces(conn, id).await?;
    sqlx::query!(
        "delete from certificates using apps join zones on zones.id = apps.zone_id
         where apps.id = $1
           and (host = apps.slug || '.' || zones.suffix
                or host in (select hostname from domains where app_id = $1 and state = 'verified'))",
        id as _
    )
    .execute(&mut *conn)
    .await?;
    let log_lines =
        sqlx::query!("delete from instance_log where app_id = $1", id as _).execute(&mut *conn).await?;
    let deployment_log_lines = sqlx::query!(
        "delete from deployment_log using deployments
         where deployments.id = deployment_log.deployment_id and app_id = $1",
        id as _
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("delete from archives where app_id = $1", id as _).execute(&mut *conn).await?;
    // Before its releases, which deployments name; all else goes with the app itself.
    sqlx::query!("delete from deployments where app_id = $1", id as _).execute(&mut *conn).await?;
    sqlx::query!("delete from releases where app_id = $1", id as _).execute(&mut *conn).await?;
    sqlx::query!("delete from apps where id = $1", id as _).execute(conn).await?;
    Ok(Removed {
        pieces,
        deployment_log_lines: deployment_log_lines.rows_affected(),
        log_lines: log_lines.rows_affected(),
        images,
    })
}
