//! The worker's HTTP on the mesh: health, metrics, and images for other workers.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use chrono::Utc;
use futures_util::StreamExt as _;
use protocol::identity::SigningKey;
use protocol::job::ImageTicket;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::podman::Podman;

/// Images that are handed over at the same time; each costs a `podman save`.
const HANDOVERS: usize = 4;

#[derive(Clone)]
struct Images {
    podman: Podman,
    key: SigningKey,
    slots: Arc<Semaphore>,
}

/// All routes. `key` is this node's own, with which the control plane seals tickets.
pub fn router(podman: Podman, key: SigningKey, status: Router) -> Router {
    let images = Images { podman, key, slots: Arc::new(Semaphore::new(HANDOVERS)) };
    Router::new().route("/v1/images/{id}", get(image)).with_state(images).merge(status)
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

async fn image(State(images): State<Images>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let ticket = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if !ImageTicket::admits(ticket, &id, &images.key, Utc::now().timestamp()) {
        return (StatusCode::UNAUTHORIZED, "the ticket does not open this image, or has expired")
            .into_response();
    }
    let Ok(slot) = images.slots.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], "too many hand-overs")
            .into_response();
    };
    match images.podman.image(&id).await {
        Ok(Some(_)) => {}
        Ok(None) => return (StatusCode::NOT_FOUND, "this worker does not have the image").into_response(),
        Err(error) => return failed(&id, &error),
    }
    match images.podman.save(&id).await {
        Ok(archive) => {
            // The slot is free when the last byte is sent or the other side has gone.
            let body = archive.map(move |chunk| {
                let _held = &slot;
                chunk
            });
            ([(header::CONTENT_TYPE, "application/x-tar")], Body::from_stream(body)).into_response()
        }
        Err(error) => failed(&id, &error),
    }
}

fn failed(id: &str, error: &crate::podman::Error) -> Response {
    warn!(image.id = id, %error, "cannot hand the image over");
    (StatusCode::BAD_GATEWAY, "Podman on this worker failed").into_response()
}

#[cfg(test)]
mod tests {
    use protocol::identity::ApiKey;

    use super::*;

    #[tokio::test]
    async fn an_address_that_is_not_up_yet_can_be_listened_on() {
        assert!(listen(Ipv4Addr::new(192, 0, 2, 1), 0).is_ok());
    }

    #[tokio::test]
    async fn without_a_ticket_no_image_is_handed_over() {
        daemon::crypto::install();
        let podman = Podman::new("/nonexistent/podman.sock".as_ref()).expect("client");
        let key = ApiKey::generate().signing_key();
        let images = Images { podman, key: key.clone(), slots: Arc::new(Semaphore::new(1)) };
        let asked = |bearer: String| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, bearer.parse().expect("a header"));
            image(State(images.clone()), Path("sha256:aa".to_owned()), headers)
        };
        let ticket =
            |image_id: &str, expires_at| ImageTicket { image_id: image_id.to_owned(), expires_at }.seal(&key);
        let later = Utc::now().timestamp() + 60;
        assert_eq!(asked("Bearer 1.00".to_owned()).await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(
            asked(format!("Bearer {}", ticket("sha256:bb", later))).await.status(),
            StatusCode::UNAUTHORIZED
        );
        assert_eq!(
            asked(format!("Bearer {}", ticket("sha256:aa", later - 120))).await.status(),
            StatusCode::UNAUTHORIZED
        );
        // The right one gets as far as Podman, which is not there.
        assert_eq!(
            asked(format!("Bearer {}", ticket("sha256:aa", later))).await.status(),
            StatusCode::BAD_GATEWAY
        );
    }
}
