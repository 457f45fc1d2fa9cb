//! `/api/v1/mesh`.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use chrono::Utc;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::findings::findings;
use super::links::links;
use super::{Link, LinkState, MeshNode, Side, View, store};
use crate::app::AppState;
use crate::http::extract::Query;
use crate::http::{Error, Permission, Result, guard};

/// A matrix of more nodes than this is nothing that anybody reads, and it grows with their square.
const WHOLE: usize = 64;

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::NodeRead, routes!(read_mesh)))
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
    drop(conn);
    let only = query.node.map(|wanted| named(&sides, &wanted)).transpose()?;
    let now = Utc::now();
    let mut links = links(&sides, now);
    let mut findings = findings(&sides, &links, now);
    let nodes = nodes(&sides, &links);
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

fn nodes(sides: &[Side], links: &[Link]) -> Vec<MeshNode> {
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
        endpoint: side.endpoint.clone(),
        status: side.status,
        wireguard: side.wireguard.clone(),
        mtu: side.report.as_ref().and_then(|report| report.mtu),
        reported_at: side.reported_at,
        reaches: reached.get(side.name.as_str()).copied().unwrap_or(0),
    };
    sides.iter().map(node).collect()
}
