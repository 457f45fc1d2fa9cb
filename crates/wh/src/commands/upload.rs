//! A folder on its way to the control plane: packed and sent at once, never whole in memory or on disk.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::mpsc;

use super::Shell;
use crate::api::types::{Archive, Source};
use crate::api::{Client, path};
use crate::archive::Manifest;
use crate::detect::{Builder, detect};
use crate::failure::{Exit, Failure, Result};
use crate::project::Project;
use crate::ui::live::Live;
use crate::ui::time::size;

/// Above this an archive probably holds what it should not.
const LARGE: u64 = 50 * 1024 * 1024;
const CHUNK: usize = 64 * 1024;
/// Chunks between the packer and the network; when full, packing waits.
pub(super) const CHUNKS: usize = 8;

/// Packs and uploads `folder`.
pub(crate) async fn folder(
    shell: &Shell,
    client: &Client,
    app: &str,
    project: &Project,
    folder: &Path,
) -> Result<(Source, String)> {
    let manifest = Manifest::scan(folder, project.build.containerfile.as_deref())?;
    check(shell, &manifest, project, folder)?;
    let what = format!("upload of {} files, {}", manifest.files(), size(manifest.size()));
    let manifest = Arc::new(manifest);
    let archive =
        send(shell, client, app, &manifest).await.map_err(|failure| too_large(failure, &manifest))?;
    Ok((Source::Archive { archive_id: archive.id }, what))
}

fn check(shell: &Shell, manifest: &Manifest, project: &Project, folder: &Path) -> Result<()> {
    if manifest.is_empty() {
        return Err(Failure::usage(format!("{} holds nothing to deploy", folder.display()))
            .hint("do .gitignore, .dockerignore or .whignore leave everything out?"));
    }
    let clean = |path: &str| path.trim_start_matches("./").trim_matches('/').to_owned();
    let folder =
        project.build.folder.as_deref().map(clean).filter(|folder| !folder.is_empty() && folder != ".");
    let has = |name: &str| match &folder {
        Some(folder) => manifest.contains(&format!("{folder}/{name}")),
        None => manifest.contains(name),
    };
    match project.build.containerfile.as_deref().map(clean) {
        Some(name) if !has(&name) => {
            return Err(Failure::usage(format!(
                "build.containerfile names {name}, which is not among the files sent"
            ))
            .hint("does it exist, and does .gitignore or .whignore leave it out?"));
        }
        Some(_) => {}
        None => say_preset(shell, &detect(manifest, &project.build))?,
    }
    for skipped in &manifest.skipped {
        shell.ui.warn(&format!("left out: {skipped}"));
    }
    if manifest.contains(".env") {
        shell
            .ui
            .warn(".env is part of the upload: name it in .whignore, and set its values with `wh env set`");
    }
    if manifest.size() > LARGE {
        let largest = manifest.largest(3).into_iter().map(|(name, bytes)| format!("{name} {}", size(bytes)));
        let largest: Vec<String> = largest.collect();
        shell.ui.warn(&format!(
            "{} to send, of that {}; .whignore leaves files out",
            size(manifest.size()),
            largest.join(", ")
        ));
    }
    Ok(())
}

/// Which preset will build, before anything is sent.
fn say_preset(shell: &Shell, builder: &Builder) -> Result<()> {
    match builder {
        Builder::Containerfile { .. } => {}
        Builder::Preset(recipe) => {
            let paint = shell.ui.err_paint();
            let because = recipe.because.join(", ");
            shell.ui.note(&format!("  {} {} · {because}", paint.dim("preset"), recipe.preset));
            if !recipe.others.is_empty() {
                let others: Vec<&str> = recipe.others.iter().map(|preset| preset.name()).collect();
                let others = others.join(" and ");
                shell.ui.note(&format!("  {others} would fit too: `preset` in [build] chooses"));
            }
        }
        Builder::Nothing(unknown) => {
            return Err(Failure::usage(unknown.message.clone())
                .hint(format!("{}; `wh deploy --image REFERENCE` needs none", unknown.hint)));
        }
    }
    Ok(())
}

async fn send(shell: &Shell, client: &Client, app: &str, manifest: &Arc<Manifest>) -> Result<Archive> {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(CHUNKS);
    let sent = Arc::new(AtomicU64::new(0));
    let packer = {
        let (manifest, sent) = (manifest.clone(), sent.clone());
        tokio::task::spawn_blocking(move || {
            let mut out = ChunkWriter::new(sender.clone(), sent);
            manifest.write(&mut out).and_then(|()| out.send()).inspect_err(|error| {
                // The body must end in an error, or half an archive would look whole.
                let _ = sender.blocking_send(Err(io::Error::new(error.kind(), error.to_string())));
            })
        })
    };
    let body = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    let client = client.for_upload()?;
    let request = client
        .request(Method::POST, &path(&["apps", app, "archives"]))
        .header(CONTENT_TYPE, "application/gzip")
        .body(reqwest::Body::wrap_stream(body));
    let answer = client.answer::<Archive>(request);
    tokio::pin!(answer);
    let mut live = Live::new(shell.ui);
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let answer = loop {
        tokio::select! {
            answer = &mut answer => break answer,
            _ = tick.tick() => live.progress(format!("upload  {}", size(sent.load(Ordering::Relaxed)))),
        }
    };
    drop(live);
    match (answer, packer.await) {
        (Err(failure), Ok(Err(error)))
            if failure.code == "unreachable" && error.kind() != io::ErrorKind::BrokenPipe =>
        {
            Err(Failure::io("cannot pack the folder", &error))
        }
        (answer, _) => answer,
    }
}

/// Adds what weighs most when the server finds the archive too large.
fn too_large(failure: Box<Failure>, manifest: &Manifest) -> Box<Failure> {
    if failure.code != "archive_too_large" && failure.code != "http_413" {
        return failure;
    }
    let largest = manifest.largest(5);
    let mut failure = failure.detail("  largest, before compression");
    failure.data = serde_json::json!({
        "largest": largest.iter().map(|(name, bytes)| serde_json::json!({ "name": name, "size_bytes": bytes })).collect::<Vec<_>>(),
    });
    for (name, bytes) in &largest {
        failure = failure.detail(format!("  {:>9}  {}", size(*bytes), crate::ui::sanitize(name)));
    }
    failure.exit = Exit::Error;
    match failure.hint {
        Some(_) => failure,
        None => failure.hint("name what the build does not need in .whignore"),
    }
}

/// Collects small writes into chunks for the network; waits while the channel is full.
pub(super) struct ChunkWriter {
    sender: mpsc::Sender<io::Result<Bytes>>,
    chunk: Vec<u8>,
    sent: Arc<AtomicU64>,
}

impl ChunkWriter {
    pub(super) fn new(sender: mpsc::Sender<io::Result<Bytes>>, sent: Arc<AtomicU64>) -> Self {
        Self { sender, chunk: Vec::with_capacity(CHUNK), sent }
    }

    pub(super) fn send(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        self.sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        self.sender
            .blocking_send(Ok(Bytes::from(chunk)))
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the upload ended"))
    }
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
