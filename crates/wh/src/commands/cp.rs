//! Files between this host and an instance, as a tar that is packed and unpacked as it comes.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf as _, Bytes};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::upload::{CHUNKS, ChunkWriter};
use super::{Shell, logs};
use crate::api::{Client, path_with};
use crate::args::Cp;
use crate::copy::unpack::{Copied, unpack};
use crate::copy::{Kind, Place, Source, target_here};
use crate::failure::{Exit, Failure, Result};
use crate::ui::time::size;

/// Bytes that one copy may write here; the server has a limit too.
const LIMIT: u64 = 16 << 30;

pub(crate) async fn run(shell: &Shell, cp: Cp) -> Result<()> {
    let instance = cp.instance.as_deref();
    match (Place::parse(&cp.from)?, Place::parse(&cp.to)?) {
        (Place::There { app, path }, Place::Here(to)) => out(shell, &app, &path, &to, instance).await,
        (Place::Here(from), Place::There { app, path }) => into(shell, &from, &app, &path, instance).await,
        _ => Err(Failure::usage("one of the two must be in an instance, and the other one here")
            .hint("for example `wh cp shop:/var/log/app.log .` or `wh cp ./config.json shop:/etc/`")),
    }
}

async fn out(shell: &Shell, app: &str, path: &str, to: &Path, instance: Option<&str>) -> Result<()> {
    let source = Source::there(path)?;
    let target = target_here(to, source.name.as_deref())?;
    let client = shell.client()?;
    let instance = instance_id(&client, app, instance).await?;
    let address = address(&["apps", app, "files"], &source.path, instance.as_deref());
    let copied = fetch(&client, &address, &target).await?;
    for entry in &copied.left_out {
        shell.ui.warn(&format!("left out: {entry}"));
    }
    let Copied { files, bytes, .. } = copied;
    shell.ui.done(&format!("{files} files, {} in {}", size(bytes), target.display()));
    Ok(())
}

async fn into(shell: &Shell, from: &Path, app: &str, path: &str, instance: Option<&str>) -> Result<()> {
    let source = Source::here(from)?;
    let client = shell.client()?;
    let instance = instance_id(&client, app, instance).await?;
    let found: Found =
        client.get(&address(&["apps", app, "files", "kind"], path, instance.as_deref())).await?;
    let (folder, name) = source.target_there(path, found.kind)?;
    // The one that was looked into, whichever that was.
    let address = address(&["apps", app, "files"], &folder, Some(&found.instance));
    let bytes = send(&client, &address, &source.path, &name).await?;
    shell.ui.done(&format!("{} to {app}:{}/{name}", size(bytes), folder.trim_end_matches('/')));
    Ok(())
}

#[derive(Deserialize)]
struct Found {
    instance: String,
    kind: Kind,
}

async fn instance_id(client: &Client, app: &str, part: Option<&str>) -> Result<Option<String>> {
    match part {
        Some(part) => logs::instance_id(client, app, part).await.map(Some),
        None => Ok(None),
    }
}

fn address(segments: &[&str], path: &str, instance: Option<&str>) -> String {
    let mut query = vec![("path", path)];
    query.extend(instance.map(|id| ("instance", id)));
    path_with(segments, &query)
}

async fn fetch(client: &Client, address: &str, target: &Path) -> Result<Copied> {
    let client = client.for_upload()?;
    let mut response = client.response(client.request(Method::GET, address)).await?;
    let (sender, chunks) = mpsc::channel(CHUNKS);
    let target = target.to_owned();
    let unpacking = tokio::task::spawn_blocking(move || {
        unpack(Chunks { chunks, rest: Bytes::new(), ended: false }, &target, LIMIT)
    });
    let broken = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                if sender.send(Some(chunk)).await.is_err() {
                    // Unpacking has failed, and says why below.
                    break false;
                }
            }
            Ok(None) => {
                let _ = sender.send(None).await;
                break false;
            }
            Err(_) => break true,
        }
    };
    drop(sender);
    let copied = unpacking.await.map_err(|error| Failure::io("cannot unpack", &io::Error::other(error)))?;
    if broken {
        return Err(Failure::new(Exit::Error, "copy_broken", "the copy broke off; what came of it is there")
            .hint("the connection was lost, or it is larger than limits.copy_bytes of the control plane"));
    }
    copied.map_err(|error| {
        Failure::io("cannot unpack the copy", &error)
            .hint("what came before is there; nothing is outside the target")
    })
}

/// The tar, as a reader. A stream that ends without its end is an error.
struct Chunks {
    chunks: mpsc::Receiver<Option<Bytes>>,
    rest: Bytes,
    ended: bool,
}

impl Read for Chunks {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() && !self.ended {
            match self.chunks.blocking_recv() {
                Some(Some(chunk)) => self.rest = chunk,
                Some(None) => self.ended = true,
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the copy broke off")),
            }
        }
        let count = to.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut to[..count]);
        Ok(count)
    }
}

/// Packs `from` under the name `name`, without one what is in it; the bytes of the tar.
async fn send(client: &Client, address: &str, from: &Path, name: &str) -> Result<u64> {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(CHUNKS);
    let sent = Arc::new(AtomicU64::new(0));
    let packer = {
        let (from, name, sent) = (from.to_owned(), name.to_owned(), sent.clone());
        tokio::task::spawn_blocking(move || {
            let mut out = ChunkWriter::new(sender.clone(), sent);
            pack(&mut out, &from, &name).and_then(|()| out.send()).inspect_err(|error| {
                // The body must end in an error, or half a copy would look whole.
                let _ = sender.blocking_send(Err(io::Error::new(error.kind(), error.to_string())));
            })
        })
    };
    let body = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    let client = client.for_upload()?;
    let request = client
        .request(Method::PUT, address)
        .header(CONTENT_TYPE, "application/x-tar")
        .body(reqwest::Body::wrap_stream(body));
    let answer = client.response(request).await;
    match (answer, packer.await) {
        (Err(failure), Ok(Err(error)))
            if failure.code == "unreachable" && error.kind() != io::ErrorKind::BrokenPipe =>
        {
            Err(Failure::io("cannot read what is to be copied", &error))
        }
        (answer, _) => answer.map(|_| sent.load(Ordering::Relaxed)),
    }
}

fn pack(out: &mut ChunkWriter, from: &Path, name: &str) -> io::Result<()> {
    let mut tar = tar::Builder::new(out);
    tar.follow_symlinks(false);
    if from.is_dir() {
        tar.append_dir_all(name, from)?;
    } else {
        // A link that is named itself stands for its file.
        tar.append_file(name, &mut std::fs::File::open(from)?)?;
    }
    tar.finish()
}
