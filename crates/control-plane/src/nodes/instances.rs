//! `GET /api/v1/nodes/{node}/instances`: what runs on a node.

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use protocol::ids::InstanceId;
use protocol::report::{InstanceState, InstanceStats};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::api::find;
use super::store;
use crate::app::AppState;
use crate::apps::own::split;
use crate::http::caller::Caller;
use crate::http::{Permission, Result, guard};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::NodeRead, routes!(list_node_instances)))
}

/// An instance of an app of the caller's organization.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct NodeInstance {
    pub id: InstanceId,
    /// Slug of its app.
    pub app: String,
    /// Number of its release.
    pub release: i32,
    /// It is a command of a release, not a replica.
    pub task: bool,
    /// Whether it should run.
    pub wanted: bool,
    /// Whether requests are sent to it.
    pub in_rotation: bool,
    /// As its worker saw it last.
    pub state: InstanceState,
    pub restarts: u32,
    pub started_at: Option<DateTime<Utc>>,
    /// When its worker last said how it is.
    pub observed_at: Option<DateTime<Utc>>,
    /// Since when nobody knows how it is; null while what was seen is younger than 45 s.
    pub unknown_since: Option<DateTime<Utc>>,
    /// Null unless its worker is connected to the control plane that answers.
    pub stats: Option<InstanceStats>,
}

/// So many instances are told at most.
const MOST: usize = 1000;

/// What runs on a node.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct NodeInstances {
    /// Up to 1000, by app.
    pub items: Vec<NodeInstance>,
    /// How many are of other organizations.
    pub others: usize,
}

/// The instances on a node with what they use. Those of other organizations are only counted.
#[utoipa::path(get, path = "/nodes/{node}/instances", tag = "nodes", params(("node" = String, Path)),
    responses((status = 200, body = NodeInstances)))]
async fn list_node_instances(
    State(app): State<AppState>,
    caller: Caller,
    Path(node): Path<String>,
) -> Result<Json<NodeInstances>> {
    let mut conn = app.db.acquire().await?;
    let node = find(&mut conn, &node).await?;
    let all = store::instances::list(&mut conn, node.id).await?;
    let (mut items, others) = split(&mut conn, caller.organization_id, all, |instance| &instance.app).await?;
    items.truncate(MOST);
    for instance in &mut items {
        instance.stats = app.hub.stats(instance.id);
    }
    Ok(Json(NodeInstances { items, others }))
}
