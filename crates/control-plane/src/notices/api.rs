use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Notice, store};
use crate::app::AppState;
use crate::http::caller::Caller;
use crate::http::extract::Query;
use crate::http::page::Page;
use crate::http::{Permission, Result, guard};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::AppRead, routes!(list_notices)))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct NoticesQuery {
    /// Those of the last 30 days that are over as well.
    #[serde(default)]
    resolved: bool,
}

/// What somebody should look at, the worst first. A notice goes by itself when its trouble is over.
#[utoipa::path(get, path = "/notices", tag = "notices", params(NoticesQuery), responses((status = 200, body = Page<Notice>)))]
async fn list_notices(
    State(app): State<AppState>,
    caller: Caller,
    Query(query): Query<NoticesQuery>,
) -> Result<Json<Page<Notice>>> {
    let mut conn = app.db.acquire().await?;
    Ok(Json(Page::whole(store::list(&mut conn, caller.organization_id, query.resolved).await?)))
}
