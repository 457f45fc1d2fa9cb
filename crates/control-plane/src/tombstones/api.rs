use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{KEPT_DAYS, Tombstone, store};
use crate::app::AppState;
use crate::apps::power::{Answer, answer, record};
use crate::bus::{self, Topic};
use crate::deployments::{Kind, create};
use crate::generations::{self, Consumer};
use crate::http::caller::Caller;
use crate::http::extract::{Path, Query};
use crate::http::page::Page;
use crate::http::{Error, Permission, Result, guard};
use crate::{apps, network, releases};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::AppWrite, routes!(delete_app)))
        .routes(guard(app, Permission::AppWrite, routes!(undelete_app)))
        .routes(guard(app, Permission::AppRead, routes!(list_tombstones)))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct DeleteQuery {
    /// The app's slug once more.
    #[serde(default)]
    confirm: String,
}

/// Deletes an app. Its requests end, then its instances, and its address is gone. All else is kept for 7 days, in
/// which it can be undeleted; so long its slug is taken.
#[utoipa::path(delete, path = "/apps/{app}", tag = "apps", params(("app" = String, Path, description = "Id or slug"), DeleteQuery), responses((status = 200, body = Tombstone)))]
async fn delete_app(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Query(query): Query<DeleteQuery>,
) -> Result<Json<Tombstone>> {
    let mut tx = app.db.begin().await?;
    let found = apps::api::hold(&mut tx, &caller, &key).await?;
    if query.confirm != found.slug {
        return Err(Error::invalid("confirm", format!("confirm must be the app's name, {}", found.slug))
            .hint("Name the app once more, so that the right one is deleted"));
    }
    create::check_idle(&mut tx, &found).await?;
    store::bury(&mut tx, found.id, &caller.email).await?;
    // The route goes even when no instance is left that would have to leave the table.
    generations::raise(&mut tx, Consumer::Routes).await?;
    network::store::app_changed(&mut tx, found.id).await?;
    let mut tombstones = store::list(&mut tx, caller.organization_id, Some(&found.slug), KEPT_DAYS).await?;
    let tombstone = tombstones.pop().ok_or_else(|| anyhow::anyhow!("a new tombstone cannot be read back"))?;
    record(&mut tx, &caller, &found, "app.delete", json!({ "gone_at": tombstone.gone_at })).await?;
    bus::say(&mut tx, Topic::Instances, found.id).await?;
    tx.commit().await?;
    Ok(Json(tombstone))
}

/// Brings a deleted app back. If it ran, its release is rolled out again.
#[utoipa::path(post, path = "/apps/{app}/undelete", tag = "apps", params(("app" = String, Path, description = "Id or slug")), responses((status = 202, body = apps::power::AppChanged)))]
async fn undelete_app(State(app): State<AppState>, caller: Caller, Path(key): Path<String>) -> Answer {
    let mut tx = app.db.begin().await?;
    let unknown = || {
        Error::not_found(format!("deleted app {key}"))
            .hint("`wh apps ls --deleted` lists the ones that can come back")
    };
    let tombstone = store::list(&mut tx, caller.organization_id, Some(&key), KEPT_DAYS).await?.pop();
    let tombstone = tombstone.ok_or_else(unknown)?;
    // Whoever removes it for good may have been faster.
    if !store::revive(&mut tx, tombstone.id).await? {
        return Err(unknown());
    }
    let found = apps::store::lock(&mut tx, tombstone.id).await?.ok_or_else(unknown)?;
    generations::raise(&mut tx, Consumer::Routes).await?;
    let ran = found.stopped_at.is_none() && releases::store::current(&mut tx, found.id).await?.is_some();
    let deployment = if ran {
        Some(create::again(&app, &mut tx, &caller, &found, Kind::Start, "brought back").await?)
    } else {
        None
    };
    record(&mut tx, &caller, &found, "app.undelete", json!({ "deleted_at": tombstone.deleted_at })).await?;
    answer(&app, tx, &caller, &found, deployment).await
}

/// The apps that were deleted and can still come back, the newest first.
#[utoipa::path(get, path = "/tombstones", tag = "apps", responses((status = 200, body = Page<Tombstone>)))]
async fn list_tombstones(State(app): State<AppState>, caller: Caller) -> Result<Json<Page<Tombstone>>> {
    let mut conn = app.db.acquire().await?;
    Ok(Json(Page::whole(store::list(&mut conn, caller.organization_id, None, KEPT_DAYS).await?)))
}
