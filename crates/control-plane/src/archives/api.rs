use std::io::Read;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, EXPECT, HeaderMap};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use protocol::ids::ArchiveId;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::check::{self, Refusal};
use super::store;
use crate::app::{App, AppState};
use crate::http::caller::Caller;
use crate::http::extract::Path;
use crate::http::{Code, Error, Permission, Result, guard};
use crate::{apps, audit};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::AppDeploy, routes!(upload_archive)))
}

/// Bytes of one row.
const CHUNK: usize = 1 << 20;
/// A client that sends nothing for this long has gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// For a whole upload.
const LONGEST: Duration = Duration::from_mins(30);

/// An uploaded source.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Archive {
    id: ArchiveId,
    sha256: String,
    size_bytes: u64,
}

/// Uploads a source as a gzipped tar, for a deployment that follows within a day.
#[utoipa::path(post, path = "/apps/{app}/archives", tag = "archives", params(("app" = String, Path, description = "Id or slug")), request_body(content = Vec<u8>, content_type = "application/gzip"), responses((status = 201, body = Archive)))]
async fn upload_archive(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Archive>)> {
    let _slot = app.limits.upload()?;
    let limit = app.config.limits.archive_bytes;
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit) {
        // Who asks first is answered at once.
        if !headers.contains_key(EXPECT) {
            read_on(body.into_data_stream()).await;
        }
        return Err(too_large(limit));
    }
    let mut conn = app.db.acquire().await?;
    let found = apps::api::find(&mut conn, &caller, &key).await?;
    store::sweep(&mut conn).await?;
    let id = ArchiveId::new();
    store::begin(&mut conn, id, found.id).await?;
    drop(conn);
    // If the client goes here, the sweep of a later upload removes what is left.
    let received = tokio::time::timeout(LONGEST, receive(&app, id, body.into_data_stream()))
        .await
        .unwrap_or_else(|_| Err(broken("the upload took longer than 30 minutes")));
    match received {
        Ok((sha256, size_bytes)) => {
            finish(&app, &caller, &found, id, &sha256, size_bytes).await?;
            Ok((StatusCode::CREATED, Json(Archive { id, sha256, size_bytes })))
        }
        Err(error) => {
            let mut conn = app.db.acquire().await?;
            store::delete(&mut conn, id).await?;
            Err(error)
        }
    }
}

async fn finish(
    app: &App,
    caller: &Caller,
    of: &apps::store::App,
    id: ArchiveId,
    sha256: &str,
    size: u64,
) -> Result<()> {
    let mut tx = app.db.begin().await?;
    store::finish(&mut tx, id, sha256, i64::try_from(size).unwrap_or(i64::MAX)).await?;
    let detail = json!({ "app": of.slug, "sha256": sha256, "size_bytes": size });
    audit::record(&mut tx, caller, "archive.create", &format!("archive:{id}"), detail).await?;
    tx.commit().await?;
    Ok(())
}

/// Stores and checks the body as it comes; its digest and size.
async fn receive(app: &App, id: ArchiveId, mut body: BodyDataStream) -> Result<(String, u64)> {
    let (limit, source_limit) = (app.config.limits.archive_bytes, app.config.limits.source_bytes);
    // Full when checking is slower than the network: then the client waits.
    let (sender, chunks) = mpsc::channel(4);
    let checking = tokio::task::spawn_blocking(move || check::check(Chunks::new(chunks), source_limit));
    let mut upload = Upload { app, id, number: 0, sender, hash: Sha256::new() };
    let (mut buffer, mut size, mut open) = (BytesMut::with_capacity(CHUNK), 0_u64, true);
    while let Some(part) = tokio::time::timeout(PATIENCE, body.next())
        .await
        .map_err(|_| broken("nothing came for 30 seconds"))?
    {
        let part = part.map_err(|_| broken("the connection broke"))?;
        size += part.len() as u64;
        if size > limit {
            read_on(body).await;
            return Err(too_large(limit));
        }
        // What comes after a refusal is read and dropped, so that the client reads the answer.
        if open {
            buffer.extend_from_slice(&part);
        }
        while open && buffer.len() >= CHUNK {
            open = upload.take(buffer.split_to(CHUNK).freeze()).await?;
        }
    }
    if open && !buffer.is_empty() {
        upload.take(buffer.freeze()).await?;
    }
    let Upload { sender, hash, .. } = upload;
    drop(sender);
    checking.await.map_err(anyhow::Error::new)?.map_err(refused)?;
    Ok((hex::encode(hash.finalize()), size))
}

/// Reads and drops what a client goes on to send, for a while: one that is still sending when the connection closes
/// sees a broken connection instead of the answer.
async fn read_on(mut body: BodyDataStream) {
    let all = async { while let Some(Ok(_)) = body.next().await {} };
    // Elapsed: then the client is told by the end of the connection.
    let _ = tokio::time::timeout(PATIENCE, all).await;
}

struct Upload<'a> {
    app: &'a App,
    id: ArchiveId,
    number: i32,
    sender: mpsc::Sender<Bytes>,
    hash: Sha256,
}

impl Upload<'_> {
    /// Whether the checker takes more.
    async fn take(&mut self, chunk: Bytes) -> Result<bool> {
        self.hash.update(&chunk);
        if self.sender.send(chunk.clone()).await.is_err() {
            return Ok(false);
        }
        let mut conn = self.app.db.acquire().await?;
        store::append(&mut conn, self.id, self.number, &chunk).await?;
        self.number += 1;
        Ok(true)
    }
}

/// Chunks from a channel, as a reader for a blocking thread. Ends when the sender is dropped.
struct Chunks {
    chunks: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Chunks {
    fn new(chunks: mpsc::Receiver<Bytes>) -> Self {
        Self { chunks, current: Bytes::new() }
    }
}

impl Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while !self.current.has_remaining() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.current = chunk,
                None => return Ok(0),
            }
        }
        let count = into.len().min(self.current.len());
        self.current.split_to(count).copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}

fn broken(why: &str) -> Error {
    Error::new(Code::BadRequest, format!("the upload broke off: {why}")).hint("Upload it again")
}

fn too_large(limit: u64) -> Error {
    Error::new(Code::ArchiveTooLarge, format!("the archive is larger than {limit} bytes"))
        .hint("Leave out what the build does not need (.dockerignore), or raise `limits.archive_bytes`")
}

fn refused(refusal: Refusal) -> Error {
    let (code, hint) = match &refusal {
        Refusal::NotGzipTar(_) => {
            (Code::ArchiveNotGzipTar, "Make it with `tar -czf source.tar.gz -C FOLDER .`")
        }
        Refusal::Unsafe { .. } => (Code::ArchiveUnsafe, "Leave the entry out or replace it by a plain file"),
        Refusal::UnpacksTooLarge(_) | Refusal::TooManyEntries => {
            (Code::ArchiveTooLarge, "Leave out what the build does not need, or raise `limits.source_bytes`")
        }
    };
    Error::new(code, refusal.to_string()).hint(hint)
}
