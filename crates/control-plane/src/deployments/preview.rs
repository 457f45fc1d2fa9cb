//! What a deployment that builds nothing would do if it were asked for now.

use axum::Json;
use axum::extract::State;
use protocol::ids::{DeploymentId, ReleaseId};
use serde::Deserialize;
use sqlx::PgConnection;
use sqlx::types;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::store::situations::{self, Rolling};
use super::{Kind, create, store};
use crate::app::{App, AppState};
use crate::apps::{self, Settings, rules};
use crate::http::caller::Caller;
use crate::http::extract::{Path, Query};
use crate::http::{Permission, Result, guard};
use crate::plan::preview::{Preview, tell};
use crate::releases::store::Snapshot;

pub(super) fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::AppRead, routes!(preview_scale)))
}

/// Of new settings or variables for the image that serves.
pub async fn of_settings(
    app: &App,
    conn: &mut PgConnection,
    of: &apps::store::App,
    live: &Snapshot,
) -> sqlx::Result<Preview> {
    simulate(app, conn, of, live, Kind::Settings, of.settings.for_image_of(&live.settings)).await
}

/// Plans a deployment that nobody has made: no row is its own.
async fn simulate(
    app: &App,
    conn: &mut PgConnection,
    of: &apps::store::App,
    live: &Snapshot,
    kind: Kind,
    settings: Settings,
) -> sqlx::Result<Preview> {
    let after = kind.makes_release() && settings.deploy.post_command.is_some();
    let rolling = Rolling {
        id: DeploymentId::new(),
        app_id: of.id,
        kind,
        release_id: if kind.makes_release() { ReleaseId::new() } else { live.id },
        image_id: live.image_id.clone(),
        settings: types::Json(settings),
        replaces: None,
        target: None,
        switch_generation: None,
        preparation: None,
        waiting_for: None,
        idle_s: 0.0,
    };
    let policy = &app.config.placement;
    let mut situation = situations::situation(conn, &rolling, policy).await?;
    situation.workers = Some(situations::workers(conn, &rolling, policy).await?);
    let serving = store::preview::serving(conn, of.id).await?;
    Ok(tell(situation, &serving, after))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ScaleQuery {
    /// Instances that it is to have, from 1 to 100.
    replicas: u16,
}

/// What scaling would do now. Changes nothing.
#[utoipa::path(get, path = "/apps/{app}/scale/preview", tag = "apps", params(("app" = String, Path, description = "Id or slug"), ScaleQuery), responses((status = 200, body = Preview)))]
async fn preview_scale(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Query(query): Query<ScaleQuery>,
) -> Result<Json<Preview>> {
    let mut conn = app.db.acquire().await?;
    let found = apps::api::find(&mut conn, &caller, &key).await?;
    let live = create::current(&mut conn, &found).await?;
    let settings = Settings {
        replicas: query.replicas,
        placement: found.settings.placement.clone(),
        ..live.settings.0.clone()
    };
    rules::check_settings(&settings, "")?;
    Ok(Json(simulate(&app, &mut conn, &found, &live, Kind::Scale, settings).await?))
}
