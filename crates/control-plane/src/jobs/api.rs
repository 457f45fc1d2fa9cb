//! What jobs need besides the socket: `GET /v1/archives/<id>`, the source of a build, and
//! `POST /v1/jobs/<id>/challenges` and `/account` of certificate orders.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use protocol::ids::ArchiveId;

use super::store;
use crate::app::AppState;
use crate::archives;
use crate::certificates::account::keep_account;
use crate::certificates::publish::create_challenge;
use crate::http::{Error, Result};
use crate::hub::token::Agent;

pub fn mesh_router() -> Router<AppState> {
    Router::new()
        .route("/v1/archives/{id}", get(read_archive))
        .route("/v1/jobs/{id}/challenges", post(create_challenge))
        .route("/v1/jobs/{id}/account", post(keep_account))
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
