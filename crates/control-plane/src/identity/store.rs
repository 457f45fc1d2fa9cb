use std::net::IpAddr;

use protocol::ids::{OrganizationId, SessionId, TokenId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Organization, Session, Token, User};
use crate::http::caller::{Caller, Via};
use crate::http::permission::MemberRole;

/// Who stands behind a session or a token, and which one it is.
struct Known {
    credential: Uuid,
    user_id: UserId,
    email: String,
    name: String,
    organization_id: OrganizationId,
    role: MemberRole,
}

impl Known {
    fn caller(self, via: impl FnOnce(Uuid) -> Via) -> Caller {
        let Self { credential, user_id, email, name, organization_id, role } = self;
        Caller { user_id, email, name, organization_id, role, via: via(credential), address: None }
    }
}

/// The caller behind a session that has not ended; notes that it was seen.
pub async fn caller_by_session(conn: &mut PgConnection, digest: &[u8]) -> sqlx::Result<Option<Caller>> {
    let known = sqlx::query_as!(
        Known,
        "with seen as (
             update sessions set last_seen_at = now()
             where token_digest = $1 and expires_at > now() returning id, user_id
         )
         select seen.id as \"credential: Uuid\", users.id as user_id, email, users.name, organization_id, role
         from seen
         join users on users.id = seen.user_id
         join members on members.user_id = users.id
         order by members.created_at limit 1",
        digest
    )
    .fetch_optional(conn)
    .await?;
    Ok(known.map(|known| known.caller(|id| Via::Session(SessionId(id)))))
}

/// The caller behind an API token that has not ended; notes that it was used.
pub async fn caller_by_token(conn: &mut PgConnection, digest: &[u8]) -> sqlx::Result<Option<Caller>> {
    let known = sqlx::query_as!(
        Known,
        "with used as (
             update api_tokens set last_used_at = now()
             where token_digest = $1 and (expires_at is null or expires_at > now()) returning id, user_id
         )
         select used.id as \"credential: Uuid\", users.id as user_id, email, users.name, organization_id, role
         from used
         join users on users.id = used.user_id
         join members on members.user_id = users.id
         order by members.created_at limit 1",
        digest
    )
    .fetch_optional(conn)
    .await?;
    Ok(known.map(|known| known.caller(|id| Via::Token(TokenId(id)))))
}

/// Whether somebody has set this control plane up.
pub async fn has_users(conn: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!("select exists (select from users) as \"exists!\"").fetch_one(conn).await
}

/// Only one setup at a time, until the transaction ends.
pub async fn lock_setup(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtext('wisehosting setup'))").execute(conn).await?;
    Ok(())
}

pub async fn is_setup_code(conn: &mut PgConnection, digest: &[u8]) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        "select exists (select from setup_codes where code_digest = $1 and expires_at > now()) as \"exists!\"",
        digest
    )
    .fetch_one(conn)
    .await
}

pub async fn delete_setup_codes(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("delete from setup_codes").execute(conn).await?;
    Ok(())
}

pub async fn create_user(
    conn: &mut PgConnection,
    email: &str,
    name: &str,
    password_hash: &str,
) -> sqlx::Result<UserId> {
    sqlx::query_scalar!(
        "insert into users (id, email, name, password_hash) values ($1, $2, $3, $4) returning id",
        UserId::new() as _,
        email,
        name,
        password_hash
    )
    .fetch_one(conn)
    .await
}

/// Makes an organization with its owner.
pub async fn create_organization(
    conn: &mut PgConnection,
    slug: &str,
    name: &str,
    owner: UserId,
) -> sqlx::Result<OrganizationId> {
    let id = sqlx::query_scalar!(
        "insert into organizations (id, slug, name) values ($1, $2, $3) returning id",
        OrganizationId::new() as _,
        slug,
        name
    )
    .fetch_one(&mut *conn)
    .await?;
    sqlx::query!(
        "insert into members (organization_id, user_id, role) values ($1, $2, 'owner')",
        id as _,
        owner as _
    )
    .execute(conn)
    .await?;
    Ok(id)
}

/// The account behind an e-mail address.
pub async fn account(conn: &mut PgConnection, email: &str) -> sqlx::Result<Option<(UserId, String)>> {
    let row = sqlx::query!("select id, password_hash from users where lower(email) = lower($1)", email)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(|row| (row.id, row.password_hash)))
}

/// What a user sees of themselves in their first organization.
pub async fn session_of(conn: &mut PgConnection, user: UserId, zone: &str) -> sqlx::Result<Option<Session>> {
    let row = sqlx::query!(
        "select users.id, email, users.name, organizations.id as organization_id, slug,
                organizations.name as organization, role,
                (select suffix from zones where is_default) as zone
         from users join members on members.user_id = users.id
         join organizations on organizations.id = members.organization_id
         where users.id = $1 order by members.created_at limit 1",
        user as _
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Session {
        user: User { id: row.id, email: row.email, name: row.name },
        organization: Organization {
            id: row.organization_id,
            slug: row.slug,
            name: row.organization,
            role: row.role,
        },
        zone: row.zone.unwrap_or_else(|| zone.to_owned()),
    }))
}

/// Makes a session and forgets the user's ended ones.
pub async fn create_session(
    conn: &mut PgConnection,
    user: UserId,
    digest: &[u8],
    user_agent: &str,
    address: Option<IpAddr>,
) -> sqlx::Result<SessionId> {
    sqlx::query!("delete from sessions where user_id = $1 and expires_at < now()", user as _)
        .execute(&mut *conn)
        .await?;
    sqlx::query_scalar!(
        "insert into sessions (id, user_id, token_digest, user_agent, address, expires_at)
         values ($1, $2, $3, $4, $5, now() + make_interval(days => $6)) returning id",
        SessionId::new() as _,
        user as _,
        digest,
        user_agent,
        address.map(ipnet::IpNet::from) as _,
        super::SESSION_DAYS
    )
    .fetch_one(conn)
    .await
}

pub async fn delete_session(conn: &mut PgConnection, id: SessionId) -> sqlx::Result<()> {
    sqlx::query!("delete from sessions where id = $1", id as _).execute(conn).await?;
    Ok(())
}

pub async fn delete_session_by_digest(conn: &mut PgConnection, digest: &[u8]) -> sqlx::Result<()> {
    sqlx::query!("delete from sessions where token_digest = $1", digest).execute(conn).await?;
    Ok(())
}

pub async fn create_token(
    conn: &mut PgConnection,
    user: UserId,
    name: &str,
    digest: &[u8],
    days: Option<i32>,
) -> sqlx::Result<Token> {
    sqlx::query_as!(
        Token,
        "insert into api_tokens (id, user_id, name, token_digest, expires_at)
         values ($1, $2, $3, $4, now() + make_interval(days => $5))
         returning id, name, created_at, expires_at, last_used_at",
        TokenId::new() as _,
        user as _,
        name,
        digest,
        days
    )
    .fetch_one(conn)
    .await
}

pub async fn list_tokens(
    conn: &mut PgConnection,
    user: UserId,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Token>> {
    sqlx::query_as!(
        Token,
        "select id, name, created_at, expires_at, last_used_at from api_tokens
         where user_id = $1 and ($2::uuid is null or id > $2) order by id limit $3",
        user as _,
        after,
        limit + 1
    )
    .fetch_all(conn)
    .await
}

/// The deleted token's name.
pub async fn delete_token(
    conn: &mut PgConnection,
    user: UserId,
    id: TokenId,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "delete from api_tokens where id = $1 and user_id = $2 returning name",
        id as _,
        user as _
    )
    .fetch_optional(conn)
    .await
}
