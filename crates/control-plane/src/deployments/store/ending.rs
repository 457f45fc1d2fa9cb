//! The end of a deployment in the audit log. Who cancels one is recorded there.

use protocol::ids::DeploymentId;
use protocol::job::Failure;
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::audit;

/// The deployment is live.
pub async fn record_live(conn: &mut PgConnection, id: DeploymentId) -> sqlx::Result<()> {
    record(conn, id, "deployment.live", json!({})).await
}

/// The deployment failed.
pub async fn record_failure(
    conn: &mut PgConnection,
    id: DeploymentId,
    failure: &Failure,
) -> sqlx::Result<()> {
    let detail = json!({ "code": failure.code, "message": failure.message, "stage": failure.stage });
    record(conn, id, "deployment.fail", detail).await
}

async fn record(
    conn: &mut PgConnection,
    id: DeploymentId,
    action: &str,
    mut detail: Value,
) -> sqlx::Result<()> {
    let of = sqlx::query!(
        r#"select apps.slug, projects.organization_id, deployments.number, releases.number as "release?"
           from deployments
           join apps on apps.id = deployments.app_id
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id
           left join releases on releases.id = deployments.release_id
           where deployments.id = $1"#,
        id as _
    )
    .fetch_one(&mut *conn)
    .await?;
    detail["app"] = json!(of.slug);
    detail["number"] = json!(of.number);
    detail["release"] = json!(of.release);
    audit::record_of(conn, of.organization_id, "system", action, &format!("deployment:{id}"), detail).await
}
