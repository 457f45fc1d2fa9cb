//! Stop, start, restart and scale: what changes of a running app without a new release.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{AppView, api, rules, store};
use crate::app::{App, AppState};
use crate::audit;
use crate::bus::{self, Topic};
use crate::deployments::{Deployment, Kind, create};
use crate::http::caller::Caller;
use crate::http::extract::Path;
use crate::http::{Body, Code, Error, Permission, Result, guard};

pub(super) fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::AppDeploy, routes!(stop_app)))
        .routes(guard(app, Permission::AppDeploy, routes!(start_app)))
        .routes(guard(app, Permission::AppDeploy, routes!(restart_app)))
        .routes(guard(app, Permission::AppDeploy, routes!(scale_app)))
}

/// What came of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AppChanged {
    app: AppView,
    /// The deployment that does it; null when none is needed.
    deployment: Option<Deployment>,
}

pub type Answer = Result<(StatusCode, Json<AppChanged>)>;

/// Records a deed to the app, and says that it changed.
pub async fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    of: &store::App,
    action: &str,
    detail: Value,
) -> sqlx::Result<()> {
    audit::record(conn, caller, action, &format!("app:{}", of.slug), detail).await?;
    bus::say(conn, Topic::Apps, of.id).await
}

/// Commits, and answers with the app as it is now.
pub async fn answer(
    app: &App,
    mut tx: sqlx::Transaction<'_, sqlx::Postgres>,
    caller: &Caller,
    of: &store::App,
    deployment: Option<Deployment>,
) -> Answer {
    let view = api::view(app, &mut tx, caller.organization_id, of.id).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(AppChanged { app: view, deployment })))
}

/// Stops an app. Its requests end, then its instances; the release and the address stay, and the address answers 503.
/// A stopped app stays stopped.
#[utoipa::path(post, path = "/apps/{app}/stop", tag = "apps", params(("app" = String, Path, description = "Id or slug")), responses((status = 202, body = AppChanged)))]
async fn stop_app(State(app): State<AppState>, caller: Caller, Path(key): Path<String>) -> Answer {
    let mut tx = app.db.begin().await?;
    let found = api::hold(&mut tx, &caller, &key).await?;
    create::current(&mut tx, &found).await?;
    create::check_idle(&mut tx, &found).await?;
    if found.stopped_at.is_none() {
        store::stop(&mut tx, found.id).await?;
        record(&mut tx, &caller, &found, "app.stop", json!({})).await?;
        bus::say(&mut tx, Topic::Instances, found.id).await?;
    }
    answer(&app, tx, &caller, &found, None).await
}

/// Starts a stopped app: rolls its release out again. An app that runs is left alone.
#[utoipa::path(post, path = "/apps/{app}/start", tag = "apps", params(("app" = String, Path, description = "Id or slug")), responses((status = 202, body = AppChanged)))]
async fn start_app(State(app): State<AppState>, caller: Caller, Path(key): Path<String>) -> Answer {
    let mut tx = app.db.begin().await?;
    let found = api::hold(&mut tx, &caller, &key).await?;
    create::current(&mut tx, &found).await?;
    let deployment = if found.stopped_at.is_some() {
        let made = create::again(&app, &mut tx, &caller, &found, Kind::Start, "started after a stop").await?;
        record(&mut tx, &caller, &found, "app.start", json!({ "deployment": made.number })).await?;
        Some(made)
    } else {
        None
    };
    answer(&app, tx, &caller, &found, deployment).await
}

/// Replaces all instances by new ones of the same release. The old ones serve until the new ones do.
#[utoipa::path(post, path = "/apps/{app}/restart", tag = "apps", params(("app" = String, Path, description = "Id or slug")), responses((status = 202, body = AppChanged)))]
async fn restart_app(State(app): State<AppState>, caller: Caller, Path(key): Path<String>) -> Answer {
    let mut tx = app.db.begin().await?;
    let found = api::hold(&mut tx, &caller, &key).await?;
    create::current(&mut tx, &found).await?;
    check_started(&found)?;
    let made =
        create::again(&app, &mut tx, &caller, &found, Kind::Restart, "new instances of the same release")
            .await?;
    record(&mut tx, &caller, &found, "app.restart", json!({ "deployment": made.number })).await?;
    answer(&app, tx, &caller, &found, Some(made)).await
}

/// Refuses a restart of what is stopped.
pub(super) fn check_started(of: &store::App) -> Result<()> {
    if of.stopped_at.is_none() {
        return Ok(());
    }
    Err(Error::new(Code::AppStopped, "this app is stopped: there is nothing to restart")
        .hint("Start it instead"))
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ScaleRequest {
    /// Instances that it is to have, from 1 to 100.
    replicas: u16,
    /// Why; the change in words when absent.
    message: Option<String>,
}

/// Sets the number of instances, also for later releases. The ones that run stay; only what is missing starts, and
/// only what is too many stops. A stopped app takes the number when it starts.
#[utoipa::path(post, path = "/apps/{app}/scale", tag = "apps", params(("app" = String, Path, description = "Id or slug")), request_body = ScaleRequest, responses((status = 202, body = AppChanged)))]
async fn scale_app(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Body(request): Body<ScaleRequest>,
) -> Answer {
    rules::check_message(request.message.as_deref())?;
    let mut tx = app.db.begin().await?;
    let mut found = api::hold(&mut tx, &caller, &key).await?;
    let current = create::current(&mut tx, &found).await?;
    create::check_idle(&mut tx, &found).await?;
    let before = current.settings.replicas;
    found.settings.replicas = request.replicas;
    rules::check_settings(&found.settings, "").map_err(|error| match request.replicas {
        0 => error.hint("Stop the app to have none"),
        _ => error,
    })?;
    store::update(&mut tx, found.id, &found.settings).await?;
    let deployment = if found.stopped_at.is_none() && before != request.replicas {
        let message = request.message.unwrap_or_else(|| format!("replicas: {before} → {}", request.replicas));
        Some(create::again(&app, &mut tx, &caller, &found, Kind::Scale, &message).await?)
    } else {
        None
    };
    let detail = json!({ "before": before, "after": request.replicas });
    record(&mut tx, &caller, &found, "app.scale", detail).await?;
    answer(&app, tx, &caller, &found, deployment).await
}
