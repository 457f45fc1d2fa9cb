//! `POST /api/v1/nodes/{node}/check` and `GET /api/v1/nodes/{node}/history`.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Transition, checked, probe};
use crate::app::{App, AppState};
use crate::audit;
use crate::http::caller::Caller;
use crate::http::page::{Page, PageQuery};
use crate::http::{Error, Permission, Result, guard};
use crate::nodes::Node;
use crate::nodes::api::find;
use crate::nodes::ports::Ports;
use crate::nodes::store::checks;

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::NodeWrite, routes!(check_node))).routes(guard(
        app,
        Permission::NodeRead,
        routes!(list_node_history),
    ))
}

/// Asks the node at once whether it is there, whenever the next check is due. The answer is the node as it is after that,
/// also when nobody answered: `health.error` then says why.
#[utoipa::path(post, path = "/nodes/{node}/check", tag = "nodes", params(("node" = String, Path)),
    responses((status = 200, body = Node)))]
async fn check_node(
    State(app): State<AppState>,
    caller: Caller,
    Path(node): Path<String>,
) -> Result<Json<Node>> {
    check(&app, &caller, &node).await.map(Json)
}

pub(super) async fn check(app: &App, caller: &Caller, node: &str) -> Result<Node> {
    let mut conn = app.db.acquire().await?;
    let node = find(&mut conn, node).await?;
    drop(conn);
    app.limits.node_checks.check(&node.id)?;
    let found = probe::ask(app, node.mesh_address, &node.roles, Ports::of(&node.host)).await?;
    let mut tx = app.db.begin().await?;
    let gone = || Error::not_found(format_args!("node {} any more", node.name));
    let watched = checks::lock(&mut tx, &app.config.node_health, node.id).await?.ok_or_else(gone)?;
    let detail = json!({ "answered": found.is_ok() });
    checked(&mut tx, &app.config.node_health, &watched, &found).await?;
    audit::record(&mut tx, caller, "node.check", &format!("node:{}", node.name), detail).await?;
    let node = find(&mut tx, &node.id.to_string()).await?;
    tx.commit().await?;
    Ok(node)
}

/// When the node became online, offline or unreachable, and why; the newest first.
#[utoipa::path(get, path = "/nodes/{node}/history", tag = "nodes", params(("node" = String, Path), PageQuery),
    responses((status = 200, body = Page<Transition>)))]
async fn list_node_history(
    State(app): State<AppState>,
    Path(node): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Transition>>> {
    let mut conn = app.db.acquire().await?;
    let node = find(&mut conn, &node).await?;
    let history = checks::history(&mut conn, node.id, &page).await?;
    Ok(Json(Page::new(history, page.limit(), |transition| transition.id)))
}
