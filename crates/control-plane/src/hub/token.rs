//! Access tokens of agents: JWT by HS256, 15 minutes. A token of a node that was removed, or of a key that is no good any
//! more, is refused, so each use looks the node up.

use axum::extract::{FromRequestParts, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::{Json, RequestPartsExt};
use chrono::{TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use protocol::enrol::{AccessToken, RegisterRequest, TOKEN_LIFETIME_S};
use protocol::identity::{AgentKind, ApiKey};
use protocol::ids::NodeId;
use serde::{Deserialize, Serialize};

use crate::app::{App, AppState};
use crate::http::caller::bearer;
use crate::http::{Body, Code, Error, Result};
use crate::nodes;
use crate::nodes::store::{Known, keys};
use crate::vault::Purpose;

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: NodeId,
    agent: AgentKind,
    /// Which of the node's API keys it was issued for; absent in tokens of the version before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    exp: i64,
    iat: i64,
}

/// An agent that has shown its access token.
#[derive(Debug, Clone)]
pub struct Agent {
    pub node: Known,
    pub kind: AgentKind,
    /// The key by which it signs, sealed: its node may have another one by now.
    pub signing_key: Vec<u8>,
    /// Says which key that is.
    tag: Option<String>,
}

impl FromRequestParts<AppState> for Agent {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self> {
        let headers: HeaderMap = parts.extract().await.unwrap_or_default();
        let token = bearer(&headers).ok_or_else(refused)?;
        let claims = read(app, token)?;
        let mut conn = app.db.acquire().await?;
        let node = nodes::store::known(&mut conn, claims.sub).await?.ok_or_else(refused)?;
        let signing_key =
            keys::signing(&mut conn, node.id, claims.key.as_deref()).await?.ok_or_else(refused)?;
        check_role(&node, claims.agent)?;
        Ok(Self { node, kind: claims.agent, signing_key, tag: claims.key })
    }
}

/// `POST /v1/workers/register`.
pub(crate) async fn register(
    State(app): State<AppState>,
    headers: HeaderMap,
    Body(request): Body<RegisterRequest>,
) -> Result<Json<AccessToken>> {
    let wrong = || {
        Error::new(Code::ApiKeyWrong, "this API key is not of a node of this control plane").hint(
            "The node was removed or revoked, or has joined again elsewhere: join this host again with a new join token",
        )
    };
    let key = ApiKey::new(bearer(&headers).ok_or_else(wrong)?.to_owned());
    let mut tx = app.db.begin().await?;
    let digest = key.login_digest();
    let (id, is_next) = keys::holder(&mut tx, &digest).await?.ok_or_else(wrong)?;
    let node = nodes::store::known(&mut tx, id).await?.ok_or_else(wrong)?;
    check_role(&node, request.agent)?;
    if is_next {
        nodes::keys::used(&mut tx, &node, &digest).await?;
    }
    nodes::store::note_agent(&mut tx, id, request.agent, &request.version).await?;
    tx.commit().await?;
    Ok(Json(issue(&app, id, request.agent, Some(keys::tag(&key)))?))
}

/// `POST /v1/workers/refresh-token`.
pub(crate) async fn refresh(State(app): State<AppState>, agent: Agent) -> Result<Json<AccessToken>> {
    Ok(Json(issue(&app, agent.node.id, agent.kind, agent.tag)?))
}

fn check_role(node: &Known, agent: AgentKind) -> Result<()> {
    if nodes::may_run(&node.roles, agent) {
        return Ok(());
    }
    let message = format!("the node {} does not have the role {agent}", node.name);
    Err(Error::new(Code::RoleNotAllowed, message)
        .hint("Join it again with a token for that role, or declare it with that role"))
}

/// A new access token.
pub fn issue(app: &App, node: NodeId, agent: AgentKind, key: Option<String>) -> Result<AccessToken> {
    let now = Utc::now();
    let expires_at = now + TimeDelta::seconds(TOKEN_LIFETIME_S);
    let claims = Claims { sub: node, agent, key, exp: expires_at.timestamp(), iat: now.timestamp() };
    let key = EncodingKey::from_secret(&app.vault.key(Purpose::AgentToken));
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
        .map_err(|error| anyhow::Error::new(error).context("cannot sign an access token"))?;
    Ok(AccessToken { token, expires_at })
}

fn read(app: &App, token: &str) -> Result<Claims> {
    let key = DecodingKey::from_secret(&app.vault.key(Purpose::AgentToken));
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = 0;
    jsonwebtoken::decode::<Claims>(token, &key, &validation).map(|data| data.claims).map_err(|_| refused())
}

fn refused() -> Error {
    Error::new(Code::AgentTokenWrong, "no valid access token").hint("Register again with the node's API key")
}
