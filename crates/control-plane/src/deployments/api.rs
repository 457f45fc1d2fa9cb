use axum::Json;
use axum::extract::State as AppStateOf;
use axum::http::{HeaderMap, StatusCode};
use protocol::ids::DeploymentId;
use protocol::job::Source;
use protocol::report::LogLine;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Deployment, State, create, follow, preview, repeat, store};
use crate::app::AppState;
use crate::apps::{self, SettingsPatch, rules};
use crate::audit;
use crate::bus::{self, Topic};
use crate::http::caller::Caller;
use crate::http::extract::{Path, Query};
use crate::http::page::{Page, PageQuery};
use crate::http::{Body, Code, Error, Permission, Result, guard};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::AppDeploy, routes!(create_deployment)))
        .routes(guard(app, Permission::AppRead, routes!(list_deployments)))
        .routes(guard(app, Permission::AppRead, routes!(read_deployment)))
        .routes(guard(app, Permission::AppDeploy, routes!(cancel_deployment)))
        .routes(guard(app, Permission::AppRead, routes!(read_deployment_log)))
        .routes(guard(app, Permission::AppDeploy, routes!(roll_back)))
        .merge(follow::router(app))
        .merge(preview::router(app))
}

pub(super) fn unknown() -> Error {
    Error::not_found("deployment with this id")
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct DeploymentRequest {
    source: Source,
    /// Changes of the app's settings, kept for later deployments too.
    settings: Option<SettingsPatch>,
    message: Option<String>,
    /// Builds every step anew, with base images looked up again, instead of what earlier builds left.
    #[serde(default)]
    no_cache: bool,
}

/// Deploys a source or an image. A request that comes again with the same `Idempotency-Key` within a day makes no second
/// deployment: it is answered with the first one.
#[utoipa::path(post, path = "/apps/{app}/deployments", tag = "deployments", params(("app" = String, Path, description = "Id or slug"), ("Idempotency-Key" = Option<String>, Header, description = "8 to 128 characters, new for each request")), request_body = DeploymentRequest, responses((status = 202, body = Deployment)))]
async fn create_deployment(
    AppStateOf(app): AppStateOf<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    headers: HeaderMap,
    Body(request): Body<DeploymentRequest>,
) -> Result<(StatusCode, Json<Deployment>)> {
    let message = request.message.unwrap_or_default();
    rules::check_message(Some(&message))?;
    let asked = repeat::Key::of(&headers, &(&request.source, &message, request.no_cache))?;
    let mut tx = app.db.begin().await?;
    let mut found = apps::api::hold(&mut tx, &caller, &key).await?;
    if let Some(asked) = &asked
        && let Some(made) = asked.made(&mut tx, found.id).await?
    {
        let view = store::view(&mut tx, caller.organization_id, made, apps::api::scheme(&app)).await?;
        return Ok((StatusCode::ACCEPTED, Json(view.ok_or_else(unknown)?)));
    }
    if let Some(patch) = request.settings {
        let before = found.settings.0.clone();
        patch.apply(&mut found.settings.0);
        rules::check_settings(&found.settings, "settings.")?;
        if found.settings.0 != before {
            apps::store::update(&mut tx, found.id, &found.settings).await?;
            let detail = json!({ "before": before, "after": found.settings.0 });
            audit::record(&mut tx, &caller, "app.update", &format!("app:{}", found.slug), detail).await?;
            bus::say(&mut tx, Topic::Apps, found.id).await?;
        }
    }
    let how = create::How { message: &message, no_cache: request.no_cache };
    let made = create::from_source(&app, &mut tx, &caller, &found, &request.source, how).await?;
    if let Some(asked) = &asked {
        asked.keep(&mut tx, found.id, made.id).await?;
    }
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(made)))
}

/// The deployments of an app, newest first.
#[utoipa::path(get, path = "/apps/{app}/deployments", tag = "deployments", params(("app" = String, Path, description = "Id or slug"), PageQuery), responses((status = 200, body = Page<Deployment>)))]
async fn list_deployments(
    AppStateOf(app): AppStateOf<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Deployment>>> {
    let mut conn = app.db.acquire().await?;
    let found = apps::api::find(&mut conn, &caller, &key).await?;
    let filter = store::Filter { id: None, app: Some(found.id), before: page.cursor, limit: page.limit() };
    let items = store::views(&mut conn, caller.organization_id, filter, apps::api::scheme(&app)).await?;
    Ok(Json(Page::new(items, page.limit(), |deployment| deployment.id.0)))
}

/// One deployment.
#[utoipa::path(get, path = "/deployments/{id}", tag = "deployments", params(("id" = DeploymentId, Path)), responses((status = 200, body = Deployment)))]
async fn read_deployment(
    AppStateOf(app): AppStateOf<AppState>,
    caller: Caller,
    Path(id): Path<DeploymentId>,
) -> Result<Json<Deployment>> {
    let mut conn = app.db.acquire().await?;
    let scheme = apps::api::scheme(&app);
    store::view(&mut conn, caller.organization_id, id, scheme).await?.map(Json).ok_or_else(unknown)
}

/// Cancels a deployment that is not final. A build ends a moment later.
#[utoipa::path(post, path = "/deployments/{id}/cancel", tag = "deployments", params(("id" = DeploymentId, Path)), responses((status = 202, body = Deployment)))]
async fn cancel_deployment(
    AppStateOf(app): AppStateOf<AppState>,
    caller: Caller,
    Path(id): Path<DeploymentId>,
) -> Result<(StatusCode, Json<Deployment>)> {
    let mut tx = app.db.begin().await?;
    let scheme = apps::api::scheme(&app);
    let before = store::view(&mut tx, caller.organization_id, id, scheme).await?.ok_or_else(unknown)?;
    match store::lock(&mut tx, id).await? {
        State::Queued | State::RollingOut => store::set_cancelled(&mut tx, id).await?,
        State::Building => {
            if let Some(job) = store::request_cancel(&mut tx, id).await? {
                bus::say(&mut tx, Topic::Jobs, job).await?;
            }
        }
        State::Live | State::Superseded | State::Failed | State::Cancelled => {
            return Err(Error::new(Code::NotRunning, "this deployment has ended already")
                .hint("Roll back to return to an older release"));
        }
    }
    let detail = json!({ "app": before.app.slug, "number": before.number, "state": before.state });
    audit::record(&mut tx, &caller, "deployment.cancel", &format!("deployment:{id}"), detail).await?;
    bus::say(&mut tx, Topic::Deployments, id).await?;
    let after = store::view(&mut tx, caller.organization_id, id, scheme).await?.ok_or_else(unknown)?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(after)))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct LogQuery {
    /// Number of the last line that is known; from the first line when absent.
    #[serde(default)]
    after: i64,
}

/// Lines of a deployment's log, at most 1000 at a time.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct DeploymentLog {
    lines: Vec<LogLine>,
    /// `after` of the next request.
    next: i64,
}

/// The log of a deployment.
#[utoipa::path(get, path = "/deployments/{id}/log", tag = "deployments", params(("id" = DeploymentId, Path), LogQuery), responses((status = 200, body = DeploymentLog)))]
async fn read_deployment_log(
    AppStateOf(app): AppStateOf<AppState>,
    caller: Caller,
    Path(id): Path<DeploymentId>,
    Query(query): Query<LogQuery>,
) -> Result<Json<DeploymentLog>> {
    let mut conn = app.db.acquire().await?;
    let scheme = apps::api::scheme(&app);
    store::view(&mut conn, caller.organization_id, id, scheme).await?.ok_or_else(unknown)?;
    let lines = store::log(&mut conn, id, query.after, 1000).await?;
    let next = lines.last().map_or(query.after, |line| line.seq);
    Ok(Json(DeploymentLog { lines, next }))
}

#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RollbackRequest {
    /// Number of a release; the one that served before when absent.
    release: Option<i32>,
    /// Why; which way it leads when absent.
    message: Option<String>,
}

/// Makes an older release serve again, without building.
#[utoipa::path(post, path = "/apps/{app}/rollback", tag = "deployments", params(("app" = String, Path, description = "Id or slug")), request_body = RollbackRequest, responses((status = 202, body = Deployment)))]
async fn roll_back(
    AppStateOf(app): AppStateOf<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Body(request): Body<RollbackRequest>,
) -> Result<(StatusCode, Json<Deployment>)> {
    rules::check_message(request.message.as_deref())?;
    let mut tx = app.db.begin().await?;
    let found = apps::api::hold(&mut tx, &caller, &key).await?;
    let message = request.message.as_deref();
    let made = create::rollback(&app, &mut tx, &caller, &found, request.release, message).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(made)))
}
