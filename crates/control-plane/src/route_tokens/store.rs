//! SQL of route tokens.

use chrono::{DateTime, Utc};
use protocol::ids::{NodeId, RouteTokenId};
use protocol::spec::Generation;
use sqlx::PgConnection;

use super::RouteToken;

/// A token that has not ended, as a request brought it.
#[derive(Debug)]
pub struct Admitted {
    pub worker_id: Option<NodeId>,
    /// Of the routes, read along.
    pub generation: Generation,
}

/// The token with this digest. Notes its use, once a minute: it is asked for every few seconds.
pub async fn admit(conn: &mut PgConnection, digest: &[u8]) -> sqlx::Result<Option<Admitted>> {
    sqlx::query_as!(
        Admitted,
        r#"with used as (
               update route_tokens set last_used_at = now()
               where token_digest = $1 and (expires_at is null or expires_at > now())
                 and (last_used_at is null or last_used_at < now() - interval '1 minute')
           )
           select worker_id,
                  coalesce((select generation from generations where consumer = 'routes'), 0) as "generation!"
           from route_tokens where token_digest = $1 and (expires_at is null or expires_at > now())"#,
        digest
    )
    .fetch_optional(conn)
    .await
}

/// A token that is to be.
#[derive(Debug)]
pub struct New<'a> {
    pub name: &'a str,
    pub digest: &'a [u8],
    pub worker: Option<NodeId>,
    pub created_by: &'a str,
    pub expires_at: Option<DateTime<Utc>>,
}

pub async fn create(conn: &mut PgConnection, new: &New<'_>) -> sqlx::Result<RouteTokenId> {
    sqlx::query_scalar!(
        "insert into route_tokens (id, name, token_digest, worker_id, created_by, expires_at)
         values ($1, $2, $3, $4, $5, $6) returning id",
        RouteTokenId::new() as _,
        new.name,
        new.digest,
        new.worker as _,
        new.created_by,
        new.expires_at
    )
    .fetch_one(conn)
    .await
}

/// All tokens, or the one of `id`; those of workers that are gone are gone with them.
pub async fn list(conn: &mut PgConnection, id: Option<RouteTokenId>) -> sqlx::Result<Vec<RouteToken>> {
    sqlx::query_as!(
        RouteToken,
        r#"select route_tokens.id, route_tokens.name, nodes.name as "worker?", created_by,
                  route_tokens.created_at, last_used_at, expires_at
           from route_tokens left join nodes on nodes.id = worker_id
           where ($1::uuid is null or route_tokens.id = $1) order by route_tokens.name, route_tokens.id"#,
        id as _
    )
    .fetch_all(conn)
    .await
}

/// What a new token takes over from the one that it replaces, whose row stays locked.
#[derive(Debug)]
pub struct Replaced {
    pub name: String,
    pub worker_id: Option<NodeId>,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
}

pub async fn lock(conn: &mut PgConnection, id: RouteTokenId) -> sqlx::Result<Option<Replaced>> {
    sqlx::query_as!(
        Replaced,
        "select name, worker_id, created_at, expires_at from route_tokens
         where id = $1 and (expires_at is null or expires_at > now()) for update",
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// The token ends at `at`, unless it ends before.
pub async fn end(conn: &mut PgConnection, id: RouteTokenId, at: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("update route_tokens set expires_at = least(expires_at, $2) where id = $1", id as _, at)
        .execute(conn)
        .await?;
    Ok(())
}

/// The deleted token's name.
pub async fn delete(conn: &mut PgConnection, id: RouteTokenId) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!("delete from route_tokens where id = $1 returning name", id as _)
        .fetch_optional(conn)
        .await
}

/// How many there are.
pub async fn count(conn: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from route_tokens"#).fetch_one(conn).await
}
