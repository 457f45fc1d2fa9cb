use protocol::ids::{SessionId, TokenId};
use sqlx::PgConnection;

use crate::http::caller::{Caller, Via};

/// The caller behind a session that has not ended; notes that it was seen.
pub async fn caller_by_session(conn: &mut PgConnection, digest: &[u8]) -> sqlx::Result<Option<Caller>> {
    let row = sqlx::query!(
        "with seen as (
             update sessions set last_seen_at = now()
             where token_digest = $1 and expires_at > now() returning id, user_id
         )
         select seen.id as \"session_id: SessionId\", users.id, users.email, users.name, members.organization_id, members.role
         from seen
         join users on users.id = seen.user_id
         join members on members.user_id = users.id
         order by members.created_at limit 1",
        digest
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Caller {
        user_id: row.id,
        email: row.email,
        name: row.name,
        organization_id: row.organization_id,
        role: row.role,
        via: Via::Session(row.session_id),
        address: None,
    }))
}

/// The caller behind an API token that has not ended; notes that it was used.
pub async fn caller_by_token(conn: &mut PgConnection, digest: &[u8]) -> sqlx::Result<Option<Caller>> {
    let row = sqlx::query!(
        "with used as (
             update api_tokens set last_used_at = now()
             where token_digest = $1 and (expires_at is null or expires_at > now()) returning id, user_id
         )
         select used.id as \"token_id: TokenId\", users.id, users.email, users.name, members.organization_id, members.role
         from used
         join users on users.id = used.user_id
         join members on members.user_id = users.id
         order by members.created_at limit 1",
        digest
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Caller {
        user_id: row.id,
        email: row.email,
        name: row.name,
        organization_id: row.organization_id,
        role: row.role,
        via: Via::Token(row.token_id),
        address: None,
    }))
}
