//! `POST /api/v1/nodes`: an admin enters a host by hand, for one that does not reach the public listener.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use protocol::enrol::{EnrolRequest, Joined};
use protocol::identity::Role;
use protocol::labels::Labels;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::store::{self, Known};
use super::{Node, adding, api, enrol, join};
use crate::app::AppState;
use crate::audit;
use crate::http::caller::Caller;
use crate::http::{Body, Code, Error, Result};

/// A host to be entered.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NodeRegistration)]
pub struct Registration {
    /// As `node.name` in the host's mesh.toml.
    pub name: String,
    pub roles: Vec<Role>,
    /// What is in the host's `public.key`.
    pub public_key: String,
    /// Where others reach its tunnel: address and UDP port. Null for a host that nobody can dial.
    #[schema(value_type = Option<String>)]
    pub endpoint: Option<SocketAddr>,
    #[serde(default)]
    pub labels: Labels,
    pub zone: Option<String>,
}

/// A node that was entered by hand.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RegisteredNode)]
pub struct Registered {
    pub node: Node,
    /// The host's identity and API key as text, shown once.
    pub joined: String,
    /// What to run on the host: one line.
    pub command: String,
}

/// Makes a node of a host whose public key is known.
#[utoipa::path(post, path = "/nodes", tag = "nodes", request_body = Registration,
    responses((status = 201, body = Registered)))]
pub(super) async fn register_node(
    State(app): State<AppState>,
    caller: Caller,
    Body(body): Body<Registration>,
) -> Result<(StatusCode, Json<Registered>)> {
    let request = EnrolRequest {
        name: body.name,
        roles: roles(body.roles)?,
        public_key: body.public_key.trim().to_owned(),
        endpoint: body.endpoint,
        labels: body.labels,
        zone: body.zone,
    };
    enrol::check_words(&request)?;
    let mut tx = app.db.begin().await?;
    store::lock_addresses(&mut tx).await?;
    refuse_duplicates(&store::all(&mut tx).await?, &request)?;
    let node = join::admit(&app, &mut tx, &request, true).await?;
    let (joined, _) = join::join(&app, &mut tx, &node).await?;
    let detail = json!({ "roles": request.roles, "mesh_address": node.mesh_address });
    audit::record(&mut tx, &caller, "node.register", &format!("node:{}", node.name), detail).await?;
    let node = api::find(&mut tx, &node.id.to_string()).await?;
    tx.commit().await?;
    let joined = text(&joined)?;
    let command = adding::by_hand(&joined);
    Ok((StatusCode::CREATED, Json(Registered { node, joined, command })))
}

fn text(joined: &Joined) -> Result<String> {
    serde_json::to_string(joined).map_err(|error| anyhow::Error::new(error).into())
}

fn roles(mut roles: Vec<Role>) -> Result<Vec<Role>> {
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() || roles.contains(&Role::ControlPlane) {
        return Err(Error::invalid("roles", "roles must be worker, proxy or both"));
    }
    Ok(roles)
}

/// Nobody else has the name, the key or the endpoint. A revoked node may be entered again.
fn refuse_duplicates(all: &[Known], request: &EnrolRequest) -> Result<()> {
    let returning = |node: &&Known| !(node.revoked && node.name == request.name);
    let taken = |field: &str, what: &str, node: &Known| {
        let name = &node.name;
        Error::new(Code::NameTaken, format!("the node {name} has this {what}"))
            .field(field)
            .hint(format!("Enter another one, or remove that node with `wh node rm {name}`"))
    };
    for node in all.iter().filter(returning) {
        if node.name == request.name {
            return Err(taken("name", "name", node));
        }
        if node.public_key == request.public_key {
            return Err(taken("public_key", "public key", node));
        }
        if request.endpoint.is_some() && node.endpoint == request.endpoint.map(|one| one.to_string()) {
            return Err(taken("endpoint", "endpoint", node));
        }
    }
    Ok(())
}
