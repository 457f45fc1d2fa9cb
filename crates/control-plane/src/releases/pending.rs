//! What waits to be deployed: the difference between the release that serves and what the app's settings and variables
//! ask for, and the deployment that brings it without a build.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::compare::{self, Difference, Impact, Side};
use super::store;
use crate::app::{App, AppState};
use crate::apps::{self, rules};
use crate::deployments::{self, Deployment};
use crate::http::caller::Caller;
use crate::http::extract::Path;
use crate::http::{Body, Code, Error, Permission, Result, guard};
use crate::plan::preview::Preview;
use crate::variables::{self, Open};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::AppRead, routes!(read_pending))).routes(guard(
        app,
        Permission::AppDeploy,
        routes!(apply_pending),
    ))
}

/// What waits to be deployed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Pending {
    /// The release that serves; null before the first, and then nothing waits.
    release: Option<i32>,
    /// Number of a deployment that is under way. Nothing can be applied before it ends.
    deployment: Option<i32>,
    /// Whether something can be applied now without a build.
    applicable: bool,
    #[serde(flatten)]
    difference: Difference,
    /// What applying would do now; null when nothing can be applied.
    preview: Option<Preview>,
}

impl Pending {
    /// Whether the release that serves runs with other variables or settings than the app asks for.
    pub fn is_runtime(&self) -> bool {
        self.difference.needs_containers()
    }
}

/// What waits for an app that has these variables.
pub async fn of(
    app: &App,
    conn: &mut PgConnection,
    of: &apps::store::App,
    variables: &Open,
) -> Result<Pending> {
    let Some(live) = store::current(conn, of.id).await? else {
        let difference = Difference { changes: Vec::new(), impact: Impact::Nothing };
        return Ok(Pending { release: None, deployment: None, applicable: false, difference, preview: None });
    };
    let (released, built_with) = live.open(&app.vault)?;
    let side = Side { release: &live, variables: &released, built_with: built_with.as_ref() };
    let difference = compare::pending(side, &of.settings, variables);
    let deployment = deployments::store::unfinished(conn, of.id).await?;
    let applicable = deployment.is_none() && difference.needs_containers();
    Ok(Pending { release: Some(live.number), deployment, applicable, difference, preview: None })
}

/// What applying would do, if something can be applied.
async fn preview(
    app: &App,
    conn: &mut PgConnection,
    of: &apps::store::App,
    pending: &Pending,
) -> sqlx::Result<Option<Preview>> {
    match store::current(conn, of.id).await? {
        Some(live) if pending.applicable => {
            deployments::preview::of_settings(app, conn, of, &live).await.map(Some)
        }
        _ => Ok(None),
    }
}

/// What differs between the app's present settings and variables and its live release. Values of variables are not told.
#[utoipa::path(get, path = "/apps/{app}/pending", tag = "releases", params(("app" = String, Path, description = "Id or slug")), responses((status = 200, body = Pending)))]
async fn read_pending(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<Pending>> {
    let mut conn = app.db.acquire().await?;
    let found = apps::api::find(&mut conn, &caller, &key).await?;
    let values = variables::store::open(&mut conn, &app.vault, found.id).await?;
    let mut pending = of(&app, &mut conn, &found, &values).await?;
    pending.preview = preview(&app, &mut conn, &found, &pending).await?;
    Ok(Json(pending))
}

#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ApplyRequest {
    /// The difference in words when absent.
    message: Option<String>,
}

/// Deploys what waits, with the image of the live release: nothing is built.
#[utoipa::path(post, path = "/apps/{app}/apply", tag = "releases", params(("app" = String, Path, description = "Id or slug")), request_body = ApplyRequest, responses((status = 202, body = Deployment)))]
async fn apply_pending(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Body(request): Body<ApplyRequest>,
) -> Result<(StatusCode, Json<Deployment>)> {
    rules::check_message(request.message.as_deref())?;
    let mut tx = app.db.begin().await?;
    let found = apps::api::hold(&mut tx, &caller, &key).await?;
    let values = variables::store::open(&mut tx, &app.vault, found.id).await?;
    let pending = of(&app, &mut tx, &found, &values).await?;
    if pending.release.is_some() && !pending.is_runtime() {
        return Err(nothing_pending(&pending.difference));
    }
    let message = request.message.unwrap_or_else(|| pending.difference.summary(rules::MESSAGE_LIMIT));
    let made = deployments::create::settings(&app, &mut tx, &caller, &found, &message).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(made)))
}

fn nothing_pending(difference: &Difference) -> Error {
    if difference.impact == Impact::Build {
        Error::new(Code::NothingPending, "all that waits is for the next build")
            .hint("Deploy the source: a new image takes the new build settings")
    } else {
        Error::new(Code::NothingPending, "nothing waits to be deployed")
            .hint("The live release has the app's present settings and variables already")
    }
}
