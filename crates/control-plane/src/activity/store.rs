use chrono::{DateTime, Utc};
use protocol::ids::{AppId, OrganizationId};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

/// An event as the audit log has it.
#[derive(Debug)]
pub struct Event {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    /// `user:<e-mail>`, `node:<name>` or `system`.
    pub actor: String,
    /// What the user is called, while there is one.
    pub name: Option<String>,
    pub action: String,
    pub target: String,
    pub detail: Value,
}

/// Events of the app and of its deployments, newest first, one more than the limit. What a start, restart or scale
/// begins is told with the deed, and that a session in an instance ended is no news.
pub async fn list(
    conn: &mut PgConnection,
    organization: OrganizationId,
    app: AppId,
    before: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Event>> {
    sqlx::query_as!(
        Event,
        r#"select audit_events.id, at, actor, users.name as "name?", action, target, detail
           from audit_events
           join apps on apps.id = $2
           left join users on users.id = audit_events.user_id
           where audit_events.organization_id = $1 and audit_events.app = apps.slug and at >= apps.created_at
             and action <> 'exec.end'
             and not (action = 'deployment.create' and detail ->> 'kind' in ('start', 'restart', 'scale'))
             and ($3::uuid is null or audit_events.id < $3)
           order by audit_events.id desc limit $4"#,
        organization as _,
        app as _,
        before,
        limit + 1
    )
    .fetch_all(conn)
    .await
}
