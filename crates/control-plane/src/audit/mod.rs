//! The record of who did what. Written in the transaction of the deed.

pub mod api;

use protocol::ids::OrganizationId;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::http::caller::Caller;
use crate::http::request_log;

/// Records a deed of a user. `action` is `<noun>.<verb>`, `target` `<noun>:<name>`.
pub async fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    action: &str,
    target: &str,
    detail: Value,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into audit_events (id, actor, user_id, action, target, detail, address, request_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        Uuid::now_v7(),
        format!("user:{}", caller.email),
        caller.user_id as _,
        action,
        target,
        detail,
        caller.address.map(ipnet::IpNet::from) as _,
        request_log::request_id(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Records what the system or a node did by itself. `actor` is `system` or `node:<name>`.
pub async fn record_system(
    conn: &mut PgConnection,
    actor: &str,
    action: &str,
    target: &str,
    detail: Value,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into audit_events (id, actor, action, target, detail) values ($1, $2, $3, $4, $5)",
        Uuid::now_v7(),
        actor,
        action,
        target,
        detail
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What members of the organization, nodes and the system did, newest first.
async fn list(
    conn: &mut PgConnection,
    organization: OrganizationId,
    before: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<api::AuditEvent>> {
    sqlx::query_as!(
        api::AuditEvent,
        "select id, at, actor, host(address) as address, action, target, detail from audit_events
         where (user_id is null or user_id in (select user_id from members where organization_id = $1))
           and ($2::uuid is null or id < $2)
         order by id desc limit $3",
        organization as _,
        before,
        limit + 1
    )
    .fetch_all(conn)
    .await
}
