//! The hub: one socket per agent. What agents must do goes out as desired state and jobs; what they see and did comes
//! in and is stored before it is acknowledged.

mod inbox;
mod network;
mod registry;
mod socket;
pub mod token;

use axum::Router;
use axum::routing::{get, post};

pub use network::Seen;
pub use registry::{Hub, Key};

use crate::app::AppState;
use crate::nodes::health::alias;
use crate::nodes::{join, keys, leave};
use crate::{jobs, registries, traefik};

/// What agents call on the mesh: sign in, the socket, and the requests that do not fit it.
pub fn mesh_router() -> Router<AppState> {
    Router::new()
        .route("/v1/nodes/declare", post(join::declare))
        .route("/v1/nodes/leave", post(leave::leave))
        .route("/v1/nodes/rotate", post(keys::rotate))
        .route("/v1/workers/register", post(token::register))
        .route("/v1/workers/refresh-token", post(token::refresh))
        .route("/v1/workers/ws", get(socket::upgrade))
        .merge(alias::heartbeats())
        .merge(jobs::api::mesh_router())
        .merge(registries::places::mesh_router())
        .merge(traefik::api::mesh_router())
}

#[cfg(test)]
pub(crate) mod tests;
