use chrono::{DateTime, Utc};
use protocol::ids::{AppId, InstanceId, JobId, NodeId, OrganizationId};
use protocol::report::Stream;
use serde::Serialize;
use serde_json::Value;
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

/// Which lines of an app; what is absent does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub instance: Option<InstanceId>,
    pub release: Option<i32>,
    /// Part of the line, in whatever case.
    pub text: Option<String>,
}

/// Lines that arrived after `after`, oldest first.
pub async fn after(
    conn: &mut PgConnection,
    app: AppId,
    filter: &Filter,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<AppLogLine>> {
    sqlx::query_as!(
        AppLogLine,
        r#"select id::text as "id!", at, stream as "stream: Stream", text, instance_id as "instance_id: InstanceId",
                  release
           from instance_log
           where app_id = $1 and id > $2 and ($3::uuid is null or instance_id = $3)
             and ($5::int is null or release = $5) and ($6::text is null or position(lower($6) in lower(text)) > 0)
           order by instance_log.id limit $4"#,
        app as _,
        after,
        filter.instance as _,
        limit,
        filter.release,
        filter.text
    )
    .fetch_all(conn)
    .await
}

/// The newest lines, oldest first.
pub async fn newest(
    conn: &mut PgConnection,
    app: AppId,
    filter: &Filter,
    limit: i64,
) -> sqlx::Result<Vec<AppLogLine>> {
    let mut lines = sqlx::query_as!(
        AppLogLine,
        r#"select id::text as "id!", at, stream as "stream: Stream", text, instance_id as "instance_id: InstanceId",
                  release
           from instance_log
           where app_id = $1 and ($2::uuid is null or instance_id = $2)
             and ($4::int is null or release = $4) and ($5::text is null or position(lower($5) in lower(text)) > 0)
           order by instance_log.id desc limit $3"#,
        app as _,
        filter.instance as _,
        limit,
        filter.release,
        filter.text
    )
    .fetch_all(conn)
    .await?;
    lines.reverse();
    Ok(lines)
}

/// An app of whose log something was taken out.
#[derive(Debug)]
pub struct Scrubbed {
    pub slug: String,
    pub organization_id: OrganizationId,
}

/// The app whose build is, or was, on the node.
pub async fn app_of_build(
    conn: &mut PgConnection,
    app: AppId,
    job: JobId,
    node: NodeId,
) -> sqlx::Result<Option<Scrubbed>> {
    sqlx::query_as!(
        Scrubbed,
        "select apps.slug, projects.organization_id from apps
         join environments on environments.id = apps.environment_id
         join projects on projects.id = environments.project_id
         join deployments on deployments.app_id = apps.id
         join jobs on jobs.deployment_id = deployments.id
         where apps.id = $1 and jobs.id = $2 and jobs.node_id = $3",
        app as _,
        job as _,
        node as _
    )
    .fetch_optional(conn)
    .await
}

/// The app whose instance is on the node.
pub async fn app_of_instance(
    conn: &mut PgConnection,
    app: AppId,
    instance: InstanceId,
    node: NodeId,
) -> sqlx::Result<Option<Scrubbed>> {
    sqlx::query_as!(
        Scrubbed,
        "select apps.slug, projects.organization_id from apps
         join environments on environments.id = apps.environment_id
         join projects on projects.id = environments.project_id
         join instances on instances.app_id = apps.id
         where apps.id = $1 and instances.id = $2 and instances.node_id = $3",
        app as _,
        instance as _,
        node as _
    )
    .fetch_optional(conn)
    .await
}

/// Whether the audit log has it already.
pub async fn is_told(conn: &mut PgConnection, target: &str, detail: &Value) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (
               select 1 from audit_events where action = 'secret.scrubbed' and target = $1 and detail = $2
           ) as "exists!""#,
        target,
        detail
    )
    .fetch_one(conn)
    .await
}
