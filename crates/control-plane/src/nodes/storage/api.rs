//! `/api/v1/nodes/{node}/storage` and `/api/v1/nodes/{node}/gc`.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use protocol::identity::AgentKind;
use protocol::question::{AnswerKind, Cleanable, MAX_CLEANED, Question};
use serde::Deserialize;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{Cleanup, CleanupPreview, NodeStorage};
use crate::app::AppState;
use crate::http::caller::Caller;
use crate::http::page::{Page, PageQuery};
use crate::http::{Body, Error, Permission, Result, guard};
use crate::nodes::Node;
use crate::nodes::api::find;
use crate::nodes::store::storage;
use crate::{audit, questions};

/// Podman lists its images within seconds.
const PREVIEW: Duration = Duration::from_secs(25);

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::NodeRead, routes!(read_node_storage)))
        .routes(guard(app, Permission::NodeRead, routes!(list_cleanups)))
        .routes(guard(app, Permission::NodeWrite, routes!(preview_cleanup)))
        .routes(guard(app, Permission::NodeWrite, routes!(clean_node)))
}

/// What a worker holds besides its instances: containers that are not managed, volumes, images.
#[utoipa::path(get, path = "/nodes/{node}/storage", tag = "nodes", params(("node" = String, Path)),
    responses((status = 200, body = NodeStorage)))]
async fn read_node_storage(
    State(app): State<AppState>,
    Path(node): Path<String>,
) -> Result<Json<NodeStorage>> {
    let mut conn = app.db.acquire().await?;
    let node = find(&mut conn, &node).await?;
    let (reported_at, report) = storage::of(&mut conn, node.id).await?.unzip();
    let report = report.unwrap_or_default();
    Ok(Json(NodeStorage {
        reported_at,
        containers: report.containers,
        container_count: report.container_count,
        volumes: report.volumes,
        volume_count: report.volume_count,
        measured_at: report.measured_at,
        disk: report.disk,
        images: node.images,
    }))
}

/// What a clean-up would remove now: images that no container, release or app of the node needs. Changes nothing.
#[utoipa::path(get, path = "/nodes/{node}/gc/preview", tag = "nodes", params(("node" = String, Path)),
    responses((status = 200, body = CleanupPreview)))]
async fn preview_cleanup(
    State(app): State<AppState>,
    Path(node): Path<String>,
) -> Result<Json<CleanupPreview>> {
    let node = find(&mut *app.db.acquire().await?, &node).await?;
    let answer = questions::ask(&app, &node, AgentKind::Worker, Question::Cleanable, PREVIEW).await?;
    let AnswerKind::Cleanable(Cleanable { mut images }) = answer else {
        return Err(anyhow::anyhow!("{} answered something else", node.name).into());
    };
    let ids: Vec<String> = images.iter().map(|image| image.id.clone()).collect();
    let kept: BTreeSet<String> =
        storage::of_releases(&mut *app.db.acquire().await?, &ids).await?.into_iter().collect();
    images.retain(|image| !kept.contains(&image.id));
    Ok(Json(CleanupPreview { frees_bytes: storage::freed(&images), images }))
}

/// What is to be removed, as a preview told it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CleanupRequest {
    /// Ids of images, from 1 to 500.
    images: Vec<String>,
}

/// Removes images that a preview told of, and nothing else. One that is needed by now stays.
#[utoipa::path(post, path = "/nodes/{node}/gc", tag = "nodes", params(("node" = String, Path)),
    request_body = CleanupRequest, responses((status = 202, body = Cleanup)))]
async fn clean_node(
    State(app): State<AppState>,
    caller: Caller,
    Path(node): Path<String>,
    Body(request): Body<CleanupRequest>,
) -> Result<(StatusCode, Json<Cleanup>)> {
    let images = checked(&request.images)?;
    let mut tx = app.db.begin().await?;
    let node = find(&mut tx, &node).await?;
    let kept = storage::of_releases(&mut tx, &images).await?;
    if let Some(image) = kept.first() {
        return Err(
            Error::invalid("images", format!("an app keeps the image {image}")).hint(preview_hint(&node))
        );
    }
    let id = Uuid::now_v7();
    storage::start_cleanup(&mut tx, id, node.id, &caller.email, &images).await?;
    let detail = json!({ "images": images });
    questions::put(&mut tx, id, &node, AgentKind::Worker, &Question::Clean { images }).await?;
    audit::record(&mut tx, &caller, "node.clean-up", &format!("node:{}", node.name), detail).await?;
    let page = PageQuery { cursor: None, limit: 1 };
    let started = storage::cleanups(&mut tx, node.id, &page, Some(id)).await?.into_iter().next();
    let started = started.ok_or_else(|| anyhow::anyhow!("a new clean-up cannot be read back"))?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(started)))
}

fn checked(images: &[String]) -> Result<Vec<String>> {
    if !(1..=MAX_CLEANED).contains(&images.len()) {
        return Err(Error::invalid("images", format!("images must be from 1 to {MAX_CLEANED} ids"))
            .hint("`GET /nodes/{node}/gc/preview` tells which can go"));
    }
    let is_id = |id: &String| {
        id.strip_prefix("sha256:")
            .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    if let Some(index) = images.iter().position(|id| !is_id(id)) {
        return Err(Error::invalid(
            format!("images[{index}]"),
            "must be an id as a preview tells it: sha256:…",
        ));
    }
    Ok(images.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect())
}

fn preview_hint(node: &Node) -> String {
    format!("`wh node gc {} --dry-run` shows what can go", node.name)
}

/// Clean-ups of the node and what they did, the newest first.
#[utoipa::path(get, path = "/nodes/{node}/gc", tag = "nodes", params(("node" = String, Path), PageQuery),
    responses((status = 200, body = Page<Cleanup>)))]
async fn list_cleanups(
    State(app): State<AppState>,
    Path(node): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Cleanup>>> {
    let mut conn = app.db.acquire().await?;
    let node = find(&mut conn, &node).await?;
    let cleanups = storage::cleanups(&mut conn, node.id, &page, None).await?;
    Ok(Json(Page::new(cleanups, page.limit(), |cleanup| cleanup.id)))
}
