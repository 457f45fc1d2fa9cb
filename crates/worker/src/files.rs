//! Files into and out of running instances, as Podman takes and gives them: a tar. The control plane dials in with a
//! ticket for one path of one instance.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use chrono::Utc;
use futures_util::StreamExt as _;
use protocol::files::{FilesTicket, Kind, Way};
use protocol::ids::InstanceId;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;

use crate::instances;
use crate::podman::{Error, Podman};
use crate::tickets::TicketKeys;

/// Copies at the same time.
const COPIES: usize = 8;

#[derive(Clone)]
struct Files {
    podman: Podman,
    keys: TicketKeys,
    slots: Arc<Semaphore>,
}

#[derive(Deserialize)]
struct Place {
    path: String,
}

/// `keys` are this node's, with which the control plane seals tickets.
pub fn router(podman: Podman, keys: TicketKeys) -> Router {
    let files = Files { podman, keys, slots: Arc::new(Semaphore::new(COPIES)) };
    Router::new()
        .route("/v1/instances/{instance}/files", get(read).put(write))
        .route("/v1/instances/{instance}/files/kind", get(kind))
        .with_state(files)
}

impl Files {
    /// The container, and the right to copy for as long as the permit is held.
    async fn admit(
        &self,
        headers: &HeaderMap,
        ticket: FilesTicket<'_>,
    ) -> Result<(String, OwnedSemaphorePermit), Response> {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let now = Utc::now().timestamp();
        if !self.keys.admit(|key| ticket.is(shown, key, now)) {
            return Err(
                (StatusCode::UNAUTHORIZED, "the ticket is not for this, or has expired").into_response()
            );
        }
        let slot = self.slots.clone().try_acquire_owned().map_err(|_| {
            (StatusCode::SERVICE_UNAVAILABLE, "too many copies are under way").into_response()
        })?;
        match instances::running(&self.podman, ticket.instance).await {
            Ok(Some(container)) => Ok((container, slot)),
            Ok(None) => Err((StatusCode::CONFLICT, "the instance does not run any more").into_response()),
            Err(error) => Err(failed(ticket.instance, &error)),
        }
    }
}

async fn read(
    State(files): State<Files>,
    Path(instance): Path<InstanceId>,
    Query(Place { path }): Query<Place>,
    headers: HeaderMap,
) -> Response {
    let ticket = FilesTicket { instance, way: Way::Out, path: &path };
    let (container, slot) = match files.admit(&headers, ticket).await {
        Ok(admitted) => admitted,
        Err(refused) => return refused,
    };
    match files.podman.files(&container, &path).await {
        Ok(tar) => {
            let body = tar.map(move |chunk| {
                let _held = &slot;
                chunk
            });
            ([(header::CONTENT_TYPE, "application/x-tar")], Body::from_stream(body)).into_response()
        }
        Err(error) => failed(instance, &error),
    }
}

/// What is at the path: with the ticket that reads it.
async fn kind(
    State(files): State<Files>,
    Path(instance): Path<InstanceId>,
    Query(Place { path }): Query<Place>,
    headers: HeaderMap,
) -> Response {
    let ticket = FilesTicket { instance, way: Way::Out, path: &path };
    let (container, _slot) = match files.admit(&headers, ticket).await {
        Ok(admitted) => admitted,
        Err(refused) => return refused,
    };
    match files.podman.kind_of_file(&container, &path).await {
        Ok(kind) => Json(kind).into_response(),
        Err(error) => failed(instance, &error),
    }
}

async fn write(
    State(files): State<Files>,
    Path(instance): Path<InstanceId>,
    Query(Place { path }): Query<Place>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let ticket = FilesTicket { instance, way: Way::In, path: &path };
    let (container, _slot) = match files.admit(&headers, ticket).await {
        Ok(admitted) => admitted,
        Err(refused) => return refused,
    };
    // Podman would make it: a path that was mistyped would take what nobody finds.
    match files.podman.kind_of_file(&container, &path).await {
        Ok(Kind::Folder) => {}
        Ok(Kind::Absent) => return (StatusCode::NOT_FOUND, "there is no such folder").into_response(),
        Ok(Kind::File) => return (StatusCode::UNPROCESSABLE_ENTITY, "this is no folder").into_response(),
        Err(error) => return failed(instance, &error),
    }
    match files.podman.put_files(&container, &path, body.into_data_stream()).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failed(instance, &error),
    }
}

/// Podman's words are about the caller's own path.
fn failed(instance: InstanceId, error: &Error) -> Response {
    let (status, message) = match error {
        Error::NotFound(message) => (StatusCode::NOT_FOUND, message.clone()),
        Error::Invalid(message) | Error::Conflict(message) | Error::Failed { message, .. } => {
            (StatusCode::UNPROCESSABLE_ENTITY, message.clone())
        }
        Error::Unreachable { .. } | Error::Unlimited(_) | Error::Broken(_) | Error::Answer(_) => {
            warn!(instance.id = %instance, %error, "cannot copy files");
            (StatusCode::BAD_GATEWAY, "Podman on this worker failed".to_owned())
        }
    };
    (status, message).into_response()
}
