//! The record of who did what. Written in the transaction of the deed.

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
