//! API keys after joining: another one takes the place of the one in use, or all are refused.
//!
//! A rotation is desired state of the host's mesh agent. The host makes the key, puts it on its disk, and hands it over
//! (`POST /v1/nodes/rotate`); then it writes its identity and signs in. The old key is good until that has happened, and
//! for a while after it, so that at no moment a host has only a key that is refused.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use protocol::enrol::RotateRequest;
use protocol::identity::AgentKind;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use tracing::info;
use uuid::Uuid;

use super::store::Known;
use super::store::keys;
use super::store::keys::Stuck;
use super::{Node, api, signing};
use crate::app::AppState;
use crate::audit;
use crate::bus::{self, Topic};
use crate::generations::{self, Consumer};
use crate::http::caller::Caller;
use crate::http::{Body, Code, Error, Result};
use crate::hub::token::Agent;
use crate::notices::{Severity, Trouble};

/// A host that is connected changes its key within seconds.
const PATIENCE_S: f64 = 900.0;

/// Asks the host for another API key. Its connections, jobs and apps go on; see `key` of the answer.
#[utoipa::path(post, path = "/nodes/{node}/rotate-key", tag = "nodes", params(("node" = String, Path)),
    responses((status = 202, body = Node)))]
pub(super) async fn rotate_node_key(
    State(app): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Node>)> {
    let mut tx = app.db.begin().await?;
    let node = api::find(&mut tx, &name).await?;
    if node.key.revoked_at.is_some() {
        return Err(Error::new(
            Code::NodeRevoked,
            format!("the node {} is revoked: it has no key", node.name),
        )
        .hint(format!("To let it in again run `wh node add {}`", node.name)));
    }
    if keys::ask(&mut tx, node.id, Uuid::now_v7()).await? {
        generations::raise(&mut tx, Consumer::Mesh).await?;
        bus::say(&mut tx, Topic::Nodes, node.id).await?;
        audit::record(&mut tx, &caller, "node.rotate-key", &format!("node:{}", node.name), json!({})).await?;
    }
    let node = api::find(&mut tx, &node.id.to_string()).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(node)))
}

/// The host has made the key that it was asked for. The same key may be handed over again: the answer was lost.
pub(crate) async fn rotate(
    State(app): State<AppState>,
    agent: Agent,
    Body(request): Body<RotateRequest>,
) -> Result<StatusCode> {
    let node = &agent.node;
    if agent.kind != AgentKind::Mesh {
        return Err(Error::new(Code::Forbidden, "the mesh agent changes the key for all agents of its host"));
    }
    if !request.api_key.is_well_formed() {
        return Err(Error::invalid("api_key", "must be `whn_` and 64 hexadecimal digits"));
    }
    let sealed = signing::seal(&app.vault, node.id, &request.api_key);
    let mut tx = app.db.begin().await?;
    let digest = request.api_key.login_digest();
    if !keys::take_next(&mut tx, node.id, request.rotation, &digest, &sealed).await? {
        return Err(Error::new(Code::RotationEnded, "nobody asks this host for this key (any more)")
            .hint("The key in identity.json stays as it is"));
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A host signs in with the key that it has made: the rotation is over.
pub(crate) async fn used(tx: &mut PgConnection, node: &Known, digest: &str) -> sqlx::Result<()> {
    let Some(workers) = keys::promote(tx, node.id, digest).await? else { return Ok(()) };
    generations::raise(tx, Consumer::Mesh).await?;
    // Tickets for this node's images are sealed with its key.
    for worker in workers {
        generations::raise(tx, Consumer::Worker(worker)).await?;
    }
    bus::say(tx, Topic::Nodes, node.id).await?;
    let subject = format!("node:{}", node.name);
    audit::record_system(tx, &subject, "node.change-key", &subject, json!({})).await?;
    info!(node.id = %node.id, node.name = node.name, "the node {} has another key", node.name);
    Ok(())
}

/// Refuses a node's keys.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NodeRevocation)]
pub struct Revocation {
    /// The node's name once more.
    pub confirm: String,
}

/// Refuses all keys of a node at once: its connections are closed, the other nodes drop it from their tunnels, it gets
/// no requests. Its instances stay listed. It comes back only by joining anew.
#[utoipa::path(post, path = "/nodes/{node}/revoke", tag = "nodes", params(("node" = String, Path)),
    request_body = Revocation, responses((status = 200, body = Node)))]
pub(super) async fn revoke_node(
    State(app): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    Body(body): Body<Revocation>,
) -> Result<Json<Node>> {
    let mut tx = app.db.begin().await?;
    let node = api::find(&mut tx, &name).await?;
    if body.confirm != node.name {
        return Err(Error::invalid("confirm", format!("must be the node's name, {}", node.name)));
    }
    if node.mesh_address == app.config.mesh.address {
        return Err(Error::new(Code::Forbidden, "this is the control plane's own node"));
    }
    if keys::revoke(&mut tx, node.id).await? {
        generations::raise(&mut tx, Consumer::Mesh).await?;
        generations::raise(&mut tx, Consumer::Routes).await?;
        bus::say(&mut tx, Topic::Nodes, node.id).await?;
        let detail = json!({ "instances": node.instances });
        audit::record(&mut tx, &caller, "node.revoke", &format!("node:{}", node.name), detail).await?;
    }
    let node = api::find(&mut tx, &node.id.to_string()).await?;
    tx.commit().await?;
    // Other control planes close theirs within seconds; what comes over them meanwhile has lost its tunnel.
    app.hub.close_node(node.id);
    info!(node.id = %node.id, node.name = node.name, "revoked: node {}", node.name);
    Ok(Json(node))
}

/// Keys that somebody should look at.
pub async fn troubles(conn: &mut PgConnection) -> sqlx::Result<Vec<Trouble>> {
    Ok(keys::stuck(conn, PATIENCE_S).await?.iter().map(trouble).collect())
}

fn trouble(node: &Stuck) -> Trouble {
    let Stuck { name, revoked, instances } = node;
    let (stage, text, hint) = if *revoked {
        (
            "revoked",
            format!(
                "The node {name} is revoked, and {instances} instances should still run there. Nobody reaches them."
            ),
            format!(
                "`wh node drain {name}` places them elsewhere; `wh node add {name}` lets the host in again."
            ),
        )
    } else {
        (
            "waiting",
            format!(
                "The node {name} was asked for another API key and has not changed it. The old one is still good."
            ),
            format!(
                "Look at wisehosting-mesh on the host: `journalctl -u wisehosting-mesh`. `wh node revoke {name}` refuses its keys at once."
            ),
        )
    };
    Trouble {
        organization: None,
        kind: "node-key",
        subject: format!("node:{name}"),
        stage,
        severity: Severity::Warning,
        text,
        hint: Some(hint),
    }
}
