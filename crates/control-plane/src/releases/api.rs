use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Release, store};
use crate::app::AppState;
use crate::apps;
use crate::http::caller::Caller;
use crate::http::extract::{Path, Query};
use crate::http::page::{Page, PageQuery};
use crate::http::{Permission, Result, guard};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::AppRead, routes!(list_releases)))
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
    let items = store::list(&mut conn, found.id, page.cursor, page.limit()).await?;
    Ok(Json(Page::new(items, page.limit(), |release| release.id.0)))
}
