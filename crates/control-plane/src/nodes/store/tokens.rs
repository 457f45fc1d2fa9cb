//! SQL of join tokens.

use chrono::{DateTime, Utc};
use protocol::identity::Role;
use protocol::ids::{NodeId, NodeTokenId, UserId};
use protocol::labels::Labels;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::super::enrol::Grant;
use super::super::{NodeToken, roles, words};
use super::known;
use crate::http::page::PageQuery;

/// A join token to be.
#[derive(Debug)]
pub struct NewToken<'a> {
    pub id: NodeTokenId,
    pub digest: &'a [u8],
    pub roles: &'a [Role],
    pub name: Option<&'a str>,
    pub labels: &'a Labels,
    pub zone: Option<&'a str>,
    pub created_by: UserId,
    pub expires_at: DateTime<Utc>,
}

pub async fn insert_token(conn: &mut PgConnection, token: &NewToken<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into node_tokens (id, token_digest, roles, name, labels, zone, created_by, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        token.id as _,
        token.digest,
        &words(token.roles),
        token.name,
        Json(token.labels) as _,
        token.zone,
        token.created_by as _,
        token.expires_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The token with this digest, held until the transaction ends.
pub async fn lock_token(
    conn: &mut PgConnection,
    digest: &[u8],
) -> sqlx::Result<Option<(NodeTokenId, Grant)>> {
    let row = sqlx::query!(
        r#"select id, roles, name, labels as "labels: Json<Labels>", zone, expires_at, used_at, used_by
           from node_tokens where token_digest = $1 for update"#,
        digest
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let used_by_key = match row.used_by {
        Some(node) => known(conn, node).await?.map(|node| node.public_key),
        None => None,
    };
    let grant = Grant {
        roles: roles(&row.roles),
        name: row.name,
        labels: row.labels.0,
        zone: row.zone,
        expires_at: row.expires_at,
        used_by_key,
        used: row.used_at.is_some(),
    };
    Ok(Some((row.id, grant)))
}

pub async fn use_token(conn: &mut PgConnection, id: NodeTokenId, node: NodeId) -> sqlx::Result<()> {
    sqlx::query!(
        "update node_tokens set used_at = coalesce(used_at, now()), used_by = $2, refusal = null, refused_at = null
         where id = $1",
        id as _,
        node as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A host that showed the token was refused. Who waits for it should hear why.
pub async fn note_refusal(conn: &mut PgConnection, digest: &[u8], refusal: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update node_tokens set refusal = $2, refused_at = now() where token_digest = $1 and used_at is null",
        digest,
        refusal
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One page of the tokens, or the one with this id.
pub async fn list_tokens(
    conn: &mut PgConnection,
    page: &PageQuery,
    only: Option<NodeTokenId>,
) -> sqlx::Result<Vec<NodeToken>> {
    let rows = sqlx::query!(
        r#"select node_tokens.id, node_tokens.roles, node_tokens.name,
                  node_tokens.labels as "labels: Json<Labels>", node_tokens.zone,
                  node_tokens.created_at, expires_at, used_at, nodes.name as "used_by?", refusal, refused_at
           from node_tokens left join nodes on nodes.id = used_by
           where ($1::uuid is null or node_tokens.id > $1) and ($3::uuid is null or node_tokens.id = $3)
           order by node_tokens.id limit $2"#,
        page.cursor,
        page.limit() + 1,
        only as _
    )
    .fetch_all(conn)
    .await?;
    let tokens = rows.into_iter().map(|row| NodeToken {
        id: row.id,
        roles: roles(&row.roles),
        name: row.name,
        labels: row.labels.0,
        zone: row.zone,
        created_at: row.created_at,
        expires_at: row.expires_at,
        used_at: row.used_at,
        used_by: row.used_by,
        refusal: row.refusal,
        refused_at: row.refused_at,
    });
    Ok(tokens.collect())
}

/// Withdraws a token; `false` when there is none.
pub async fn delete_token(conn: &mut PgConnection, id: NodeTokenId) -> sqlx::Result<bool> {
    let done = sqlx::query!("delete from node_tokens where id = $1", id as _).execute(conn).await?;
    Ok(done.rows_affected() == 1)
}
