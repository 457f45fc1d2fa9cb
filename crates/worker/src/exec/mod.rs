//! Programs that people run, such as a shell: in instances, or in containers of their own. The control plane dials in over
//! the mesh with a ticket for one session; whom it lets is its own business.

mod fresh;
mod output;
mod program;
mod session;

pub use fresh::Fresh;

use std::sync::Arc;

use axum::Router;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, State, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use chrono::Utc;
use protocol::exec::{ExecTicket, FreshTicket, MAX_FRAME, MAX_OPEN_FRESH};
use protocol::ids::{ExecId, InstanceId};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::podman::Podman;
use crate::tickets::TicketKeys;

/// Programs at the same time; the control plane has a limit for each organization.
const SESSIONS: usize = 64;
/// Of them in containers of their own.
const CONTAINERS: usize = 16;

#[derive(Clone)]
struct Programs {
    podman: Podman,
    fresh: Fresh,
    keys: TicketKeys,
    slots: Arc<Semaphore>,
    containers: Arc<Semaphore>,
    stop: CancellationToken,
}

/// `keys` are this node's, with which the control plane seals tickets. Sessions end at `stop`.
pub fn router(podman: Podman, fresh: Fresh, keys: TicketKeys, stop: CancellationToken) -> Router {
    let [slots, containers] = [SESSIONS, CONTAINERS].map(|count| Arc::new(Semaphore::new(count)));
    Router::new()
        .route("/v1/instances/{instance}/exec/{session}", get(exec))
        .route("/v1/fresh/{session}", get(exec_fresh))
        .with_state(Programs { podman, fresh, keys, slots, containers, stop })
}

async fn exec(
    State(programs): State<Programs>,
    Path((instance, session)): Path<(InstanceId, ExecId)>,
    headers: HeaderMap,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let (ticket, now) = (ExecTicket { session, instance }, Utc::now().timestamp());
    if !programs.keys.admit(|key| ticket.is(bearer(&headers), key, now)) {
        return no_ticket();
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

async fn exec_fresh(
    State(programs): State<Programs>,
    Path(session): Path<ExecId>,
    headers: HeaderMap,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let (ticket, now) = (FreshTicket { session }, Utc::now().timestamp());
    if !programs.keys.admit(|key| ticket.is(bearer(&headers), key, now)) {
        return no_ticket();
    }
    let socket = match socket {
        Ok(socket) => socket,
        Err(rejection) => return rejection.into_response(),
    };
    let Ok(slot) = programs.containers.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many programs run in containers of their own")
            .into_response();
    };
    let socket = socket.max_message_size(MAX_OPEN_FRESH).max_frame_size(MAX_OPEN_FRESH);
    socket.on_upgrade(move |socket| async move {
        session::run_fresh(&programs.fresh, session, socket, &programs.stop).await;
        drop(slot);
    })
}

fn bearer(headers: &HeaderMap) -> &str {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default()
}

fn no_ticket() -> Response {
    (StatusCode::UNAUTHORIZED, "the ticket is not for this, or has expired").into_response()
}
