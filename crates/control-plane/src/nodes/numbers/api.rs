//! `GET /api/v1/nodes/{node}/numbers`.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::NodeNow;
use super::series::{NodePoint, add_up};
use crate::app::AppState;
use crate::http::extract::{Path, Query};
use crate::http::{Permission, Result, guard};
use crate::nodes::api::find;
use crate::nodes::store::numbers;
use crate::traffic::range::Range;

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::NodeRead, routes!(read_node_numbers)))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct NumbersQuery {
    /// For how long back: a day when absent.
    #[param(value_type = Option<Range>)]
    range: Option<String>,
}

/// A host in numbers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct NodeSeries {
    range: Range,
    /// Seconds of one step.
    step_s: i64,
    from: DateTime<Utc>,
    /// End of the step that is under way.
    until: DateTime<Utc>,
    /// What it told last. Null when that is more than five minutes ago.
    now: Option<NodeNow>,
    /// Steps in which it told nothing are left out.
    points: Vec<NodePoint>,
}

/// How the host is doing and did. It tells every 20 seconds; points come a minute later.
#[utoipa::path(get, path = "/nodes/{node}/numbers", tag = "nodes", params(("node" = String, Path), NumbersQuery),
    responses((status = 200, body = NodeSeries)))]
async fn read_node_numbers(
    State(app): State<AppState>,
    Path(node): Path<String>,
    Query(query): Query<NumbersQuery>,
) -> Result<Json<NodeSeries>> {
    let range = Range::parse(query.range.as_deref())?;
    let window = range.window(Utc::now());
    let mut conn = app.db.acquire().await?;
    let node = find(&mut conn, &node).await?;
    let rows = numbers::rows(&mut conn, node.id, window.from, window.is_of_hours()).await?;
    let now = app.numbers.of(node.id).or(node.numbers);
    let (step_s, points) = (window.step.num_seconds(), add_up(&window, rows));
    Ok(Json(NodeSeries { range, step_s, from: window.from, until: window.until, now, points }))
}
