//! Programs that people run in instances, such as a shell. The control plane dials in over the mesh with a ticket for one
//! session in one instance; whom it lets is its own business.

mod output;
mod session;

use std::sync::Arc;

use axum::Router;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, State, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use chrono::Utc;
use protocol::exec::{ExecTicket, MAX_FRAME};
use protocol::identity::SigningKey;
use protocol::ids::{ExecId, InstanceId};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::podman::Podman;

/// Programs at the same time; the control plane has a limit for each organization.
const SESSIONS: usize = 64;

#[derive(Clone)]
struct Programs {
    podman: Podman,
    key: SigningKey,
    slots: Arc<Semaphore>,
    stop: CancellationToken,
}

/// `key` is this node's own, with which the control plane seals tickets. Sessions end at `stop`.
pub fn router(podman: Podman, key: SigningKey, stop: CancellationToken) -> Router {
    let slots = Arc::new(Semaphore::new(SESSIONS));
    Router::new().route("/v1/instances/{instance}/exec/{session}", get(exec)).with_state(Programs {
        podman,
        key,
        slots,
        stop,
    })
}

async fn exec(
    State(programs): State<Programs>,
    Path((instance, session)): Path<(InstanceId, ExecId)>,
    headers: HeaderMap,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let ticket = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if !(ExecTicket { session, instance }).is(ticket, &programs.key, Utc::now().timestamp()) {
        return (StatusCode::UNAUTHORIZED, "the ticket is not for this, or has expired").into_response();
    }
    let socket = match socket {
        Ok(socket) => socket,
        Err(rejection) => return rejection.into_response(),
    };
    let Ok(slot) = programs.slots.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many programs run in instances").into_response();
    };
    socket.max_message_size(MAX_FRAME).max_frame_size(MAX_FRAME).on_upgrade(move |socket| async move {
        session::run(&programs.podman, instance, session, socket, &programs.stop).await;
        drop(slot);
    })
}
