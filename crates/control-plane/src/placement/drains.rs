//! `/api/v1/nodes/{node}/drain`: emptying a node.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use protocol::ids::{InstanceId, NodeId, OrganizationId};
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::api;
use super::moves::MoveState;
use super::rebalance::{self, PlannedMove};
use super::store::{self, moves::Left};
use crate::app::AppState;
use crate::apps::own::split;
use crate::http::caller::Caller;
use crate::http::page::Page;
use crate::http::{Error, Permission, Result, guard};
use crate::nodes;

pub(super) fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::NodeRead, routes!(read_drain)))
        .routes(guard(app, Permission::NodeWrite, routes!(drain_node)))
        .routes(guard(app, Permission::NodeRead, routes!(preview_drain)))
}

/// A node that is to be empty, or is.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Drain {
    pub started_by: String,
    pub started_at: DateTime<Utc>,
    /// Since when nothing runs there; null as long as something does.
    pub finished_at: Option<DateTime<Utc>>,
    /// Instances that should have run there at its start.
    pub instances: i32,
    /// Those of the caller's organization that still should.
    pub left: Vec<DrainLeft>,
    /// How many of other organizations still should.
    pub others: usize,
}

/// An instance on a node that is drained.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct DrainLeft {
    pub instance: InstanceId,
    /// Slug of its app.
    pub app: String,
    pub stage: DrainStage,
    /// Number of the deployment that moves it, or tried to.
    pub deployment: Option<i32>,
    /// Why it does not move.
    pub problem: Option<String>,
    /// When one that could not be moved is tried again: after 5 minutes, and twice as long each time, up to an hour.
    pub next_try_at: Option<DateTime<Utc>>,
}

/// How far an instance on a node that is drained is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DrainStage {
    /// For its turn, or for what `problem` says.
    Waiting,
    /// Another starts in its place.
    Moving,
    /// Another serves in its place; its requests end, and then it does.
    Ending,
    /// Its deployment has to end first.
    Deploying,
    /// A command of a release, which is waited for.
    Command,
    /// It could not be moved; that is tried again at `next_try_at`.
    Failed,
}

impl DrainStage {
    fn of(left: &Left) -> Self {
        match left.state {
            _ if left.task => Self::Command,
            _ if !left.in_rotation && left.leaving => Self::Ending,
            _ if !left.in_rotation => Self::Deploying,
            Some(MoveState::Moving | MoveState::Done) => Self::Moving,
            Some(MoveState::Failed) => Self::Failed,
            Some(MoveState::Waiting | MoveState::Cancelled) | None => Self::Waiting,
        }
    }
}

/// The drain of a node, if there is one, as a member of `viewer` may see it.
pub(super) async fn of(
    conn: &mut PgConnection,
    node: NodeId,
    viewer: OrganizationId,
) -> sqlx::Result<Option<Drain>> {
    let Some(drain) = store::moves::drain(conn, node).await? else { return Ok(None) };
    let all = store::moves::left(conn, node).await?;
    let (left, others) = split(conn, viewer, all, |left| &left.app).await?;
    let left = left.into_iter().map(|left| DrainLeft {
        instance: left.instance,
        stage: DrainStage::of(&left),
        app: left.app,
        deployment: left.deployment,
        problem: left.problem,
        next_try_at: left.next_try_at,
    });
    Ok(Some(Drain {
        started_by: drain.started_by,
        started_at: drain.started_at,
        finished_at: drain.finished_at,
        instances: drain.instances,
        left: left.collect(),
        others,
    }))
}

/// How far the drain of a node is.
#[utoipa::path(get, path = "/nodes/{node}/drain", tag = "nodes", params(("node" = String, Path)),
    responses((status = 200, body = Drain)))]
async fn read_drain(
    State(app): State<AppState>,
    caller: Caller,
    Path(node): Path<String>,
) -> Result<Json<Drain>> {
    let mut conn = app.db.acquire().await?;
    let node = nodes::api::find(&mut conn, &node).await?;
    let drain = of(&mut conn, node.id, caller.organization_id).await?;
    drain.map(Json).ok_or_else(|| {
        Error::not_found(format_args!("drain of {}", node.name))
            .hint(format!("`wh node drain {}` begins one", node.name))
    })
}

/// Empties a node: cordons it, and moves its instances to other nodes, a few at a time. Of each, another starts, is
/// probed and takes the requests before it ends. Goes on until the node is uncordoned.
#[utoipa::path(post, path = "/nodes/{node}/drain", tag = "nodes", params(("node" = String, Path)),
    responses((status = 202, body = Drain)))]
async fn drain_node(
    State(app): State<AppState>,
    caller: Caller,
    Path(node): Path<String>,
) -> Result<(StatusCode, Json<Drain>)> {
    let mut tx = app.db.begin().await?;
    let node = nodes::api::find(&mut tx, &node).await?;
    api::view(&app, &mut tx, &node, caller.organization_id).await?;
    store::cordon(&mut tx, node.id, true).await?;
    if store::moves::start_drain(&mut tx, node.id, &caller.email).await? {
        api::changed(&mut tx, &caller, &node, "node.drain", json!({})).await?;
    }
    let drain = of(&mut tx, node.id, caller.organization_id)
        .await?
        .ok_or_else(|| anyhow::anyhow!("a new drain cannot be read back"))?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(drain)))
}

/// What emptying a node would do now, and what could not move. Changes nothing.
#[utoipa::path(get, path = "/nodes/{node}/drain/preview", tag = "nodes", params(("node" = String, Path)),
    responses((status = 200, body = Page<PlannedMove>)))]
async fn preview_drain(
    State(app): State<AppState>,
    caller: Caller,
    Path(node): Path<String>,
) -> Result<Json<Page<PlannedMove>>> {
    let mut conn = app.db.acquire().await?;
    let node = nodes::api::find(&mut conn, &node).await?;
    let fleet = store::fleet::load(&mut conn, &app.config.placement).await?;
    let planned = fleet.empty(node.id);
    Ok(Json(Page::whole(rebalance::shown(&mut conn, caller.organization_id, planned).await?)))
}
