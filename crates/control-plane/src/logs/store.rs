use chrono::{DateTime, Utc};
use protocol::ids::{AppId, InstanceId};
use protocol::report::Stream;
use serde::Serialize;
use sqlx::PgConnection;

/// One line of an app.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AppLogLine {
    /// Order of arrival: the cursor of readers.
    pub id: String,
    pub at: DateTime<Utc>,
    pub stream: Stream,
    pub text: String,
    pub instance_id: InstanceId,
    pub release: i32,
}

/// Lines that arrived after `after`, oldest first.
pub async fn after(
    conn: &mut PgConnection,
    app: AppId,
    instance: Option<InstanceId>,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<AppLogLine>> {
    sqlx::query_as!(
        AppLogLine,
        r#"select id::text as "id!", at, stream as "stream: Stream", text, instance_id as "instance_id: InstanceId",
                  release
           from instance_log
           where app_id = $1 and id > $2 and ($3::uuid is null or instance_id = $3)
           order by instance_log.id limit $4"#,
        app as _,
        after,
        instance as _,
        limit
    )
    .fetch_all(conn)
    .await
}

/// The newest lines, oldest first.
pub async fn newest(
    conn: &mut PgConnection,
    app: AppId,
    instance: Option<InstanceId>,
    limit: i64,
) -> sqlx::Result<Vec<AppLogLine>> {
    let mut lines = sqlx::query_as!(
        AppLogLine,
        r#"select id::text as "id!", at, stream as "stream: Stream", text, instance_id as "instance_id: InstanceId",
                  release
           from instance_log
           where app_id = $1 and ($2::uuid is null or instance_id = $2)
           order by instance_log.id desc limit $3"#,
        app as _,
        instance as _,
        limit
    )
    .fetch_all(conn)
    .await?;
    lines.reverse();
    Ok(lines)
}
