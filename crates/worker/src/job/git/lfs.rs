//! Large files (LFS). The repository has pointers to them; its host says where they lie. Fetched by ourselves and not by
//! `git lfs`, so that each address is checked before it is asked: it may name any server.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::job::{Failure, Stage};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, Response};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use url::Url;

use super::Fetcher;
use super::address::Repository;
use crate::failure::{FailureExt as _, failure};
use crate::job::run::Stop;
use crate::job::target;

const JSON: &str = "application/vnd.git-lfs+json";
/// The first line of a pointer.
const VERSION: &str = "version https://git-lfs.github.com/spec/v1\n";
/// A longer file is no pointer.
const LONGEST_POINTER: u64 = 1024;
/// Objects that are asked for at once.
const BATCH: usize = 100;
/// Bytes of an answer about them.
const LONGEST_ANSWER: usize = 4 << 20;
const CONNECT: Duration = Duration::from_secs(15);
/// Without a byte.
const SILENCE: Duration = Duration::from_secs(30);

/// A file in whose place a large one belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pointer {
    path: PathBuf,
    oid: String,
    size: u64,
}

#[derive(Deserialize)]
struct Answer {
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    #[serde(default)]
    actions: Actions,
}

#[derive(Default, Deserialize)]
struct Actions {
    download: Option<Download>,
}

#[derive(Deserialize)]
struct Download {
    href: String,
    #[serde(default)]
    header: BTreeMap<String, String>,
}

/// Puts the large files of `repository` into `root`, at most `budget` bytes, which is less by as many then.
pub(super) async fn fetch(
    fetcher: &Fetcher<'_>,
    url: &str,
    root: &Path,
    budget: &mut u64,
) -> Result<(), Stop> {
    let folder = root.to_owned();
    let pointers = tokio::task::spawn_blocking(move || pointers(&folder)).await??;
    if pointers.is_empty() {
        return Ok(());
    }
    let repository = Repository::parse(url, fetcher.reach.files).map_err(super::words::bad_url)?;
    fetcher.log.say(&format!("Fetching {} large files of {}", pointers.len(), repository.shown));
    let work = async {
        for batch in pointers.chunks(BATCH) {
            let downloads = ask(fetcher, &repository, batch).await?;
            for pointer in batch {
                let Some(download) = downloads.get(&pointer.oid) else {
                    return Err(absent(pointer, root).into());
                };
                *budget = budget.checked_sub(pointer.size).ok_or_else(too_large)?;
                get(fetcher, pointer, download, root).await?;
            }
        }
        Ok(())
    };
    tokio::select! {
        done = work => done,
        () = fetcher.stop.cancelled() => Err(Stop::Cancelled),
    }
}

/// All pointers below `root`, but not those of submodules, which have a `.git` of their own.
fn pointers(root: &Path) -> std::io::Result<Vec<Pointer>> {
    let (mut found, mut open) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            // Of the entry itself: a link is neither.
            let kind = entry.file_type()?;
            let path = entry.path();
            if kind.is_dir() && entry.file_name() != ".git" && !path.join(".git").exists() {
                open.push(path);
            } else if kind.is_file() && entry.metadata()?.len() <= LONGEST_POINTER {
                let text = std::fs::read(&path)?;
                found.extend(std::str::from_utf8(&text).ok().and_then(parse).map(|(oid, size)| Pointer {
                    path,
                    oid,
                    size,
                }));
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

fn parse(text: &str) -> Option<(String, u64)> {
    let rest = text.strip_prefix(VERSION)?;
    let value = |name: &str| rest.lines().find_map(|line| line.strip_prefix(name));
    let oid = value("oid sha256:")?;
    let hex =
        oid.len() == 64 && oid.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    Some((hex.then(|| oid.to_owned())?, value("size ")?.parse().ok()?))
}

/// Where the files lie, by their ids.
async fn ask(
    fetcher: &Fetcher<'_>,
    repository: &Repository,
    batch: &[Pointer],
) -> Result<HashMap<String, Download>, Stop> {
    let url = endpoint(&repository.url)?;
    let objects: Vec<_> =
        batch.iter().map(|pointer| json!({ "oid": pointer.oid, "size": pointer.size })).collect();
    let body = json!({ "operation": "download", "transfers": ["basic"], "objects": objects });
    let mut request = client(fetcher, &url)
        .await?
        .post(url.clone())
        .header(ACCEPT, JSON)
        .header(CONTENT_TYPE, JSON)
        .body(body.to_string());
    if let Some(login) =
        repository.server.as_ref().and_then(|server| super::access::header(server, fetcher.access))
    {
        request = request.header(AUTHORIZATION, login);
    }
    let mut response = send(request, &url).await?;
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&url, &error))? {
        text.extend_from_slice(&chunk);
        if text.len() > LONGEST_ANSWER {
            return Err(unavailable(&url, "its answer is too long").into());
        }
    }
    let answer: Answer =
        serde_json::from_slice(&text).map_err(|error| unavailable(&url, &error.to_string()))?;
    let known = answer.objects.into_iter().filter_map(|object| Some((object.oid, object.actions.download?)));
    Ok(known.collect())
}

/// As `git lfs` finds it.
fn endpoint(repository: &str) -> Result<Url, Box<Failure>> {
    let url = Url::parse(repository).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
    let Some(mut url) = url else { return Err(Box::new(no_https())) };
    let path = url.path().trim_end_matches('/');
    let path = format!("{}.git/info/lfs/objects/batch", path.strip_suffix(".git").unwrap_or(path));
    url.set_path(&path);
    Ok(url)
}

async fn get(fetcher: &Fetcher<'_>, pointer: &Pointer, download: &Download, root: &Path) -> Result<(), Stop> {
    let url = Url::parse(&download.href).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
    let url = url.ok_or_else(|| absent(pointer, root))?;
    let mut request = client(fetcher, &url).await?.get(url.clone());
    for (name, value) in &download.header {
        request = request.header(name, value);
    }
    let mut response = send(request, &url).await?;
    let part = fetcher.folder.path("lfs-part");
    let mut file = tokio::fs::File::create(&part).await?;
    let (mut digest, mut size) = (Sha256::new(), 0);
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&url, &error))? {
        size += chunk.len() as u64;
        if size > pointer.size {
            break;
        }
        digest.update(&chunk);
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    if size != pointer.size || hex::encode(digest.finalize()) != pointer.oid {
        return Err(
            unavailable(&url, &format!("it is not the file that {} means", shown(pointer, root))).into()
        );
    }
    let mode = std::fs::metadata(&pointer.path)?.permissions().mode();
    std::fs::set_permissions(&part, std::fs::Permissions::from_mode(mode))?;
    Ok(tokio::fs::rename(&part, &pointer.path).await?)
}

/// One that asks the address which was checked, and goes nowhere else.
async fn client(fetcher: &Fetcher<'_>, url: &Url) -> Result<Client, Stop> {
    let host = url.host().ok_or_else(|| unavailable(url, "it has no host"))?.to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let address = target::resolve(&host, port, fetcher.reach.networks).await?;
    let client = Client::builder()
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .resolve(&host.to_string(), (address, port).into());
    Ok(client.build()?)
}

async fn send(request: RequestBuilder, url: &Url) -> Result<Response, Stop> {
    let response = request.send().await.map_err(|error| broken(url, &error))?;
    if response.status().is_success() {
        return Ok(response);
    }
    Err(unavailable(url, &format!("HTTP {}", response.status().as_u16())).into())
}

fn shown(pointer: &Pointer, root: &Path) -> String {
    pointer.path.strip_prefix(root).unwrap_or(&pointer.path).display().to_string()
}

fn broken(url: &Url, error: &reqwest::Error) -> Failure {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    unavailable(url, &cause.to_string())
}

/// Without the query, which may be what opens the file.
fn unavailable(url: &Url, why: &str) -> Failure {
    let host = url.host_str().unwrap_or_default();
    failure(
        Stage::Fetch,
        "large_file_unavailable",
        format!("a large file is not to be had from {host}: {why}"),
    )
    .hint("Check that the repository's host serves large files (LFS), and with what: `wh git`")
}

fn absent(pointer: &Pointer, root: &Path) -> Failure {
    let message = format!("the repository's host does not have the large file {}", shown(pointer, root));
    failure(Stage::Fetch, "large_file_unavailable", message).hint("Push it: `git lfs push --all origin`")
}

fn too_large() -> Failure {
    failure(Stage::Fetch, "source_too_large", "the large files of the source are more than a build may have")
        .hint("Keep what the build does not need out of the repository, or raise the limit of a source")
}

fn no_https() -> Failure {
    failure(Stage::Fetch, "large_file_unavailable", "large files (LFS) are fetched over HTTPS only")
        .hint("Use the https:// address of the repository, with a token: `wh git token`")
}

#[cfg(test)]
mod tests;
