//! `POST /v1/jobs/<id>/challenges`, by which a proxy asks that a challenge is put where the CA looks for it: onto every
//! proxy, or into the DNS.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::identity::{AgentKind, Role};
use protocol::ids::JobId;
use protocol::job::{ChallengeKind, ChallengePending, ChallengeRequest};
use protocol::spec::HttpChallenge;

use super::store;
use super::store::attempts;
use crate::app::AppState;
use crate::dns_providers::challenge::{self, Published};
use crate::generations::{self, Consumer};
use crate::http::{Body, Code, Error, Result};
use crate::hub::token::Agent;
use crate::jobs;
use crate::nodes::settled;

/// The proxy waits for 30 s.
const PATIENCE: Duration = Duration::from_secs(25);

/// Answers once the CA finds the challenge wherever it looks.
pub async fn create_challenge(
    State(app): State<AppState>,
    agent: Agent,
    Path(id): Path<JobId>,
    Body(body): Body<ChallengeRequest>,
) -> Result<Response> {
    // RFC 8555: a token and a key authorization are base64url; a real one has about 90 characters.
    if body.token.len() > 256 || body.key_authorization.len() > 512 {
        return Err(Error::invalid("token", "a challenge is shorter than this"));
    }
    // Listening begins before the change, so that no answer to it is missed.
    let mut changes = app.bus.listen();
    let mut tx = app.db.begin().await?;
    let job = jobs::store::lock_running(&mut tx, id, agent.node.id).await?;
    let ordered = job.and_then(|job| job.host).ok_or_else(|| {
        Error::not_found(format_args!("certificate job {id} running on {}", agent.node.name))
    })?;
    let host = body.host.clone().unwrap_or_else(|| ordered.clone());
    if host != ordered && !attempts::is_for(&mut tx, id, &host).await? {
        return Err(Error::invalid("host", format!("the order is for {ordered}")));
    }
    if body.kind == ChallengeKind::Dns01 {
        // Rows are held for as long as a name server takes to answer otherwise.
        tx.commit().await?;
        return Ok(match challenge::publish(&app, id, &ordered, &host, &body.key_authorization).await? {
            Published::Everywhere => StatusCode::NO_CONTENT.into_response(),
            Published::Waiting(waiting_for) => {
                (StatusCode::ACCEPTED, Json(ChallengePending { waiting_for })).into_response()
            }
        });
    }
    let generation = generations::raise(&mut tx, Consumer::Routes).await?;
    let challenge = HttpChallenge { host, token: body.token, key_authorization: body.key_authorization };
    store::add_challenge(&mut tx, id, body.kind, &challenge, generation).await?;
    tx.commit().await?;
    let proxies = (AgentKind::Proxy, Role::Proxy);
    let behind = settled::wait(&app, &mut changes, proxies, generation, PATIENCE).await?;
    if behind.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let message = format!("not all proxies serve the challenge yet: {}", behind.join(", "));
    let port = if body.kind == ChallengeKind::Http01 { 80 } else { 443 };
    Err(Error::new(Code::Unavailable, message)
        .hint(format!("See the log of wisehosting-proxy on those hosts, and that port {port} reaches them")))
}
