//! The queue of builds as people see it: who runs, who waits at which place and why, and the way to the front.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use protocol::ids::{DeploymentId, JobId};
use serde::Serialize;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::store::queue;
use crate::app::AppState;
use crate::bus::{self, Topic};
use crate::deployments::{self, AppRef, Deployment, Kind};
use crate::http::caller::Caller;
use crate::http::extract::Path;
use crate::http::page::Page;
use crate::http::{Code, Error, Permission, Result, guard};
use crate::{apps, audit};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::AppRead, routes!(list_jobs))).routes(guard(
        app,
        Permission::QueueWrite,
        routes!(move_to_front),
    ))
}

/// A build that waits or runs.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct QueuedBuild {
    pub id: JobId,
    pub app: AppRef,
    pub deployment: DeploymentRef,
    pub state: QueuedState,
    /// Its place among the builds of all that wait, 1 is next; null once it runs.
    pub position: Option<i64>,
    /// Why it does not run yet, in words; null once it does.
    pub reason: Option<String>,
    /// When it began to run or, until then, to wait.
    pub since: DateTime<Utc>,
    /// Name of the worker that runs it.
    pub node: Option<String>,
    /// It was cancelled; its worker has not stopped it yet.
    pub cancelling: bool,
    pub created_by: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QueuedState {
    Queued,
    Running,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct DeploymentRef {
    pub id: DeploymentId,
    pub number: i32,
    pub kind: Kind,
}

/// Builds that run or wait: the running ones first, then in the order in which they will start.
#[utoipa::path(get, path = "/jobs", tag = "jobs", responses((status = 200, body = Page<QueuedBuild>)))]
async fn list_jobs(State(app): State<AppState>, caller: Caller) -> Result<Json<Page<QueuedBuild>>> {
    let mut conn = app.db.acquire().await?;
    Ok(Json(Page::whole(queue::list(&mut conn, caller.organization_id).await?)))
}

/// Moves the build of a queued deployment to the front, with earlier ones of its app, which go before it.
#[utoipa::path(post, path = "/deployments/{id}/front", tag = "jobs", params(("id" = DeploymentId, Path)), responses((status = 200, body = Deployment)))]
async fn move_to_front(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<DeploymentId>,
) -> Result<Json<Deployment>> {
    let (organization, scheme) = (caller.organization_id, apps::api::scheme(&app));
    let unknown = || Error::not_found("deployment with this id");
    let mut tx = app.db.begin().await?;
    let before = deployments::store::view(&mut tx, organization, id, scheme).await?.ok_or_else(unknown)?;
    if deployments::store::lock(&mut tx, id).await? != deployments::State::Queued
        || queue::to_front(&mut tx, id).await? == 0
    {
        return Err(Error::new(Code::NotQueued, "this deployment does not wait for a build slot")
            .hint("`wh queue` lists the ones that do"));
    }
    let after = deployments::store::view(&mut tx, organization, id, scheme).await?.ok_or_else(unknown)?;
    let detail = json!({
        "app": after.app.slug, "number": after.number,
        "before": before.queue_position, "after": after.queue_position,
    });
    audit::record(&mut tx, &caller, "deployment.front", &format!("deployment:{id}"), detail).await?;
    bus::say(&mut tx, Topic::Deployments, id).await?;
    tx.commit().await?;
    Ok(Json(after))
}
