use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::numbers::{self, Numbers, Point};
use super::range::Range;
use super::requests::{Requests, RequestsQuery};
use super::store::read::{self, Path as TrafficPath, Source};
use crate::app::AppState;
use crate::apps;
use crate::http::caller::Caller;
use crate::http::extract::{Path, Query};
use crate::http::{Permission, Result, guard};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::AppRead, routes!(read_traffic))).routes(guard(
        app,
        Permission::AppRead,
        routes!(list_requests),
    ))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct TrafficQuery {
    /// For how long back: a day when absent.
    #[param(value_type = Option<Range>)]
    range: Option<String>,
}

/// What came in for an app.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Traffic {
    range: Range,
    /// Seconds of one step.
    step_s: i64,
    from: DateTime<Utc>,
    /// End of the step that is under way.
    until: DateTime<Utc>,
    /// Steps without requests are left out.
    points: Vec<Point>,
    total: Numbers,
    /// Of all hours that the range touches, the most requests first; up to 20.
    paths: Vec<TrafficPath>,
    /// Who reports the app's requests, and when that was last.
    sources: Vec<Source>,
}

/// The app's requests in numbers. They come in every 10 seconds.
#[utoipa::path(get, path = "/apps/{app}/traffic", tag = "traffic", params(("app" = String, Path, description = "Id or slug"), TrafficQuery), responses((status = 200, body = Traffic)))]
async fn read_traffic(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Query(query): Query<TrafficQuery>,
) -> Result<Json<Traffic>> {
    let range = Range::parse(query.range.as_deref())?;
    let window = range.window(Utc::now());
    let mut conn = app.db.acquire().await?;
    let found = apps::api::find(&mut conn, &caller, &key).await?;
    let rows = read::rows(&mut conn, found.id, window.from, window.is_of_hours()).await?;
    let paths = read::paths(&mut conn, found.id, window.from).await?;
    let sources = read::sources(&mut conn, found.id).await?;
    let (points, total) = numbers::add_up(&window, &rows);
    let step_s = window.step.num_seconds();
    Ok(Json(Traffic { range, step_s, from: window.from, until: window.until, points, total, paths, sources }))
}

/// Some of the app's requests one by one, the newest first. Failed ones are kept for longer where there are many.
#[utoipa::path(get, path = "/apps/{app}/requests", tag = "traffic", params(("app" = String, Path, description = "Id or slug"), RequestsQuery), responses((status = 200, body = Requests)))]
async fn list_requests(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Query(query): Query<RequestsQuery>,
) -> Result<Json<Requests>> {
    let filter = query.filter()?;
    let mut conn = app.db.acquire().await?;
    let found = apps::api::find(&mut conn, &caller, &key).await?;
    let (items, next) = read::requests(&mut conn, found.id, &filter).await?;
    let next = next.map(|cursor| cursor.to_string());
    let kept_since = read::kept_since(&mut conn, found.id).await?;
    Ok(Json(Requests { items, next, kept_days: app.config.traffic.kept_days(), kept_since }))
}
