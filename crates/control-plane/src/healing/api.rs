//! `/api/v1/nodes/{node}/healing`, `/strays` and `/corrections`: what waits for a node, what nobody knows on it, and what
//! it put right.

use axum::Json;
use axum::extract::{Path, Query, State};
use chrono::{DateTime, TimeDelta, Utc};
use protocol::ids::InstanceId;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::corrections::Correction;
use super::store::{self, strays::StrayView};
use super::{Reach, grace};
use crate::app::AppState;
use crate::apps::own::{hide, split};
use crate::http::caller::Caller;
use crate::http::page::{Page, PageQuery};
use crate::http::{Permission, Result, guard};
use crate::nodes::api::find;
use crate::reconcile::healing::seen;

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::NodeRead, routes!(read_node_healing)))
        .routes(guard(app, Permission::NodeRead, routes!(list_node_strays)))
        .routes(guard(app, Permission::NodeRead, routes!(list_node_corrections)))
}

/// What follows from a node's absence.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct NodeHealing {
    /// When instances of apps without a time of their own are placed elsewhere, unless it is back before. Null while it
    /// is not missing, and while it serves although the control plane does not hear from it.
    pub given_up_at: Option<DateTime<Utc>>,
    /// How often it was gone before within `node_health.flapping_h`; each time doubles how long it is waited for.
    pub gone_before: i64,
    /// Whether proxies still lead requests to it: not to a node that is missing and that they do not reach.
    pub routed: bool,
    /// A proxy reaches it although the control plane does not: what runs there serves and stays.
    pub reached: bool,
    /// When its worker was granted the lease of its exclusive instances last.
    pub lease_renewed_at: Option<DateTime<Utc>>,
    /// Instances of the caller's organization on their way to other nodes, or waiting for this one.
    pub waiting: Vec<WaitingInstance>,
    /// How many of other organizations are.
    pub others: usize,
}

/// An instance of a node that is gone.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct WaitingInstance {
    /// Slug of its app.
    pub app: String,
    pub instance: InstanceId,
    /// Number of the deployment that places it elsewhere.
    pub deployment: Option<i32>,
    /// Why it can be nowhere else.
    pub problem: Option<String>,
}

/// What follows from a node's absence: when it is given up, and what goes elsewhere or waits for it.
#[utoipa::path(get, path = "/nodes/{node}/healing", tag = "nodes", params(("node" = String, Path)),
    responses((status = 200, body = NodeHealing)))]
async fn read_node_healing(
    State(app): State<AppState>,
    caller: Caller,
    Path(node): Path<String>,
) -> Result<Json<NodeHealing>> {
    let mut conn = app.db.acquire().await?;
    let node = find(&mut conn, &node).await?;
    let said = store::witnesses(&mut conn).await?;
    let waiting = store::waiting(&mut conn, Some(node.id)).await?;
    let (waiting, others) = split(&mut conn, caller.organization_id, waiting, |one| &one.slug).await?;
    let config = &app.config.node_health;
    let lease_renewed_at = store::lease::renewed_at(&mut conn, node.id).await?;
    let mut healing = NodeHealing {
        given_up_at: None,
        gone_before: 0,
        routed: true,
        reached: false,
        lease_renewed_at,
        waiting: waiting
            .into_iter()
            .map(|one| WaitingInstance {
                app: one.slug,
                instance: one.instance,
                deployment: one.deployment,
                problem: one.problem,
            })
            .collect(),
        others,
    };
    if let Some(missing) = store::missing(&mut conn, Some(node.id), config.flapping_h).await?.pop() {
        let wait = std::time::Duration::from_secs(config.grace_s.into());
        let wait = TimeDelta::from_std(grace(wait, missing.before)).unwrap_or(TimeDelta::MAX);
        healing.reached = missing.since.is_some() && seen(&missing, &said) == Reach::Reached;
        healing.given_up_at = missing.since.filter(|_| !healing.reached).map(|since| since + wait);
        healing.gone_before = missing.before;
        healing.routed = !missing.unreached;
    }
    Ok(Json(healing))
}

/// Containers with our label that no desired state of the node's worker ever had. They were stopped, and are removed a
/// week after they were found.
#[utoipa::path(get, path = "/nodes/{node}/strays", tag = "nodes", params(("node" = String, Path)),
    responses((status = 200, body = Page<StrayView>)))]
async fn list_node_strays(
    State(app): State<AppState>,
    caller: Caller,
    Path(node): Path<String>,
) -> Result<Json<Page<StrayView>>> {
    let mut conn = app.db.acquire().await?;
    let node = find(&mut conn, &node).await?;
    let strays = store::strays::list(&mut conn, node.id).await?;
    let viewer = caller.organization_id;
    let strays = hide(&mut conn, viewer, strays, |stray| stray.app.as_deref(), StrayView::hide_app).await?;
    Ok(Json(Page::whole(strays)))
}

/// What the node's worker put right by itself, and why; the newest first. What it did while it was cut off, such as to stop
/// exclusive instances without a lease, it tells when it is back.
#[utoipa::path(get, path = "/nodes/{node}/corrections", tag = "nodes", params(("node" = String, Path), PageQuery),
    responses((status = 200, body = Page<Correction>)))]
async fn list_node_corrections(
    State(app): State<AppState>,
    caller: Caller,
    Path(node): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Correction>>> {
    let mut conn = app.db.acquire().await?;
    let node = find(&mut conn, &node).await?;
    let corrections = store::corrections(&mut conn, node.id, &page).await?;
    let viewer = caller.organization_id;
    let corrections =
        hide(&mut conn, viewer, corrections, |one| one.app.as_deref(), |one| one.app = None).await?;
    Ok(Json(Page::new(corrections, page.limit(), |one| one.id)))
}
