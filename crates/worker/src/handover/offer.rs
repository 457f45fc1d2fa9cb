//! The side that has the image.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Read, Write};
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use chrono::Utc;
use futures_util::Stream;
use protocol::job::ImageTicket;
use serde::Deserialize;
use tokio::sync::{Semaphore, mpsc};
use tracing::warn;

use super::chunks::{Chunks, Sink};
use super::{MAX_LAYERS, digest};
use crate::podman::{Error, Image, Podman};
use crate::tickets::TicketKeys;

/// Images that are handed over at the same time; each costs a `podman save`.
const HANDOVERS: usize = 4;
/// Pieces of an archive on their way to the other side, each of at most [`PIECE`] bytes; when full, saving waits.
const PIECES: usize = 4;
const PIECE: usize = 256 * 1024;

/// What a worker offers.
#[derive(Clone)]
pub(crate) struct Images {
    podman: Podman,
    keys: TicketKeys,
    slots: Arc<Semaphore>,
}

impl Images {
    /// `keys` are this node's, with which the control plane seals tickets.
    pub(crate) fn new(podman: Podman, keys: TicketKeys) -> Self {
        Self { podman, keys, slots: Arc::new(Semaphore::new(HANDOVERS)) }
    }

    /// The image that the request may have.
    async fn admit(&self, id: &str, headers: &HeaderMap) -> Result<Image, Response> {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let ticket = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let now = Utc::now().timestamp();
        if !self.keys.admit(|key| ImageTicket::admits(ticket, id, key, now)) {
            let said = "the ticket does not open this image, or has expired";
            return Err((StatusCode::UNAUTHORIZED, said).into_response());
        }
        match self.podman.image(id).await {
            Ok(Some(image)) => Ok(image),
            Ok(None) => Err((StatusCode::NOT_FOUND, "this worker does not have the image").into_response()),
            Err(error) => Err(failed(id, &error)),
        }
    }
}

/// `GET /v1/images/{id}/layers`
pub(crate) async fn layers(
    State(images): State<Images>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    match images.admit(&id, &headers).await {
        Ok(image) => Json(image.root_fs.layers).into_response(),
        Err(refusal) => refusal,
    }
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Have {
    /// Places in the list of layers, with commas between.
    #[serde(default)]
    have: String,
}

/// `GET /v1/images/{id}?have=`
pub(crate) async fn image(
    State(images): State<Images>,
    Path(id): Path<String>,
    Query(Have { have }): Query<Have>,
    headers: HeaderMap,
) -> Response {
    let image = match images.admit(&id, &headers).await {
        Ok(image) => image,
        Err(refusal) => return refusal,
    };
    let Some(have) = chosen(&image.root_fs.layers, &have) else {
        return (StatusCode::BAD_REQUEST, "`have` names places in the list of layers, such as 0,2")
            .into_response();
    };
    let Ok(slot) = images.slots.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], "too many hand-overs")
            .into_response();
    };
    let archive = match images.podman.save(&id).await {
        Ok(archive) => archive,
        Err(error) => return failed(&id, &error),
    };
    let (pieces, mut sent) = mpsc::channel(PIECES);
    let archive = Chunks::new(Box::pin(archive));
    // Ends with the archive, or as soon as nobody takes the next piece.
    tokio::task::spawn_blocking(move || {
        let _held = slot;
        if let Err(error) = without(archive, &have, Sink(pieces.clone())) {
            // Nobody may be there any more to hear it.
            let _ = pieces.blocking_send(Err(error));
        }
    });
    let body = futures_util::stream::poll_fn(move |context| sent.poll_recv(context));
    archive_response(body)
}

fn archive_response(body: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Response {
    ([(header::CONTENT_TYPE, "application/x-tar")], Body::from_stream(body)).into_response()
}

fn failed(id: &str, error: &Error) -> Response {
    warn!(image.id = id, %error, "cannot hand the image over");
    (StatusCode::BAD_GATEWAY, "Podman on this worker failed").into_response()
}

/// The layers at the places that `have` lists; `None` when it is no list of places.
fn chosen(layers: &[String], have: &str) -> Option<BTreeSet<String>> {
    let places = have.split(',').filter(|place| !place.is_empty()).take(MAX_LAYERS);
    let layer = |place: &str| layers.get(place.parse::<usize>().ok()?).and_then(|layer| digest(layer));
    places.map(|place| layer(place).map(str::to_owned)).collect()
}

/// Copies a docker-archive without the layers in `have`.
fn without(archive: impl Read, have: &BTreeSet<String>, out: impl Write) -> io::Result<()> {
    let mut archive = tar::Archive::new(archive);
    let mut kept = tar::Builder::new(BufWriter::with_capacity(PIECE, out));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        // The rest is for Docker of 2016: links to the layers, and what the configuration says anyway.
        if !entry.header().entry_type().is_file() || path.contains('/') {
            continue;
        }
        if let Some(layer) = path.strip_suffix(".tar").filter(|layer| have.contains(*layer)) {
            let size = entry.size().to_string();
            let mut header = tar::Header::new_gnu();
            header.set_size(size.len() as u64);
            header.set_mode(0o444);
            kept.append_data(&mut header, format!("{layer}.size"), size.as_bytes())?;
        } else {
            let header = entry.header().clone();
            kept.append(&header, &mut entry)?;
        }
    }
    kept.into_inner()?.flush()
}

#[cfg(test)]
mod tests {
    use protocol::identity::ApiKey;

    use super::*;

    #[tokio::test]
    async fn without_a_ticket_no_image_is_handed_over() {
        daemon::crypto::install();
        let podman = Podman::new("/nonexistent/podman.sock".as_ref()).expect("client");
        let key = ApiKey::generate().signing_key();
        let images = Images::new(podman, TicketKeys::new(key.clone()));
        let asked = |bearer: String| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, bearer.parse().expect("a header"));
            let id = || Path("sha256:aa".to_owned());
            let (images, have) = (images.clone(), Query(Have::default()));
            async move {
                let whole = image(State(images.clone()), id(), have, headers.clone()).await.status();
                let list = layers(State(images), id(), headers).await.status();
                assert_eq!(whole, list);
                whole
            }
        };
        let ticket =
            |image_id: &str, expires_at| ImageTicket { image_id: image_id.to_owned(), expires_at }.seal(&key);
        let later = Utc::now().timestamp() + 60;
        for wrong in ["1.00".to_owned(), ticket("sha256:bb", later), ticket("sha256:aa", later - 120)] {
            assert_eq!(asked(format!("Bearer {wrong}")).await, StatusCode::UNAUTHORIZED);
        }
        // The right one gets as far as Podman, which is not there.
        assert_eq!(asked(format!("Bearer {}", ticket("sha256:aa", later))).await, StatusCode::BAD_GATEWAY);
    }

    #[test]
    fn only_places_in_the_list_can_be_left_out() {
        let layers = [format!("sha256:{}", "a".repeat(64)), format!("sha256:{}", "b".repeat(64))];
        assert_eq!(chosen(&layers, ""), Some(BTreeSet::new()));
        assert_eq!(chosen(&layers, "1"), Some(BTreeSet::from(["b".repeat(64)])));
        for wrong in ["2", "-1", "x", "0,9"] {
            assert_eq!(chosen(&layers, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn of_a_layer_that_the_other_side_has_only_the_size_is_sent() {
        let (base, top, config) = ("a".repeat(64), "b".repeat(64), "c".repeat(64));
        let mut archive = tar::Builder::new(Vec::new());
        for (name, size) in [
            (format!("{base}.tar"), 5000),
            (format!("{top}.tar"), 10),
            (format!("{config}.json"), 7),
            (format!("{base}/VERSION"), 3),
            ("manifest.json".to_owned(), 20),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(size);
            archive.append_data(&mut header, name, io::repeat(b'x').take(size)).expect("entry");
        }
        let archive = archive.into_inner().expect("archive");
        let mut out = Vec::new();
        without(archive.as_slice(), &BTreeSet::from([base.clone()]), &mut out).expect("copy");
        let mut sent = Vec::new();
        for entry in tar::Archive::new(out.as_slice()).entries().expect("tar") {
            let mut entry = entry.expect("entry");
            let name = entry.path().expect("path").to_string_lossy().into_owned();
            let mut text = String::new();
            entry.read_to_string(&mut text).expect("text");
            sent.push((name, text));
        }
        let expected = [
            (format!("{base}.size"), "5000".to_owned()),
            (format!("{top}.tar"), "x".repeat(10)),
            (format!("{config}.json"), "x".repeat(7)),
            ("manifest.json".to_owned(), "x".repeat(20)),
        ];
        assert_eq!(sent, expected);
    }
}
