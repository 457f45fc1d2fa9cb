//! `/api/v1/rebalance` and `/api/v1/moves`: instances that are better off on other nodes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use protocol::ids::{InstanceId, NodeId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::moves::{Cause, MoveView};
use super::store;
use super::store::moves::New;
use crate::app::AppState;
use crate::bus::{self, Topic};
use crate::http::caller::Caller;
use crate::http::page::Page;
use crate::http::{Body, Code, Error, Permission, Result, guard};
use crate::plan::fleet::{Planned, rebalance};
use crate::{audit, nodes};

pub(super) fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::NodeRead, routes!(preview_rebalance)))
        .routes(guard(app, Permission::NodeWrite, routes!(apply_rebalance)))
        .routes(guard(app, Permission::NodeRead, routes!(list_moves)))
}

/// An instance that would go to another node.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PlannedMove {
    pub instance: InstanceId,
    /// Slug of its app.
    pub app: String,
    /// Name of the node that it would leave.
    pub from: String,
    /// Name of the node that it would go to; null when nobody takes it.
    pub to: Option<String>,
    /// Why it goes; or why nobody takes it.
    pub reason: String,
}

impl From<Planned> for PlannedMove {
    fn from(planned: Planned) -> Self {
        Self {
            instance: planned.instance,
            app: planned.app,
            from: planned.from,
            to: planned.to.map(|(_, name)| name),
            reason: planned.reason,
        }
    }
}

/// What is better off elsewhere: at most 20 moves, each with its reason. Changes nothing.
#[utoipa::path(get, path = "/rebalance/preview", tag = "nodes", responses((status = 200, body = Page<PlannedMove>)))]
async fn preview_rebalance(State(app): State<AppState>) -> Result<Json<Page<PlannedMove>>> {
    let mut conn = app.db.acquire().await?;
    let fleet = store::fleet::load(&mut conn, &app.config.placement).await?;
    Ok(Json(Page::whole(rebalance(fleet).into_iter().map(PlannedMove::from).collect())))
}

/// Moves to be carried out, as a preview told them.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RebalanceRequest {
    /// From 1 to 100.
    moves: Vec<AskedMove>,
}

#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct AskedMove {
    instance: InstanceId,
    /// Name of the node that it goes to.
    to: String,
    /// Why, for those who look at it later; at most 500 characters.
    #[serde(default)]
    reason: String,
}

/// Moves instances to the nodes that are named, a few at a time. Of each, another starts there, is probed and takes the
/// requests before it ends. One that does not serve any more is left out.
#[utoipa::path(post, path = "/rebalance", tag = "nodes", request_body = RebalanceRequest,
    responses((status = 202, body = Page<MoveView>)))]
async fn apply_rebalance(
    State(app): State<AppState>,
    caller: Caller,
    Body(request): Body<RebalanceRequest>,
) -> Result<(StatusCode, Json<Page<MoveView>>)> {
    if !(1..=100).contains(&request.moves.len()) {
        return Err(Error::invalid("moves", "moves must be from 1 to 100")
            .hint("`GET /rebalance/preview` tells which are worth it"));
    }
    let mut tx = app.db.begin().await?;
    let mut wanted = 0;
    for (index, asked) in request.moves.iter().enumerate() {
        crate::apps::rules::check_text(&format!("moves[{index}].reason"), &asked.reason, 0, 500)?;
        let to = nodes::api::find(&mut tx, &asked.to)
            .await
            .map_err(|error| error.field(format!("moves[{index}].to")))?;
        let reason = if asked.reason.is_empty() { "rebalanced" } else { asked.reason.as_str() };
        let new = New {
            instance: asked.instance,
            to: Some(to.id),
            cause: Cause::Rebalance,
            reason,
            asked_by: &caller.email,
        };
        wanted += usize::from(store::moves::insert(&mut tx, &new).await?);
    }
    if wanted == 0 {
        return Err(Error::new(
            Code::NothingPending,
            "none of these instances serves, or all of them move already",
        )
        .hint("Look at the preview again: `wh rebalance`"));
    }
    audit::record(&mut tx, &caller, "fleet.rebalance", "fleet:nodes", json!({ "moves": request.moves }))
        .await?;
    bus::say(&mut tx, Topic::Nodes, "").await?;
    let moves = store::moves::list(&mut tx, None::<NodeId>).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(Page::whole(moves))))
}

/// Instances that are moved, and those that were within the last hour.
#[utoipa::path(get, path = "/moves", tag = "nodes", responses((status = 200, body = Page<MoveView>)))]
async fn list_moves(State(app): State<AppState>) -> Result<Json<Page<MoveView>>> {
    let mut conn = app.db.acquire().await?;
    Ok(Json(Page::whole(store::moves::list(&mut conn, None).await?)))
}
