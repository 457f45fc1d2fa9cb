//! `/api/v1/mesh`.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use protocol::ids::NodeId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::findings::findings;
use super::links::links;
use super::rotations::Rotation;
use super::store::rotations as rows;
use super::{Link, LinkState, MeshNode, Side, View, store};
use crate::app::AppState;
use crate::audit;
use crate::bus::{self, Topic};
use crate::generations::{self, Consumer};
use crate::http::caller::Caller;
use crate::http::extract::Query;
use crate::http::{Body, Code, Error, Permission, Result, guard};
use crate::nodes;

/// A matrix of more nodes than this is nothing that anybody reads, and it grows with their square.
const WHOLE: usize = 64;

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::NodeRead, routes!(read_mesh)))
        .routes(guard(app, Permission::NodeWrite, routes!(rotate_mesh_keys)))
        .routes(guard(app, Permission::NodeWrite, routes!(cancel_mesh_rotation)))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct MeshQuery {
    /// Only links and findings of this node, by id or name.
    node: Option<String>,
}

/// Who reaches whom through the mesh, how well, and what is wrong. Nodes report every 30 seconds, and when a peer
/// becomes silent or comes back.
#[utoipa::path(get, path = "/mesh", tag = "mesh", params(MeshQuery), responses((status = 200, body = View)))]
async fn read_mesh(State(app): State<AppState>, Query(query): Query<MeshQuery>) -> Result<Json<View>> {
    let mut conn = app.db.acquire().await?;
    let sides = store::sides(&mut conn).await?;
    let (rotations, ages) = (rows::all(&mut conn).await?, rows::ages(&mut conn).await?);
    drop(conn);
    let only = query.node.map(|wanted| named(&sides, &wanted)).transpose()?;
    let now = Utc::now();
    let mut links = links(&sides, now);
    let mut findings = findings(&sides, &links, now);
    let nodes = list(&sides, &links, &rotations, &ages);
    let all = links.len();
    if let Some(name) = &only {
        links.retain(|link| link.from == *name || link.to == *name);
        findings.retain(|finding| finding.nodes.contains(name));
    } else if sides.len() > WHOLE {
        links.retain(|link| link.state != LinkState::Direct);
        links.truncate(WHOLE * WHOLE);
    }
    let links_left_out = if only.is_some() { 0 } else { all - links.len() };
    Ok(Json(View { cidr: app.config.mesh.cidr, nodes, links, links_left_out, findings }))
}

fn named(sides: &[Side], wanted: &str) -> Result<String> {
    let side = sides.iter().find(|side| side.name == wanted || side.id.to_string() == wanted);
    let missing = || Error::not_found(format_args!("node {wanted}")).hint("`wh node ls` lists the nodes");
    Ok(side.ok_or_else(missing)?.name.clone())
}

fn list(
    sides: &[Side],
    links: &[Link],
    rotations: &[Rotation],
    ages: &HashMap<NodeId, DateTime<Utc>>,
) -> Vec<MeshNode> {
    let now = Utc::now();
    let mut reached: HashMap<&str, usize> = HashMap::new();
    let there = |link: &&Link| matches!(link.state, LinkState::Direct | LinkState::Relayed);
    for link in links.iter().filter(there) {
        *reached.entry(&link.from).or_default() += 1;
    }
    let node = |side: &Side| MeshNode {
        id: side.id,
        name: side.name.clone(),
        mesh_address: side.mesh_address,
        public_key: side.public_key.clone(),
        key_since: ages.get(&side.id).copied(),
        rotation: rotations.iter().find(|one| one.node == side.id).map(|one| one.view(sides, now)),
        endpoint: side.endpoint.clone(),
        status: side.status,
        wireguard: side.wireguard.clone(),
        mtu: side.report.as_ref().and_then(|report| report.mtu),
        reported_at: side.reported_at,
        reaches: reached.get(side.name.as_str()).copied().unwrap_or(0),
    };
    sides.iter().map(node).collect()
}

/// Asks nodes for other keys of their tunnels.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MeshRotationRequest)]
pub struct RotationRequest {
    /// Names or ids.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// All nodes that are not revoked.
    #[serde(default)]
    pub all: bool,
}

/// Who was asked.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = MeshRotationsAsked)]
pub struct RotationsAsked {
    /// Names, also of those that had been asked before.
    pub nodes: Vec<String>,
}

/// Asks nodes for other keys of their tunnels. They change one after the other, each when all others take its key;
/// connections through the mesh go on. `GET /mesh` tells how far each is.
#[utoipa::path(post, path = "/mesh/rotations", tag = "mesh", request_body = RotationRequest,
    responses((status = 202, body = RotationsAsked)))]
async fn rotate_mesh_keys(
    State(app): State<AppState>,
    caller: Caller,
    Body(body): Body<RotationRequest>,
) -> Result<(StatusCode, Json<RotationsAsked>)> {
    if body.all != body.nodes.is_empty() {
        return Err(Error::invalid("nodes", "must name nodes, or `all` must be true, and not both"));
    }
    let mut tx = app.db.begin().await?;
    let mut asked = Vec::new();
    for node in nodes::store::all(&mut tx).await? {
        let named = body.nodes.iter().any(|name| *name == node.name || *name == node.id.to_string());
        if named && node.revoked {
            return Err(Error::new(Code::NodeRevoked, format!("the node {} is revoked", node.name))
                .hint(format!("To let it in again run `wh node add {}`", node.name)));
        }
        if !(named || body.all && !node.revoked) {
            continue;
        }
        if rows::ask(&mut tx, node.id, Uuid::now_v7()).await? {
            bus::say(&mut tx, Topic::Nodes, node.id).await?;
            audit::record(&mut tx, &caller, "mesh.rotate", &format!("node:{}", node.name), json!({})).await?;
        }
        asked.push(node);
    }
    let unknown = body
        .nodes
        .iter()
        .find(|name| !asked.iter().any(|node| node.name == **name || node.id.to_string() == **name));
    if let Some(name) = unknown {
        return Err(Error::not_found(format_args!("node {name}"))
            .field("nodes")
            .hint("`wh node ls` lists the nodes"));
    }
    generations::raise(&mut tx, Consumer::Mesh).await?;
    tx.commit().await?;
    let nodes = asked.into_iter().map(|node| node.name).collect();
    Ok((StatusCode::ACCEPTED, Json(RotationsAsked { nodes })))
}

/// Leaves a node's key as it is. Refused when the host may use the next one already.
#[utoipa::path(delete, path = "/mesh/rotations/{node}", tag = "mesh", params(("node" = String, Path)),
    responses((status = 204)))]
async fn cancel_mesh_rotation(
    State(app): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    let node = nodes::api::find(&mut tx, &name).await?;
    let Some(rotation) = rows::lock(&mut tx, node.id).await? else {
        return Err(Error::new(Code::RotationEnded, format!("{} is not asked for another key", node.name))
            .hint("`wh mesh` tells since when each node has its key"));
    };
    if rotation.told_at.is_some() {
        return Err(Error::new(Code::RotationEnded, format!("{} may use its next key already", node.name))
            .hint(format!(
                "It comes back with the one or the other; `wh mesh rotate {}` asks for a third",
                node.name
            )));
    }
    rows::forget(&mut tx, node.id).await?;
    generations::raise(&mut tx, Consumer::Mesh).await?;
    bus::say(&mut tx, Topic::Nodes, node.id).await?;
    audit::record(&mut tx, &caller, "mesh.cancel-rotation", &format!("node:{}", node.name), json!({}))
        .await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
