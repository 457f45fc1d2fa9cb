//! `/api/v1/placement/nodes` and what is changed of one node.

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use protocol::ids::{NodeId, OrganizationId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::drains::{self, Drain};
use super::store;
use crate::app::{App, AppState};
use crate::bus::{self, Topic};
use crate::http::caller::Caller;
use crate::http::extract::present;
use crate::http::page::Page;
use crate::http::{Body, Error, Permission, Result, guard};
use crate::plan::placement::Amount;
use crate::{audit, nodes};

/// What workers have to give, and what they take.
pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::NodeRead, routes!(list_node_placements)))
        .routes(guard(app, Permission::NodeRead, routes!(read_node_placement)))
        .routes(guard(app, Permission::NodeWrite, routes!(update_node_placement)))
        .routes(guard(app, Permission::NodeWrite, routes!(cordon_node)))
        .routes(guard(app, Permission::NodeWrite, routes!(uncordon_node)))
        .merge(super::drains::router(app))
        .merge(super::rebalance::router(app))
}

/// A worker's room for instances.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct NodePlacement {
    pub id: NodeId,
    pub name: String,
    /// Whether its worker is connected.
    pub online: bool,
    pub takes_apps: bool,
    pub takes_builds: bool,
    /// Most instances of all apps; null for as many as have room.
    pub max_instances: Option<i32>,
    /// Since when it takes nothing new; null when it does.
    pub cordoned_at: Option<DateTime<Utc>>,
    /// What it has for instances: what the host has without what it keeps for itself, times the overcommit. Null while
    /// its host has not told.
    pub capacity: Option<Amount>,
    /// The limits of all instances that hold a place, also of those that are stopping.
    pub reserved: Amount,
    /// How many these are.
    pub instances: i64,
    /// How far it is emptied; null when it is not to be.
    pub drain: Option<Drain>,
}

/// The room of all workers.
#[utoipa::path(get, path = "/placement/nodes", tag = "nodes", responses((status = 200, body = Page<NodePlacement>)))]
async fn list_node_placements(
    State(app): State<AppState>,
    caller: Caller,
) -> Result<Json<Page<NodePlacement>>> {
    let mut conn = app.db.acquire().await?;
    Ok(Json(Page::whole(views(&app, &mut conn, None, caller.organization_id).await?)))
}

/// The room of one worker.
#[utoipa::path(get, path = "/nodes/{node}/placement", tag = "nodes", params(("node" = String, Path)),
    responses((status = 200, body = NodePlacement)))]
async fn read_node_placement(
    State(app): State<AppState>,
    caller: Caller,
    Path(node): Path<String>,
) -> Result<Json<NodePlacement>> {
    let mut conn = app.db.acquire().await?;
    let node = nodes::api::find(&mut conn, &node).await?;
    view(&app, &mut conn, &node, caller.organization_id).await.map(Json)
}

async fn views(
    app: &App,
    conn: &mut PgConnection,
    only: Option<NodeId>,
    viewer: OrganizationId,
) -> sqlx::Result<Vec<NodePlacement>> {
    let rows = store::nodes(conn, only).await?;
    let view = |row: store::Row| NodePlacement {
        id: row.id,
        name: row.name,
        online: row.online,
        takes_apps: row.takes_apps,
        takes_builds: row.takes_builds,
        max_instances: row.max_instances,
        cordoned_at: row.cordoned_at,
        capacity: app.config.placement.capacity(&row.host),
        reserved: row.reserved,
        instances: row.instances,
        drain: None,
    };
    let mut views: Vec<NodePlacement> = rows.into_iter().map(view).collect();
    for view in views.iter_mut().filter(|view| view.cordoned_at.is_some()) {
        view.drain = drains::of(conn, view.id, viewer).await?;
    }
    Ok(views)
}

pub(super) async fn view(
    app: &App,
    conn: &mut PgConnection,
    node: &nodes::Node,
    viewer: OrganizationId,
) -> Result<NodePlacement> {
    let found = views(app, conn, Some(node.id), viewer).await?;
    found.into_iter().next().ok_or_else(|| {
        Error::not_found(format_args!("placement of {}", node.name))
            .hint("Only workers run apps: the node has not that role")
    })
}

/// What is to be another.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NodePlacementPatch)]
pub struct Patch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub takes_apps: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub takes_builds: Option<bool>,
    /// From 1 to 10000; null takes the limit away.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i32>)]
    pub max_instances: Option<Option<i32>>,
}

/// Sets what a worker takes. What runs on it stays.
#[utoipa::path(patch, path = "/nodes/{node}/placement", tag = "nodes", params(("node" = String, Path)),
    request_body = Patch, responses((status = 200, body = NodePlacement)))]
async fn update_node_placement(
    State(app): State<AppState>,
    caller: Caller,
    Path(node): Path<String>,
    Body(patch): Body<Patch>,
) -> Result<Json<NodePlacement>> {
    if patch.max_instances.flatten().is_some_and(|most| !(1..=10_000).contains(&most)) {
        return Err(Error::invalid("max_instances", "max_instances must be between 1 and 10000")
            .hint("A node without apps is one that takes none: `takes_apps`"));
    }
    let mut tx = app.db.begin().await?;
    let node = nodes::api::find(&mut tx, &node).await?;
    let before = view(&app, &mut tx, &node, caller.organization_id).await?;
    let takes_apps = patch.takes_apps.unwrap_or(before.takes_apps);
    let takes_builds = patch.takes_builds.unwrap_or(before.takes_builds);
    let most = patch.max_instances.unwrap_or(before.max_instances);
    store::set_node(&mut tx, node.id, takes_apps, takes_builds, most).await?;
    let detail = serde_json::to_value(&patch).unwrap_or_default();
    changed(&mut tx, &caller, &node, "node.update", detail).await?;
    let after = view(&app, &mut tx, &node, caller.organization_id).await?;
    tx.commit().await?;
    Ok(Json(after))
}

/// Lets a node take no new instances and builds. What runs on it stays.
#[utoipa::path(post, path = "/nodes/{node}/cordon", tag = "nodes", params(("node" = String, Path)),
    responses((status = 200, body = NodePlacement)))]
async fn cordon_node(
    State(app): State<AppState>,
    caller: Caller,
    Path(node): Path<String>,
) -> Result<Json<NodePlacement>> {
    set_cordon(&app, &caller, &node, true).await.map(Json)
}

/// Lets a node take instances and builds again, and ends its drain: what has not begun to move stays.
#[utoipa::path(post, path = "/nodes/{node}/uncordon", tag = "nodes", params(("node" = String, Path)),
    responses((status = 200, body = NodePlacement)))]
async fn uncordon_node(
    State(app): State<AppState>,
    caller: Caller,
    Path(node): Path<String>,
) -> Result<Json<NodePlacement>> {
    set_cordon(&app, &caller, &node, false).await.map(Json)
}

async fn set_cordon(app: &App, caller: &Caller, node: &str, cordoned: bool) -> Result<NodePlacement> {
    let mut tx = app.db.begin().await?;
    let node = nodes::api::find(&mut tx, node).await?;
    view(app, &mut tx, &node, caller.organization_id).await?;
    if !cordoned {
        store::moves::stop_drain(&mut tx, node.id).await?;
    }
    if store::cordon(&mut tx, node.id, cordoned).await? {
        let action = if cordoned { "node.cordon" } else { "node.uncordon" };
        changed(&mut tx, caller, &node, action, json!({})).await?;
    }
    let after = view(app, &mut tx, &node, caller.organization_id).await?;
    tx.commit().await?;
    Ok(after)
}

pub(super) async fn changed(
    conn: &mut PgConnection,
    caller: &Caller,
    node: &nodes::Node,
    action: &str,
    detail: serde_json::Value,
) -> sqlx::Result<()> {
    audit::record(conn, caller, action, &format!("node:{}", node.name), detail).await?;
    bus::say(conn, Topic::Nodes, node.id).await?;
    // Builds and roll-outs may have waited for it.
    bus::say(conn, Topic::Jobs, "").await
}
