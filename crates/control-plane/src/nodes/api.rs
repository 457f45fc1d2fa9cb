//! `/api/v1/nodes` and `/api/v1/node-tokens`.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::leave::{Leaving, take_out};
use super::{Node, keys, numbers, register, store, tokens};
use crate::app::AppState;
use crate::audit;
use crate::http::caller::Caller;
use crate::http::page::{Page, PageQuery};
use crate::http::{Error, Permission, Result, guard};

/// Nodes and join tokens.
pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::NodeRead, routes!(list_nodes)))
        .routes(guard(app, Permission::NodeRead, routes!(read_node)))
        .routes(guard(app, Permission::NodeWrite, routes!(super::labels::update_node)))
        .routes(guard(app, Permission::NodeWrite, routes!(delete_node)))
        .merge(super::health::api::router(app))
        .merge(super::numbers::api::router(app))
        .merge(super::storage::api::router(app))
        .merge(super::agent_log::router(app))
        .merge(super::instances::router(app))
        .routes(guard(app, Permission::NodeWrite, routes!(register::register_node)))
        .routes(guard(app, Permission::NodeWrite, routes!(keys::rotate_node_key)))
        .routes(guard(app, Permission::NodeWrite, routes!(keys::revoke_node)))
        .routes(guard(app, Permission::NodeWrite, routes!(tokens::create_node_token)))
        .routes(guard(app, Permission::NodeRead, routes!(tokens::read_node_token)))
        .routes(guard(app, Permission::NodeRead, routes!(tokens::list_node_tokens)))
        .routes(guard(app, Permission::NodeWrite, routes!(tokens::delete_node_token)))
}

/// All nodes.
#[utoipa::path(get, path = "/nodes", tag = "nodes", params(PageQuery), responses((status = 200, body = Page<Node>)))]
async fn list_nodes(State(app): State<AppState>, Query(page): Query<PageQuery>) -> Result<Json<Page<Node>>> {
    let mut conn = app.db.acquire().await?;
    let mut nodes = store::list(&mut conn, &page, None).await?;
    numbers::fill(&app, &mut nodes);
    Ok(Json(Page::new(nodes, page.limit(), |node| node.id.0)))
}

/// One node, by id or name.
#[utoipa::path(get, path = "/nodes/{node}", tag = "nodes", params(("node" = String, Path)),
    responses((status = 200, body = Node)))]
async fn read_node(State(app): State<AppState>, Path(node): Path<String>) -> Result<Json<Node>> {
    let mut conn = app.db.acquire().await?;
    let mut node = find(&mut conn, &node).await?;
    numbers::fill(&app, std::slice::from_mut(&mut node));
    Ok(Json(node))
}

pub(crate) async fn find(conn: &mut sqlx::PgConnection, node: &str) -> Result<Node> {
    let one = PageQuery { cursor: None, limit: 1 };
    let found = store::list(conn, &one, Some(node)).await?;
    found
        .into_iter()
        .next()
        .ok_or_else(|| Error::not_found(format_args!("node {node}")).hint("`wh node ls` lists the nodes"))
}

/// Removes a node. Its agents can no longer sign in; the others drop it from their tunnels.
#[utoipa::path(delete, path = "/nodes/{node}", tag = "nodes", params(("node" = String, Path)),
    responses((status = 204)))]
async fn delete_node(
    State(app): State<AppState>,
    caller: Caller,
    Path(node): Path<String>,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    store::lock_addresses(&mut tx).await?;
    let node = find(&mut tx, &node).await?;
    let leaving = Leaving { id: node.id, name: &node.name, mesh_address: node.mesh_address };
    take_out(&app, &mut tx, &leaving, false).await?;
    audit::record(&mut tx, &caller, "node.remove", &format!("node:{}", node.name), json!({})).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
