//! The worker's HTTP on the mesh: health, metrics, and images for other workers.

use std::net::{Ipv4Addr, SocketAddrV4};

use axum::Router;
use axum::routing::get;
use socket2::{Domain, Protocol, Socket, Type};
use tokio_util::sync::CancellationToken;

use crate::handover;
use crate::podman::Podman;
use crate::tickets::TicketKeys;

/// All routes. `keys` are this node's, with which the control plane seals tickets.
pub fn router(podman: Podman, keys: TicketKeys, status: Router) -> Router {
    Router::new()
        .route("/v1/images/{id}", get(handover::image))
        .route("/v1/images/{id}/layers", get(handover::layers))
        .with_state(handover::Images::new(podman, keys))
        .merge(status)
}

/// A listener on the mesh address, which may come up later (`IP_FREEBIND`).
pub fn listen(address: Ipv4Addr, port: u16) -> std::io::Result<tokio::net::TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_freebind_v4(true)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddrV4::new(address, port).into())?;
    socket.listen(1024)?;
    tokio::net::TcpListener::from_std(socket.into())
}

pub async fn serve(
    listener: tokio::net::TcpListener,
    router: Router,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    Ok(axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_is_not_up_yet_can_be_listened_on() {
        assert!(listen(Ipv4Addr::new(192, 0, 2, 1), 0).is_ok());
    }
}
