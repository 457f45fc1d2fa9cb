//! The record of who did what. Written in the transaction of the deed.

pub mod api;
#[cfg(test)]
mod tests;

use protocol::ids::OrganizationId;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::http::caller::Caller;
use crate::http::request_log;

/// Records a deed of a user, for the organization in which they act. `action` is `<noun>.<verb>`, `target` `<noun>:<name>`.
pub async fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    action: &str,
    target: &str,
    detail: Value,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into audit_events (id, organization_id, actor, user_id, action, target, detail, address, request_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        Uuid::now_v7(),
        caller.organization_id as _,
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

/// Records what the system or a node did to the whole installation, for instance to a node. `actor` is `system` or
/// `node:<name>`. What concerns an app is [`record_of`] its organization.
pub async fn record_system(
    conn: &mut PgConnection,
    actor: &str,
    action: &str,
    target: &str,
    detail: Value,
) -> sqlx::Result<()> {
    insert(conn, None, actor, action, target, detail).await
}

/// Records what the system or a node did to something of an organization. `actor` is `system` or `node:<name>`.
pub async fn record_of(
    conn: &mut PgConnection,
    organization: OrganizationId,
    actor: &str,
    action: &str,
    target: &str,
    detail: Value,
) -> sqlx::Result<()> {
    insert(conn, Some(organization), actor, action, target, detail).await
}

async fn insert(
    conn: &mut PgConnection,
    organization: Option<OrganizationId>,
    actor: &str,
    action: &str,
    target: &str,
    detail: Value,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into audit_events (id, organization_id, actor, action, target, detail) values ($1, $2, $3, $4, $5, $6)",
        Uuid::now_v7(),
        organization as _,
        actor,
        action,
        target,
        detail
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What happened in the organization, to its members and to the nodes, newest first. An event without an organization
/// is shown only if it is known to be of all: one that was recorded as such by mistake is seen by nobody.
async fn list(
    conn: &mut PgConnection,
    organization: OrganizationId,
    before: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<api::AuditEvent>> {
    sqlx::query_as!(
        api::AuditEvent,
        "select id, at, actor, host(address) as address, action, target, detail from audit_events
         where (organization_id = $1
                or organization_id is null
                   and (split_part(target, ':', 1) in ('node', 'node-token')
                        or target in (select 'user:' || email from users
                                      join members on members.user_id = users.id
                                      where members.organization_id = $1)))
           and ($2::uuid is null or id < $2)
         order by id desc limit $3",
        organization as _,
        before,
        limit + 1
    )
    .fetch_all(conn)
    .await
}
