//! How a node goes: an admin removes it, or its host leaves (`POST /v1/nodes/leave`).

use std::net::Ipv4Addr;

use axum::Json;
use axum::extract::State;
use protocol::enrol::{LeaveRequest, Left};
use protocol::ids::NodeId;
use serde_json::json;
use sqlx::PgConnection;
use tracing::info;

use super::{Origin, store};
use crate::app::{App, AppState};
use crate::audit;
use crate::bus::{self, Topic};
use crate::generations::{self, Consumer};
use crate::http::{Body, Code, Error, Result};
use crate::hub::token::Agent;
use crate::zones;

/// A node that is to go.
pub(super) struct Leaving<'a> {
    pub(super) id: NodeId,
    pub(super) name: &'a str,
    pub(super) mesh_address: Ipv4Addr,
}

/// Takes the node out, unless it holds instances that should run, or the control plane itself. `force`: with its
/// instances, which are placed elsewhere.
pub(super) async fn take_out(
    app: &App,
    tx: &mut PgConnection,
    node: &Leaving<'_>,
    force: bool,
) -> Result<()> {
    if node.mesh_address == app.config.mesh.address {
        return Err(Error::new(Code::Forbidden, "this is the control plane's own node"));
    }
    let instances = store::wanted_instances(tx, node.id).await?;
    if instances > 0 && !force {
        let run = if instances == 1 {
            "1 instance still runs".to_owned()
        } else {
            format!("{instances} instances still run")
        };
        let message = format!("{run} on {}", node.name);
        return Err(Error::new(Code::NodeHasInstances, message)
            .hint(format!("Move them to other nodes first: `wh node drain {}`", node.name)));
    }
    let zones = zones::store::of_node(tx, node.id).await?;
    if let (Some(zone), false) = (zones.first(), force) {
        return Err(Error::new(Code::NodeHasZone, format!("the direct zone {zone} points at {}", node.name))
            .hint(format!("Point it elsewhere first: `wh zone set {zone} --worker NODE` or `--proxy`")));
    }
    zones::store::forget_node(tx, node.id).await?;
    store::forget_instances(tx, node.id).await?;
    store::remove(tx, node.id).await?;
    generations::raise(tx, Consumer::Mesh).await?;
    if instances > 0 || !zones.is_empty() {
        generations::raise(tx, Consumer::Routes).await?;
    }
    bus::say(tx, Topic::Nodes, node.id).await?;
    Ok(())
}

/// The host says that it goes.
pub(crate) async fn leave(
    State(app): State<AppState>,
    agent: Agent,
    Body(request): Body<LeaveRequest>,
) -> Result<Json<Left>> {
    let node = &agent.node;
    let mut tx = app.db.begin().await?;
    store::lock_addresses(&mut tx).await?;
    let leaving = Leaving { id: node.id, name: &node.name, mesh_address: node.mesh_address };
    take_out(&app, &mut tx, &leaving, request.force).await?;
    let subject = format!("node:{}", node.name);
    let detail = json!({ "reason": "the host left", "force": request.force });
    audit::record_system(&mut tx, &subject, "node.remove", &subject, detail).await?;
    tx.commit().await?;
    info!(node.id = %node.id, node.name = node.name, "left: node {}", node.name);
    Ok(Json(Left { declared: node.origin == Origin::Declared }))
}
