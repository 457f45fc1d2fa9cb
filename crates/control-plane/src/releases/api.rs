use axum::Json;
use axum::extract::State;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::compare::{self, Difference, Side};
use super::{Release, pending, store};
use crate::app::AppState;
use crate::http::caller::Caller;
use crate::http::extract::{Path, Query};
use crate::http::page::{Page, PageQuery};
use crate::http::{Code, Error, Permission, Result, guard};
use crate::{apps, images};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::AppRead, routes!(list_releases)))
        .routes(guard(app, Permission::AppRead, routes!(compare_releases)))
        .merge(pending::router(app))
}

/// The app's release with this number.
pub async fn find(conn: &mut PgConnection, of: &apps::store::App, number: i32) -> Result<store::Snapshot> {
    store::by_number(conn, of.id, number).await?.ok_or_else(|| {
        Error::new(Code::ReleaseUnknown, format!("this app has no release {number}")).field("release")
    })
}

/// The releases of an app, newest first.
#[utoipa::path(get, path = "/apps/{app}/releases", tag = "releases", params(("app" = String, Path, description = "Id or slug"), PageQuery), responses((status = 200, body = Page<Release>)))]
async fn list_releases(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Release>>> {
    let mut conn = app.db.acquire().await?;
    let found = apps::api::find(&mut conn, &caller, &key).await?;
    let kept = images::kept_of(&mut conn, found.id, app.config.images.keep_releases).await?;
    let items = store::list(&mut conn, found.id, page.cursor, page.limit(), &kept).await?;
    Ok(Json(Page::new(items, page.limit(), |release| release.id.0)))
}

/// What would change if release `after` served in place of release `before`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Comparison {
    before: i32,
    after: i32,
    #[serde(flatten)]
    difference: Difference,
}

/// Compares two releases: images, settings, names of variables. Values of variables are not told.
#[utoipa::path(get, path = "/apps/{app}/releases/{a}/diff/{b}", tag = "releases", params(("app" = String, Path, description = "Id or slug"), ("a" = i32, Path, description = "Number of the release before"), ("b" = i32, Path, description = "Number of the release after")), responses((status = 200, body = Comparison)))]
async fn compare_releases(
    State(app): State<AppState>,
    caller: Caller,
    Path((key, before, after)): Path<(String, i32, i32)>,
) -> Result<Json<Comparison>> {
    let mut conn = app.db.acquire().await?;
    let found = apps::api::find(&mut conn, &caller, &key).await?;
    let old = find(&mut conn, &found, before).await?;
    let new = find(&mut conn, &found, after).await?;
    let (old_values, old_built) = old.open(&app.vault)?;
    let (new_values, new_built) = new.open(&app.vault)?;
    let difference = compare::releases(
        Side { release: &old, variables: &old_values, built_with: old_built.as_ref() },
        Side { release: &new, variables: &new_values, built_with: new_built.as_ref() },
    );
    Ok(Json(Comparison { before, after, difference }))
}
