//! `/api/v1/node-tokens`: what lets one new host in.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use protocol::identity::Role;
use protocol::ids::NodeTokenId;
use protocol::labels::{self, Labels};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::NodeToken;
use super::adding::{self, Guest};
use super::store::tokens::{self, NewToken};
use crate::app::AppState;
use crate::config::is_label;
use crate::http::caller::Caller;
use crate::http::page::{Page, PageQuery};
use crate::http::{Body, Code, Error, Result};
use crate::{audit, digest};

/// A join token lasts at most 30 days.
const LONGEST_S: i64 = 30 * 24 * 3600;

/// A join token to be made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NodeTokenRequest)]
pub struct CreateNodeToken {
    /// What the host may become.
    pub roles: Vec<Role>,
    /// Binds the token to one node name.
    pub name: Option<String>,
    /// Labels that the node gets when it joins, besides its own.
    #[serde(default)]
    pub labels: Labels,
    /// DNS suffix that the host serves.
    pub zone: Option<String>,
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
    pub name: Option<String>,
    pub expires_at: DateTime<Utc>,
    /// What to run on the host: one line.
    pub command: String,
    /// A module for a host with NixOS. It holds no secret.
    pub nixos: String,
}

/// Makes a single-use join token.
#[utoipa::path(post, path = "/node-tokens", tag = "nodes", request_body = CreateNodeToken,
    responses((status = 201, body = CreatedNodeToken)))]
pub(super) async fn create_node_token(
    State(app): State<AppState>,
    caller: Caller,
    Body(mut body): Body<CreateNodeToken>,
) -> Result<(StatusCode, Json<CreatedNodeToken>)> {
    let lifetime = check(&mut body)?;
    let token = digest::new_token("whj_");
    let id = NodeTokenId::new();
    let expires_at = Utc::now() + TimeDelta::seconds(lifetime);
    let new = NewToken {
        id,
        digest: &digest::of_token(&token),
        roles: &body.roles,
        name: body.name.as_deref(),
        labels: &body.labels,
        zone: body.zone.as_deref(),
        created_by: caller.user_id,
        expires_at,
    };
    let mut tx = app.db.begin().await?;
    tokens::insert_token(&mut tx, &new).await?;
    let detail = json!({
        "roles": body.roles, "name": body.name, "labels": body.labels, "zone": body.zone, "expires_at": expires_at,
    });
    audit::record(&mut tx, &caller, "node-token.create", &format!("node-token:{id}"), detail).await?;
    tx.commit().await?;
    let guest = Guest { name: body.name.as_deref(), roles: &body.roles };
    let nixos = adding::nixos(&app.config.api_server.base_url, &guest);
    let command = adding::command(&token);
    let CreateNodeToken { roles, name, .. } = body;
    Ok((StatusCode::CREATED, Json(CreatedNodeToken { id, token, roles, name, expires_at, command, nixos })))
}

fn check(body: &mut CreateNodeToken) -> Result<i64> {
    body.roles.sort_unstable();
    body.roles.dedup();
    if body.roles.is_empty() || body.roles.contains(&Role::ControlPlane) {
        return Err(Error::invalid("roles", "roles must be worker, proxy or both"));
    }
    if body.name.as_deref().is_some_and(|name| !is_label(name)) {
        return Err(Error::new(Code::NameInvalid, "a node's name must be 1 to 63 of a-z, 0-9 and -")
            .field("name")
            .hint("It is a label in DNS; without one, any host may use the token"));
    }
    labels::check(&body.labels).map_err(|problem| Error::invalid("labels", problem))?;
    if let Some(zone) = &body.zone {
        labels::check_zone(zone).map_err(|problem| Error::invalid("zone", problem))?;
    }
    let lifetime = body.expires_in_s.unwrap_or(3600);
    if !(60..=LONGEST_S).contains(&lifetime) {
        return Err(Error::invalid(
            "expires_in_s",
            format!("expires_in_s must be between 60 and {LONGEST_S}, which is 30 days"),
        ));
    }
    Ok(lifetime)
}

/// All join tokens, used ones included.
#[utoipa::path(get, path = "/node-tokens", tag = "nodes", params(PageQuery),
    responses((status = 200, body = Page<NodeToken>)))]
pub(super) async fn list_node_tokens(
    State(app): State<AppState>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<NodeToken>>> {
    let mut conn = app.db.acquire().await?;
    let found = tokens::list_tokens(&mut conn, &page, None).await?;
    Ok(Json(Page::new(found, page.limit(), |token| token.id.0)))
}

/// One join token: whether it was used, and why a host was refused.
#[utoipa::path(get, path = "/node-tokens/{id}", tag = "nodes", params(("id" = NodeTokenId, Path)),
    responses((status = 200, body = NodeToken)))]
pub(super) async fn read_node_token(
    State(app): State<AppState>,
    Path(id): Path<NodeTokenId>,
) -> Result<Json<NodeToken>> {
    let mut conn = app.db.acquire().await?;
    let one = PageQuery { cursor: None, limit: 1 };
    let found = tokens::list_tokens(&mut conn, &one, Some(id)).await?;
    found.into_iter().next().map(Json).ok_or_else(|| Error::not_found(format_args!("node token {id}")))
}

/// Withdraws a join token.
#[utoipa::path(delete, path = "/node-tokens/{id}", tag = "nodes", params(("id" = NodeTokenId, Path)),
    responses((status = 204)))]
pub(super) async fn delete_node_token(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<NodeTokenId>,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    if !tokens::delete_token(&mut tx, id).await? {
        return Err(Error::not_found(format_args!("node token {id}")));
    }
    audit::record(&mut tx, &caller, "node-token.delete", &format!("node-token:{id}"), json!({})).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
