//! What jobs need besides the socket: `GET /v1/archives/<id>`, the source of a build, and
//! `POST /v1/jobs/<id>/challenges`, by which a proxy asks that all proxies serve an ACME challenge.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use protocol::identity::{AgentKind, Role};
use protocol::ids::{ArchiveId, JobId};
use protocol::job::ChallengeRequest;
use protocol::spec::HttpChallenge;

use super::store;
use crate::app::AppState;
use crate::archives;
use crate::certificates::store as certificates;
use crate::generations::{self, Consumer};
use crate::http::{Body, Code, Error, Result};
use crate::hub::token::Agent;
use crate::nodes::settled;

/// The proxy waits for 30 s.
const PATIENCE: Duration = Duration::from_secs(25);

pub fn mesh_router() -> Router<AppState> {
    Router::new()
        .route("/v1/archives/{id}", get(read_archive))
        .route("/v1/jobs/{id}/challenges", post(create_challenge))
}

/// The archive that a build on the calling worker needs, and no other.
async fn read_archive(
    State(app): State<AppState>,
    agent: Agent,
    Path(id): Path<ArchiveId>,
) -> Result<Response> {
    let size = {
        let mut conn = app.db.acquire().await?;
        store::archive_size(&mut conn, id, agent.node.id).await?
    };
    let size = size.ok_or_else(|| {
        Error::not_found(format_args!("archive {id} for a build on {}", agent.node.name))
            .hint("It is removed when its deployment ends")
    })?;
    let headers = [(CONTENT_TYPE, "application/gzip".to_owned()), (CONTENT_LENGTH, size.to_string())];
    let body = axum::body::Body::from_stream(archives::store::stream(app.db.clone(), id));
    Ok((headers, body).into_response())
}

/// Answers once every connected proxy serves the challenge.
async fn create_challenge(
    State(app): State<AppState>,
    agent: Agent,
    Path(id): Path<JobId>,
    Body(body): Body<ChallengeRequest>,
) -> Result<StatusCode> {
    // RFC 8555: a token and a key authorization are base64url; a real one has about 90 characters.
    if body.token.len() > 256 || body.key_authorization.len() > 512 {
        return Err(Error::invalid("token", "a challenge is shorter than this"));
    }
    // Listening begins before the change, so that no answer to it is missed.
    let mut changes = app.bus.listen();
    let mut tx = app.db.begin().await?;
    let job = store::lock_running(&mut tx, id, agent.node.id).await?;
    let host = job.and_then(|job| job.host).ok_or_else(|| {
        Error::not_found(format_args!("certificate job {id} running on {}", agent.node.name))
    })?;
    let generation = generations::raise(&mut tx, Consumer::Routes).await?;
    let challenge = HttpChallenge { host, token: body.token, key_authorization: body.key_authorization };
    certificates::add_challenge(&mut tx, id, &challenge, generation).await?;
    tx.commit().await?;
    let proxies = (AgentKind::Proxy, Role::Proxy);
    let behind = settled::wait(&app, &mut changes, proxies, generation, PATIENCE).await?;
    if behind.is_empty() {
        return Ok(StatusCode::NO_CONTENT);
    }
    let message = format!("not all proxies serve the challenge yet: {}", behind.join(", "));
    Err(Error::new(Code::Unavailable, message)
        .hint("See the log of wisehosting-proxy on those hosts, and that port 80 reaches them"))
}
