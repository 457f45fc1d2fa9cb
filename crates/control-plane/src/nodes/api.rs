//! `/api/v1/nodes` and `/api/v1/node-tokens`.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use protocol::identity::Role;
use protocol::ids::NodeTokenId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::leave::{Leaving, take_out};
use super::store::{self, NewToken};
use super::{Node, NodeToken, numbers};
use crate::app::AppState;
use crate::config::is_label;
use crate::http::caller::Caller;
use crate::http::page::{Page, PageQuery};
use crate::http::{Body, Code, Error, Permission, Result, guard};
use crate::{audit, digest};

/// A join token lasts at most 30 days.
const LONGEST_S: i64 = 30 * 24 * 3600;

/// Nodes and join tokens.
pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::NodeRead, routes!(list_nodes)))
        .routes(guard(app, Permission::NodeRead, routes!(read_node)))
        .routes(guard(app, Permission::NodeWrite, routes!(super::labels::update_node)))
        .routes(guard(app, Permission::NodeWrite, routes!(delete_node)))
        .merge(super::health::api::router(app))
        .merge(super::numbers::api::router(app))
        .merge(super::storage::api::router(app))
        .merge(super::agent_log::router(app))
        .merge(super::instances::router(app))
        .routes(guard(app, Permission::NodeWrite, routes!(create_node_token)))
        .routes(guard(app, Permission::NodeRead, routes!(list_node_tokens)))
        .routes(guard(app, Permission::NodeWrite, routes!(delete_node_token)))
}

/// All nodes.
#[utoipa::path(get, path = "/nodes", tag = "nodes", params(PageQuery), responses((status = 200, body = Page<Node>)))]
async fn list_nodes(State(app): State<AppState>, Query(page): Query<PageQuery>) -> Result<Json<Page<Node>>> {
    let mut conn = app.db.acquire().await?;
    let mut nodes = store::list(&mut conn, &page, None).await?;
    numbers::fill(&app, &mut nodes);
    Ok(Json(Page::new(nodes, page.limit(), |node| node.id.0)))
}

/// One node, by id or name.
#[utoipa::path(get, path = "/nodes/{node}", tag = "nodes", params(("node" = String, Path)),
    responses((status = 200, body = Node)))]
async fn read_node(State(app): State<AppState>, Path(node): Path<String>) -> Result<Json<Node>> {
    let mut conn = app.db.acquire().await?;
    let mut node = find(&mut conn, &node).await?;
    numbers::fill(&app, std::slice::from_mut(&mut node));
    Ok(Json(node))
}

pub(crate) async fn find(conn: &mut sqlx::PgConnection, node: &str) -> Result<Node> {
    let one = PageQuery { cursor: None, limit: 1 };
    let found = store::list(conn, &one, Some(node)).await?;
    found
        .into_iter()
        .next()
        .ok_or_else(|| Error::not_found(format_args!("node {node}")).hint("`wh node ls` lists the nodes"))
}

/// Removes a node. Its agents can no longer sign in; the others drop it from their tunnels.
#[utoipa::path(delete, path = "/nodes/{node}", tag = "nodes", params(("node" = String, Path)),
    responses((status = 204)))]
async fn delete_node(
    State(app): State<AppState>,
    caller: Caller,
    Path(node): Path<String>,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    store::lock_addresses(&mut tx).await?;
    let node = find(&mut tx, &node).await?;
    let leaving = Leaving { id: node.id, name: &node.name, mesh_address: node.mesh_address };
    take_out(&app, &mut tx, &leaving, false).await?;
    audit::record(&mut tx, &caller, "node.remove", &format!("node:{}", node.name), json!({})).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A join token to be made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NodeTokenRequest)]
pub struct CreateNodeToken {
    /// What the host may become.
    pub roles: Vec<Role>,
    /// Binds the token to one node name.
    pub name: Option<String>,
    /// Seconds; an hour when absent.
    pub expires_in_s: Option<i64>,
}

/// A new join token, shown once.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = NewNodeToken)]
pub struct CreatedNodeToken {
    pub id: NodeTokenId,
    pub token: String,
    pub roles: Vec<Role>,
    pub expires_at: DateTime<Utc>,
    /// What to run on the host.
    pub command: String,
}

/// Makes a single-use join token.
#[utoipa::path(post, path = "/node-tokens", tag = "nodes", request_body = CreateNodeToken,
    responses((status = 201, body = CreatedNodeToken)))]
async fn create_node_token(
    State(app): State<AppState>,
    caller: Caller,
    Body(mut body): Body<CreateNodeToken>,
) -> Result<(StatusCode, Json<CreatedNodeToken>)> {
    let lifetime = check_token(&mut body)?;
    let token = digest::new_token("whj_");
    let id = NodeTokenId::new();
    let expires_at = Utc::now() + TimeDelta::seconds(lifetime);
    let new = NewToken {
        id,
        digest: &digest::of_token(&token),
        roles: &body.roles,
        name: body.name.as_deref(),
        created_by: caller.user_id,
        expires_at,
    };
    let mut tx = app.db.begin().await?;
    store::insert_token(&mut tx, &new).await?;
    let detail = json!({ "roles": body.roles, "name": body.name, "expires_at": expires_at });
    audit::record(&mut tx, &caller, "node-token.create", &format!("node-token:{id}"), detail).await?;
    tx.commit().await?;
    let command = format!(
        "printf '%s\\n' '{token}' | sudo install -m 0600 /dev/stdin /var/lib/wisehosting/mesh/join-token && sudo systemctl restart wisehosting-mesh"
    );
    Ok((StatusCode::CREATED, Json(CreatedNodeToken { id, token, roles: body.roles, expires_at, command })))
}

fn check_token(body: &mut CreateNodeToken) -> Result<i64> {
    body.roles.sort_unstable();
    body.roles.dedup();
    if body.roles.is_empty() || body.roles.contains(&Role::ControlPlane) {
        return Err(Error::invalid("roles", "must be worker, proxy or both"));
    }
    if body.name.as_deref().is_some_and(|name| !is_label(name)) {
        return Err(Error::new(Code::NameInvalid, "must be 1 to 63 of a-z, 0-9 and -").field("name"));
    }
    let lifetime = body.expires_in_s.unwrap_or(3600);
    if !(60..=LONGEST_S).contains(&lifetime) {
        return Err(Error::invalid("expires_in_s", format!("must be between 60 and {LONGEST_S}")));
    }
    Ok(lifetime)
}

/// All join tokens, used ones included.
#[utoipa::path(get, path = "/node-tokens", tag = "nodes", params(PageQuery),
    responses((status = 200, body = Page<NodeToken>)))]
async fn list_node_tokens(
    State(app): State<AppState>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<NodeToken>>> {
    let mut conn = app.db.acquire().await?;
    let tokens = store::list_tokens(&mut conn, &page).await?;
    Ok(Json(Page::new(tokens, page.limit(), |token| token.id.0)))
}

/// Withdraws a join token.
#[utoipa::path(delete, path = "/node-tokens/{id}", tag = "nodes", params(("id" = NodeTokenId, Path)),
    responses((status = 204)))]
async fn delete_node_token(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<NodeTokenId>,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    if !store::delete_token(&mut tx, id).await? {
        return Err(Error::not_found(format_args!("node token {id}")));
    }
    audit::record(&mut tx, &caller, "node-token.delete", &format!("node-token:{id}"), json!({})).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
