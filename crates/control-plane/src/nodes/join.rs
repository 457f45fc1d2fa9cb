//! `POST /v1/nodes/enroll` and `POST /v1/nodes/declare`: how a host becomes a node.

use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use chrono::Utc;
use protocol::enrol::{DeclareRequest, EnrolRequest, Joined};
use protocol::identity::{AgentKind, ApiKey, NodeIdentity, Role};
use protocol::ids::NodeId;
use protocol::labels::Labels;
use protocol::spec::Generation;
use serde_json::json;
use sqlx::PgConnection;
use tracing::info;

use super::store::{self, Known, NewNode, keys, tokens};
use super::{Origin, enrol, settled, signing};
use crate::app::AppState;
use crate::bus::{self, Topic};
use crate::generations::{self, Consumer};
use crate::http::caller::bearer;
use crate::http::listen::Peer;
use crate::http::{Body, Code, Error, Result};
use crate::{audit, digest, plan};

/// How long an answer to a joining host waits for the control plane's own tunnel.
const TUNNEL_PATIENCE: Duration = Duration::from_secs(3);

/// The public listener's part.
pub fn router() -> Router<AppState> {
    Router::new().route("/v1/nodes/enroll", post(enroll))
}

async fn enroll(
    State(app): State<AppState>,
    headers: HeaderMap,
    Body(request): Body<EnrolRequest>,
) -> Result<(StatusCode, Json<Joined>)> {
    let token = bearer(&headers).ok_or_else(|| enrol::unknown_token(&request.roles))?;
    let digest = digest::of_token(token);
    let mut changes = app.bus.listen();
    let (joined, generation) = match take_in(&app, &digest, request).await {
        Ok(taken) => taken,
        Err(error) => {
            if error.code().status().is_client_error() {
                let mut conn = app.db.acquire().await?;
                tokens::note_refusal(&mut conn, &digest, error.message()).await?;
            }
            return Err(error);
        }
    };
    // The answer makes the host dial the control plane through the mesh: the tunnel here should know it by then. One
    // that is late costs the host a few seconds, no more.
    let own = (AgentKind::Mesh, Role::ControlPlane);
    settled::wait(&app, &mut changes, own, generation, TUNNEL_PATIENCE).await?;
    Ok((StatusCode::CREATED, Json(joined)))
}

/// Makes the host a node, or nothing at all.
async fn take_in(app: &AppState, digest: &[u8], mut request: EnrolRequest) -> Result<(Joined, Generation)> {
    let mut tx = app.db.begin().await?;
    let (token_id, grant) =
        tokens::lock_token(&mut tx, digest).await?.ok_or_else(|| enrol::unknown_token(&request.roles))?;
    enrol::check(&grant, &request, Utc::now())?;
    request.labels.extend(grant.labels);
    request.zone = grant.zone.or(request.zone);
    store::lock_addresses(&mut tx).await?;
    let may_replace = grant.name.as_deref() == Some(&request.name);
    let node = admit(app, &mut tx, &request, may_replace).await?;
    tokens::use_token(&mut tx, token_id, node.id).await?;
    let (joined, generation) = join(app, &mut tx, &node).await?;
    let detail = json!({ "roles": request.roles, "mesh_address": node.mesh_address, "token": token_id });
    let name = &node.name;
    audit::record_system(&mut tx, &format!("node:{name}"), "node.enroll", &format!("node:{name}"), detail)
        .await?;
    tx.commit().await?;
    info!(node.id = %node.id, node.name = name, node.address = %node.mesh_address, "enrolled: node {name}");
    Ok((joined, generation))
}

/// The node that `request` makes, or the one that this host is already: same key, same name. `may_replace`: an admin
/// named it, so that a host of another key may also come back as a node that was revoked.
pub(super) async fn admit(
    app: &AppState,
    tx: &mut PgConnection,
    request: &EnrolRequest,
    may_replace: bool,
) -> Result<Known> {
    let all = store::all(tx).await?;
    let by_name = all.iter().find(|node| node.name == request.name);
    let by_key = all.iter().find(|node| node.public_key == request.public_key);
    let returning = by_name.filter(|node| node.revoked && may_replace && node.origin == Origin::Enrolled);
    if let Some(other) = by_name
        && other.public_key != request.public_key
        && (returning.is_none() || by_key.is_some())
    {
        return Err(name_taken(other));
    }
    if let Some(known) = by_key
        && (known.name != request.name || known.origin == Origin::Declared)
    {
        let message = format!("this host's key belongs to the node {}", known.name);
        return Err(Error::new(Code::NameTaken, message).field("public_key").hint(format!(
            "Remove that node with `wh node rm {}`, or delete the host's private.key so that it makes a new one",
            known.name
        )));
    }
    let known = by_key.or(returning);
    let mesh_address = match known {
        Some(known) => known.mesh_address,
        None => free_address(app, tx).await?,
    };
    let node = NewNode {
        id: known.map_or_else(NodeId::new, |known| known.id),
        name: &request.name,
        roles: &request.roles,
        origin: Origin::Enrolled,
        mesh_address,
        public_key: &request.public_key,
        endpoint: request.endpoint.map(|endpoint| endpoint.to_string()),
        labels: &request.labels,
        declared_labels: &Labels::new(),
        zone: request.zone.as_deref(),
    };
    match known {
        Some(_) => store::update(tx, &node).await?,
        None => store::insert(tx, &node).await?,
    }
    let known = store::known(tx, node.id).await?;
    known.ok_or_else(|| anyhow::anyhow!("a node vanished in its own transaction").into())
}

async fn free_address(app: &AppState, tx: &mut PgConnection) -> Result<std::net::Ipv4Addr> {
    let mesh = &app.config.mesh;
    let mut used = store::addresses(tx).await?;
    used.extend(app.config.nodes.iter().map(|node| node.mesh_address));
    enrol::lowest_free(mesh.cidr, mesh.address, &used).ok_or_else(|| {
        Error::new(Code::MeshFull, format!("all addresses of the mesh {} are taken", mesh.cidr))
            .hint("Remove nodes that are gone, or set a larger `mesh.cidr`")
    })
}

fn name_taken(other: &Known) -> Error {
    let name = &other.name;
    let hint = if other.revoked {
        format!(
            "To bring that revoked node back by this host make a token for its name: `wh node add {name}`; or remove it with `wh node rm {name}`"
        )
    } else {
        format!("Give this host another `node.name`, or remove the old node with `wh node rm {name}`")
    };
    Error::new(Code::NameTaken, format!("there is already a node named {name}")).field("name").hint(hint)
}

/// A new API key for `node`, and all it needs to know.
pub(super) async fn join(
    app: &AppState,
    tx: &mut PgConnection,
    node: &Known,
) -> Result<(Joined, Generation)> {
    let api_key = ApiKey::generate();
    let sealed = signing::seal(&app.vault, node.id, &api_key);
    keys::set(tx, node.id, &api_key.login_digest(), &sealed).await?;
    let generation = generations::raise(tx, Consumer::Mesh).await?;
    bus::say(tx, Topic::Nodes, node.id).await?;
    let nodes = store::all(tx).await?;
    let control_plane =
        format!("http://{}:{}", app.config.mesh.address, app.config.api_server.mesh_listen.port());
    let joined = Joined {
        identity: NodeIdentity {
            node_id: node.id,
            name: node.name.clone(),
            mesh_address: node.mesh_address,
            api_key,
            control_planes: vec![control_plane],
        },
        prefix: app.config.mesh.cidr.prefix_len(),
        peers: plan::mesh::spec(node.id, &nodes, &plan::mesh::Ways::default()).peers,
    };
    Ok((joined, generation))
}

/// A declared node asks for its identity. The tunnel has proven who it is: `WireGuard` lets only the holder of the
/// key send from the mesh address.
pub(crate) async fn declare(
    State(app): State<AppState>,
    Extension(Peer(peer)): Extension<Peer>,
    Body(request): Body<DeclareRequest>,
) -> Result<Json<Joined>> {
    let refuse = |message: String| {
        Error::new(Code::NotDeclared, message)
            .hint("Compare `nodes` in the control plane's configuration with this host's public.key and mesh address")
    };
    if peer.ip().to_canonical() != std::net::IpAddr::V4(request.mesh_address) {
        return Err(refuse(format!(
            "this request comes from {}, not from {} through the mesh",
            peer.ip(),
            request.mesh_address
        )));
    }
    let mut tx = app.db.begin().await?;
    let all = store::all(&mut tx).await?;
    let declared =
        |node: &&Known| node.origin == Origin::Declared && node.mesh_address == request.mesh_address;
    let node = all.iter().find(declared).ok_or_else(|| {
        refuse(format!("no node with the mesh address {} is declared", request.mesh_address))
    })?;
    if node.public_key != request.public_key {
        return Err(refuse(format!("the node {} is declared with another public key", node.name)));
    }
    if node.revoked {
        return Err(Error::new(Code::NodeRevoked, format!("the node {} was revoked", node.name)).hint(
            "Declare it with another public key to let it in again: delete the host's private.key, and pin the one that it makes",
        ));
    }
    if let (None, Some(endpoint)) = (&node.endpoint, request.endpoint) {
        store::set_endpoint(&mut tx, node.id, &endpoint.to_string()).await?;
    }
    let (joined, _) = join(&app, &mut tx, node).await?;
    let name = &node.name;
    audit::record_system(
        &mut tx,
        &format!("node:{name}"),
        "node.declare",
        &format!("node:{name}"),
        json!({}),
    )
    .await?;
    tx.commit().await?;
    info!(node.id = %node.id, node.name = name, "declared node {name} took its identity");
    Ok(Json(joined))
}
