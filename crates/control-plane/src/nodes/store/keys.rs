//! SQL of API keys: the one in use, one that the host has made and not used yet, and the one before.

use protocol::identity::ApiKey;
use protocol::ids::NodeId;
use sqlx::PgConnection;
use uuid::Uuid;

/// How long the key before the one in use stays good: the other agents of the host look for another one every two
/// seconds, and a program that was stopped may need a while.
pub const OVERLAP_S: f64 = 600.0;

/// How many hexadecimal digits of a key's digest tell which of a node's keys a token was issued for.
const TAG: usize = 16;

/// Says in an access token which key it was issued for.
pub fn tag(key: &ApiKey) -> String {
    let mut digest = key.login_digest();
    digest.truncate(TAG);
    digest
}

/// Gives the node a new API key, whatever it had before: the digest that recognises it and the sealed key that signs.
pub async fn set(conn: &mut PgConnection, id: NodeId, digest: &str, signing_key: &[u8]) -> sqlx::Result<()> {
    sqlx::query!(
        "update nodes set api_key_digest = $2, signing_key = $3, revoked_at = null,
                rotation = null, rotation_asked_at = null, next_key_digest = null, next_signing_key = null,
                former_key_digest = null, former_signing_key = null, former_key_until = null, key_changed_at = null
         where id = $1",
        id as _,
        digest,
        signing_key
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The node that has a key with this digest, and whether it is the next one, used for the first time.
pub async fn holder(conn: &mut PgConnection, digest: &str) -> sqlx::Result<Option<(NodeId, bool)>> {
    let row = sqlx::query!(
        r#"select id as "id: NodeId", coalesce(next_key_digest = $1, false) as "is_next!" from nodes
           where removed_at is null and (api_key_digest = $1 or next_key_digest = $1
                 or (former_key_digest = $1 and former_key_until > now()))"#,
        digest
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.id, row.is_next)))
}

/// The sealed key that signs the envelopes of who holds an access token with this tag. A token of the version before
/// has none and is of the key in use.
pub async fn signing(
    conn: &mut PgConnection,
    id: NodeId,
    tag: Option<&str>,
) -> sqlx::Result<Option<Vec<u8>>> {
    let found = sqlx::query_scalar!(
        "select case when $2::text is null or starts_with(api_key_digest, $2) then signing_key
                     when starts_with(next_key_digest, $2) then next_signing_key
                     when starts_with(former_key_digest, $2) and former_key_until > now() then former_signing_key end
         from nodes where id = $1 and removed_at is null",
        id as _,
        tag
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.flatten())
}

/// Asks for another key, unless it is asked for already; `false` then.
pub async fn ask(conn: &mut PgConnection, id: NodeId, rotation: Uuid) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update nodes set rotation = $2, rotation_asked_at = now() where id = $1 and rotation is null",
        id as _,
        rotation
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes the key that the host has made; `false` when nobody asked for it, or it is one that the node has had.
pub async fn take_next(
    conn: &mut PgConnection,
    id: NodeId,
    rotation: Uuid,
    digest: &str,
    signing_key: &[u8],
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update nodes set next_key_digest = $3, next_signing_key = $4
         where id = $1 and rotation = $2 and api_key_digest is distinct from $3
           and former_key_digest is distinct from $3",
        id as _,
        rotation,
        digest,
        signing_key
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The next key is used: it takes the place of the one that is in use, which stays good for a while. The ids of all
/// workers, whose images are fetched with tickets of these keys; `None` when somebody else was first.
pub async fn promote(conn: &mut PgConnection, id: NodeId, digest: &str) -> sqlx::Result<Option<Vec<NodeId>>> {
    let done = sqlx::query!(
        "update nodes set former_key_digest = api_key_digest, former_signing_key = signing_key,
                former_key_until = now() + make_interval(secs => $3),
                api_key_digest = next_key_digest, signing_key = next_signing_key,
                next_key_digest = null, next_signing_key = null, rotation = null, rotation_asked_at = null,
                key_changed_at = now()
         where id = $1 and next_key_digest = $2",
        id as _,
        digest,
        OVERLAP_S
    )
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(None);
    }
    let workers = sqlx::query_scalar!(
        r#"select id as "id: NodeId" from nodes where 'worker' = any(roles) and removed_at is null order by id"#
    );
    workers.fetch_all(conn).await.map(Some)
}

/// Refuses all keys of the node from now on; `false` when they are already.
pub async fn revoke(conn: &mut PgConnection, id: NodeId) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update nodes set revoked_at = now(), api_key_digest = null, signing_key = null,
                rotation = null, rotation_asked_at = null, next_key_digest = null, next_signing_key = null,
                former_key_digest = null, former_signing_key = null, former_key_until = null
         where id = $1 and revoked_at is null",
        id as _
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A node whose key somebody should look at.
#[derive(Debug)]
pub struct Stuck {
    pub name: String,
    pub revoked: bool,
    pub instances: i64,
}

/// Nodes that are asked for another key since `patience_s` seconds, and revoked ones with instances.
pub async fn stuck(conn: &mut PgConnection, patience_s: f64) -> sqlx::Result<Vec<Stuck>> {
    sqlx::query_as!(
        Stuck,
        r#"select name, revoked_at is not null as "revoked!",
                  (select count(*) from instances where node_id = nodes.id and wanted) as "instances!"
           from nodes
           where removed_at is null
             and (rotation_asked_at < now() - make_interval(secs => $1)
                  or (revoked_at is not null
                      and exists (select from instances where node_id = nodes.id and wanted)))
           order by name"#,
        patience_s
    )
    .fetch_all(conn)
    .await
}
