//! The addresses that Selfhostly has for heartbeats and checks, for what calls these.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use protocol::identity::ApiKey;
use protocol::ids::NodeId;
use serde_json::{Value, json};

use super::{api, called};
use crate::app::AppState;
use crate::http::caller::Caller;
use crate::http::extract::Requester;
use crate::http::{Code, Error, Permission, Result, permission};
use crate::nodes::store::{checks, keys};

/// `POST /api/nodes/{id}/check` and `POST /api/internal/nodes/{id}/heartbeat`.
pub fn router(app: &AppState) -> Router<AppState> {
    let check = permission::guard_alias(app, Permission::NodeWrite, post(check_node));
    Router::new().route("/api/nodes/{id}/check", check).merge(heartbeats())
}

/// Heartbeats alone: agents reach these over the mesh as well.
pub fn heartbeats() -> Router<AppState> {
    Router::new().route("/api/internal/nodes/{id}/heartbeat", post(heartbeat))
}

async fn check_node(
    State(app): State<AppState>,
    caller: Caller,
    Path(node): Path<String>,
) -> Result<Json<Value>> {
    let node = api::check(&app, &caller, &node).await?;
    let message = match &node.health.error {
        None => "Health check completed successfully".to_owned(),
        Some(error) => format!("Health check failed: {error}"),
    };
    let shown = json!({
        "id": node.id, "name": node.name, "status": node.status, "last_seen": node.last_seen_at,
        "last_health_check": node.health.checked_at, "consecutive_failures": node.health.failures,
    });
    Ok(Json(json!({ "message": message, "node": shown })))
}

/// The node says that it is there: `X-Node-ID` and `X-Node-API-Key` show that it is the one.
async fn heartbeat(
    State(app): State<AppState>,
    Path(id): Path<String>,
    requester: Requester,
    headers: HeaderMap,
) -> Result<Json<Value>> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let key = header("x-node-api-key").map(ApiKey::new);
    let (claimed, named) = (header("x-node-id").and_then(|text| node_id(&text)), node_id(&id));
    let mut tx = app.db.begin().await?;
    let known = match &key {
        Some(key) => keys::holder(&mut tx, &key.login_digest()).await?.map(|(node, _)| node),
        None => None,
    };
    let Some(node) = known.filter(|known| claimed == Some(*known)) else {
        app.limits.join.check(&requester.key())?;
        return Err(Error::new(Code::ApiKeyWrong, "no node has this id and this API key")
            .hint("X-Node-ID and X-Node-API-Key are `node_id` and `api_key` of the host's identity.json"));
    };
    if named != Some(node) {
        return Err(Error::new(Code::Forbidden, "a node sends heartbeats for itself alone")
            .hint(format!("POST /api/internal/nodes/{node}/heartbeat")));
    }
    if let Some(watched) = checks::lock(&mut tx, &app.config.node_health, node).await? {
        called(&mut tx, &app.config.node_health, &watched).await?;
    }
    tx.commit().await?;
    Ok(Json(json!({ "message": "Heartbeat received", "nodeID": node })))
}

fn node_id(text: &str) -> Option<NodeId> {
    text.parse().ok()
}
