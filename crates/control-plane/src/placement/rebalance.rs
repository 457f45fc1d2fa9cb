//! `/api/v1/rebalance` and `/api/v1/moves`: instances that are better off on other nodes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use protocol::ids::{InstanceId, NodeId, OrganizationId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::moves::{Cause, MoveState, MoveView};
use super::store;
use super::store::moves::New;
use crate::app::AppState;
use crate::apps::own::{hide, split};
use crate::bus::{self, Topic};
use crate::http::caller::Caller;
use crate::http::extract::Path;
use crate::http::page::Page;
use crate::http::{Body, Code, Error, Permission, Result, guard};
use crate::plan::fleet::{Planned, rebalance};
use crate::{audit, nodes};

pub(super) fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::NodeRead, routes!(preview_rebalance)))
        .routes(guard(app, Permission::NodeWrite, routes!(apply_rebalance)))
        .routes(guard(app, Permission::NodeRead, routes!(list_moves)))
        .routes(guard(app, Permission::NodeWrite, routes!(cancel_rebalance)))
        .routes(guard(app, Permission::NodeWrite, routes!(cancel_move)))
}

/// An instance that would go to another node.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PlannedMove {
    pub instance: InstanceId,
    /// Slug of its app; null for one of another organization.
    pub app: Option<String>,
    /// Name of the node that it would leave.
    pub from: String,
    /// Name of the node that it would go to; null when nobody takes it.
    pub to: Option<String>,
    /// Why it goes; or why nobody takes it.
    pub reason: String,
}

/// As a member of `viewer` may see it.
pub(super) async fn shown(
    conn: &mut PgConnection,
    viewer: OrganizationId,
    planned: Vec<Planned>,
) -> sqlx::Result<Vec<PlannedMove>> {
    let shown = planned.into_iter().map(|planned| PlannedMove {
        instance: planned.instance,
        app: Some(planned.app),
        from: planned.from,
        to: planned.to.map(|(_, name)| name),
        reason: planned.reason,
    });
    hide(conn, viewer, shown.collect(), |shown| shown.app.as_deref(), |shown| shown.app = None).await
}

/// What is better off elsewhere: at most 20 moves, each with its reason. Changes nothing.
#[utoipa::path(get, path = "/rebalance/preview", tag = "nodes", responses((status = 200, body = Page<PlannedMove>)))]
async fn preview_rebalance(State(app): State<AppState>, caller: Caller) -> Result<Json<Page<PlannedMove>>> {
    let mut conn = app.db.acquire().await?;
    let fleet = store::fleet::load(&mut conn, &app.config.placement).await?;
    Ok(Json(Page::whole(shown(&mut conn, caller.organization_id, rebalance(fleet)).await?)))
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
    responses((status = 202, body = Moves)))]
async fn apply_rebalance(
    State(app): State<AppState>,
    caller: Caller,
    Body(request): Body<RebalanceRequest>,
) -> Result<(StatusCode, Json<Moves>)> {
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
    let moves = list(&mut tx, caller.organization_id).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(moves)))
}

/// Instances that are moved.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Moves {
    /// Those of the caller's organization.
    pub items: Vec<MoveView>,
    /// How many are of other organizations.
    pub others: usize,
}

async fn list(conn: &mut PgConnection, viewer: OrganizationId) -> sqlx::Result<Moves> {
    let all = store::moves::list(conn, None::<NodeId>).await?;
    let (items, others) = split(conn, viewer, all, |one| &one.app).await?;
    Ok(Moves { items, others })
}

/// Instances that are moved, and those that were within the last hour. Those of other organizations are only counted.
#[utoipa::path(get, path = "/moves", tag = "nodes", responses((status = 200, body = Moves)))]
async fn list_moves(State(app): State<AppState>, caller: Caller) -> Result<Json<Moves>> {
    let mut conn = app.db.acquire().await?;
    Ok(Json(list(&mut conn, caller.organization_id).await?))
}

/// Takes a rebalance back as far as it has not begun: what waits stays where it serves, what moves goes on.
#[utoipa::path(post, path = "/rebalance/cancel", tag = "nodes", responses((status = 200, body = Moves)))]
async fn cancel_rebalance(State(app): State<AppState>, caller: Caller) -> Result<Json<Moves>> {
    let mut tx = app.db.begin().await?;
    let stay = store::moves::cancel(&mut tx, None).await?;
    if stay.is_empty() {
        return Err(Error::new(Code::NothingPending, "no move of a rebalance waits")
            .hint("What moves already goes on; `wh node uncordon NODE` ends a drain"));
    }
    cancelled(&mut tx, &caller, &stay).await?;
    let moves = list(&mut tx, caller.organization_id).await?;
    tx.commit().await?;
    Ok(Json(moves))
}

/// Takes one move of a rebalance back that has not begun: the instance stays where it serves.
#[utoipa::path(delete, path = "/moves/{id}", tag = "nodes", params(("id" = Uuid, Path)), responses((status = 204)))]
async fn cancel_move(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    let stay = store::moves::cancel(&mut tx, Some(id)).await?;
    if stay.is_empty() {
        let standing = store::moves::standing(&mut tx, id).await?;
        let standing = standing.ok_or_else(|| Error::not_found(format_args!("move {id}")))?;
        return Err(not_cancelled(standing));
    }
    cancelled(&mut tx, &caller, &stay).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn not_cancelled(standing: (Cause, MoveState)) -> Error {
    let error = |message: &str| Error::new(Code::NothingPending, message.to_owned());
    match standing {
        (Cause::Drain, MoveState::Waiting) => error("the node is drained")
            .hint("`wh node uncordon NODE` ends the drain, and with it what waits"),
        (_, MoveState::Moving) => {
            error("it moves already").hint("`wh cancel` ends the deployment that moves it")
        }
        _ => error("it is over"),
    }
}

async fn cancelled(conn: &mut PgConnection, caller: &Caller, stay: &[InstanceId]) -> sqlx::Result<()> {
    audit::record(conn, caller, "fleet.rebalance-cancel", "fleet:nodes", json!({ "instances": stay }))
        .await?;
    bus::say(conn, Topic::Nodes, "").await
}
