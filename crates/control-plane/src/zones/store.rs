//! SQL of zones.

use std::collections::HashMap;

use protocol::ids::{AppId, NodeId, ZoneId};
use sqlx::PgConnection;

use super::Mode;

/// A zone's row, with the worker's name.
#[derive(Debug, Clone)]
pub struct Row {
    pub id: ZoneId,
    pub suffix: String,
    pub mode: Mode,
    pub worker_id: Option<NodeId>,
    pub worker: Option<String>,
    pub port: Option<i32>,
    /// Of the Traefiks that serve it, which orders its certificates.
    pub resolver: Option<String>,
    pub is_default: bool,
    /// Whether the ingress of its worker is connected; absent when there never was one.
    pub ingress: Option<bool>,
    /// Whether a Traefik reads the worker's routes.
    pub polled: bool,
}

/// All zones, the one of new apps first.
pub async fn list(conn: &mut PgConnection) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"select zones.id, suffix, mode, zones.worker_id, nodes.name as "worker?", port, resolver, is_default,
                  (select connected_to is not null from agents
                   where node_id = zones.worker_id and kind = 'ingress') as ingress,
                  exists (select from route_tokens
                          where route_tokens.worker_id = zones.worker_id
                            and last_used_at > now() - interval '10 minutes') as "polled!"
           from zones left join nodes on nodes.id = zones.worker_id order by is_default desc, suffix"#
    )
    .fetch_all(conn)
    .await
}

/// How many apps each zone has; those without any are left out.
pub async fn apps(conn: &mut PgConnection) -> sqlx::Result<HashMap<ZoneId, i64>> {
    let rows =
        sqlx::query!(r#"select zone_id as "zone: ZoneId", count(*) as "count!" from apps group by zone_id"#)
            .fetch_all(conn)
            .await?;
    Ok(rows.into_iter().map(|row| (row.zone, row.count)).collect())
}

/// One change of the zones at a time: none may lie in another.
pub async fn lock(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("lock table zones in share row exclusive mode").execute(conn).await?;
    Ok(())
}

/// Holds the zone for an app that comes into it, so that it is not removed meanwhile; `false` when it is gone.
pub async fn hold(conn: &mut PgConnection, id: ZoneId) -> sqlx::Result<bool> {
    let held =
        sqlx::query_scalar!(r#"select true as "held!" from zones where id = $1 for key share"#, id as _);
    Ok(held.fetch_optional(conn).await?.is_some())
}

/// Waits for apps that are on their way into the zone, and lets no others in until the transaction ends.
pub async fn close(conn: &mut PgConnection, suffix: &str) -> sqlx::Result<()> {
    sqlx::query!("select from zones where suffix = $1 for update", suffix).execute(conn).await?;
    Ok(())
}

/// Whether verified domains lie in `suffix`.
pub async fn has_domains(conn: &mut PgConnection, suffix: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from domains
                          where state = 'verified' and (hostname = $1 or right(hostname, length($1) + 1) = '.' || $1))
           as "any!""#,
        suffix
    )
    .fetch_one(conn)
    .await
}

/// What people decide of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub mode: Mode,
    pub worker_id: Option<NodeId>,
    pub port: Option<i32>,
    pub resolver: Option<String>,
}

pub async fn insert(conn: &mut PgConnection, suffix: &str, settings: &Settings) -> sqlx::Result<ZoneId> {
    sqlx::query_scalar!(
        "insert into zones (id, suffix, mode, worker_id, port, resolver) values ($1, $2, $3, $4, $5, $6) returning id",
        ZoneId::new() as _,
        suffix,
        settings.mode as _,
        settings.worker_id as _,
        settings.port,
        settings.resolver
    )
    .fetch_one(conn)
    .await
}

pub async fn update(conn: &mut PgConnection, id: ZoneId, settings: &Settings) -> sqlx::Result<()> {
    sqlx::query!(
        "update zones set mode = $2, worker_id = $3, port = $4, resolver = $5 where id = $1",
        id as _,
        settings.mode as _,
        settings.worker_id as _,
        settings.port,
        settings.resolver
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// New apps get this zone from now on.
pub async fn make_default(conn: &mut PgConnection, id: ZoneId) -> sqlx::Result<()> {
    sqlx::query!("update zones set is_default = false where is_default and id <> $1", id as _)
        .execute(&mut *conn)
        .await?;
    sqlx::query!("update zones set is_default = true where id = $1", id as _).execute(conn).await?;
    Ok(())
}

pub async fn delete(conn: &mut PgConnection, id: ZoneId) -> sqlx::Result<()> {
    sqlx::query!("delete from zones where id = $1", id as _).execute(conn).await?;
    Ok(())
}

/// The app is served in another zone.
pub async fn move_app(conn: &mut PgConnection, app: AppId, zone: ZoneId) -> sqlx::Result<()> {
    sqlx::query!("update apps set zone_id = $2, updated_at = now() where id = $1", app as _, zone as _)
        .execute(conn)
        .await?;
    Ok(())
}

/// Suffixes of the zones that point at a node.
pub async fn of_node(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!("select suffix from zones where worker_id = $1 order by suffix", node as _)
        .fetch_all(conn)
        .await
}

/// Takes a node that goes out of its zones.
pub async fn forget_node(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<()> {
    sqlx::query!("update zones set worker_id = null where worker_id = $1", node as _).execute(conn).await?;
    Ok(())
}

/// The zone of the configuration exists, and new apps get it unless another one is chosen.
pub async fn ensure(conn: &mut PgConnection, suffix: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into zones (id, suffix, is_default)
         values ($1, $2, not exists (select from zones where is_default)) on conflict do nothing",
        ZoneId::new() as _,
        suffix
    )
    .execute(conn)
    .await?;
    Ok(())
}
