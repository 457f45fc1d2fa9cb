use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::{Path as UrlPath, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use ipnet::IpNet;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::job::folder::Folder;
use crate::job::git::Reach;
use crate::job::log::Log;

const LARGE: &[u8] = b"a large file";

fn oid() -> String {
    hex::encode(Sha256::digest(LARGE))
}

fn pointer_to(oid: &str) -> String {
    format!("{VERSION}oid sha256:{oid}\nsize {}\n", LARGE.len())
}

/// A host of large files: where it says that they lie, and what it was asked.
#[derive(Clone)]
struct Host {
    files_at: String,
    asked: Arc<Mutex<Vec<Value>>>,
}

async fn batch(State(host): State<Host>, body: String) -> Json<Value> {
    let asked: Value = serde_json::from_str(&body).expect("JSON");
    let known =
        asked["objects"].as_array().expect("objects").iter().filter(|object| object["oid"] == oid().as_str());
    let objects: Vec<Value> = known
        .map(|object| {
            let href = format!("{}/files/{}", host.files_at, object["oid"].as_str().expect("id"));
            json!({ "oid": object["oid"], "actions": { "download": { "href": href, "header": { "x-key": "open" } } } })
        })
        .collect();
    host.asked.lock().expect("lock").push(asked);
    Json(json!({ "objects": objects }))
}

async fn file(
    UrlPath(_): UrlPath<String>,
    headers: http::HeaderMap,
) -> Result<&'static [u8], http::StatusCode> {
    if headers.get("x-key").is_some_and(|key| key == "open") {
        Ok(LARGE)
    } else {
        Err(http::StatusCode::FORBIDDEN)
    }
}

struct Bed {
    root: tempfile::TempDir,
    address: SocketAddr,
    host: Host,
    _server: JoinSet<()>,
}

impl Bed {
    /// Which names `files_at` as the place of its files, or itself.
    async fn new(files_at: Option<&str>) -> Self {
        daemon::crypto::install();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let own = format!("http://{address}");
        let host = Host { files_at: files_at.unwrap_or(&own).to_owned(), asked: Arc::default() };
        let router = Router::new()
            .route("/team/app.git/info/lfs/objects/batch", post(batch))
            .route("/files/{oid}", get(file))
            .with_state(host.clone());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.expect("serve") });
        let root = tempfile::tempdir().expect("temp dir");
        std::fs::create_dir_all(root.path().join("source/assets")).expect("folder");
        Self { root, address, host, _server: server }
    }

    fn source(&self, path: &str) -> PathBuf {
        self.root.path().join("source").join(path)
    }

    async fn fetch(&self, mut budget: u64) -> Result<(), Stop> {
        let folder = Folder::at(self.root.path().to_owned());
        let log = Log::open(&folder.path("log.jsonl")).expect("log");
        let (opened, stop): (IpNet, _) = ("127.0.0.1/32".parse().expect("network"), CancellationToken::new());
        let fetcher = Fetcher {
            reach: Reach { files: false, networks: &[opened] },
            access: None,
            most_bytes: budget,
            folder: &folder,
            log: &log,
            stop: &stop,
        };
        let url = format!("http://{}/team/app", self.address);
        fetch(&fetcher, &url, &self.source(""), &mut budget).await
    }

    async fn refused(&self, budget: u64) -> Failure {
        let Err(Stop::Failed(failure)) = self.fetch(budget).await else { panic!("not refused") };
        *failure
    }
}

#[tokio::test]
async fn pointers_are_replaced_by_what_they_mean_and_nothing_else_is_touched() {
    let bed = Bed::new(None).await;
    let (large, small, other) = (bed.source("assets/large"), bed.source("small"), bed.source("module/large"));
    std::fs::write(&large, pointer_to(&oid())).expect("pointer");
    std::fs::set_permissions(&large, std::fs::Permissions::from_mode(0o755)).expect("mode");
    std::fs::write(&small, "a small file").expect("file");
    // Of a submodule, which has a host of its own.
    std::fs::create_dir_all(bed.source("module/.git")).expect("submodule");
    std::fs::write(&other, pointer_to(&oid())).expect("pointer");
    std::os::unix::fs::symlink(&other, bed.source("link")).expect("link");
    bed.fetch(1000).await.expect("fetched");
    assert_eq!(std::fs::read(&large).expect("large"), LARGE);
    assert_eq!(std::fs::metadata(&large).expect("large").permissions().mode() & 0o777, 0o755);
    assert_eq!(std::fs::read(&small).expect("small"), b"a small file");
    assert_eq!(std::fs::read_to_string(&other).expect("other"), pointer_to(&oid()));
    let asked = bed.host.asked.lock().expect("lock").clone();
    assert_eq!(asked[0]["objects"], json!([{ "oid": oid(), "size": LARGE.len() }]));
}

#[tokio::test]
async fn a_file_that_is_not_there_too_large_or_inside_is_refused() {
    let bed = Bed::new(None).await;
    std::fs::write(bed.source("large"), pointer_to(&oid())).expect("pointer");
    assert_eq!(bed.refused(LARGE.len() as u64 - 1).await.code, "source_too_large");
    std::fs::write(bed.source("absent"), pointer_to(&"0".repeat(64))).expect("pointer");
    assert!(bed.refused(1000).await.message.ends_with("does not have the large file absent"));

    let inside = Bed::new(Some("http://169.254.169.254")).await;
    std::fs::write(inside.source("large"), pointer_to(&oid())).expect("pointer");
    assert_eq!(inside.refused(1000).await.code, "repository_private");
}

#[test]
fn a_pointer_is_known_by_its_first_line() {
    let oid = oid();
    assert_eq!(parse(&pointer_to(&oid)), Some((oid.clone(), LARGE.len() as u64)));
    for bad in [
        "",
        "a small file",
        VERSION,
        &pointer_to("../../etc/passwd"),
        &pointer_to(&oid).replace("size", "length"),
        &format!("\n{}", pointer_to(&oid)),
    ] {
        assert_eq!(parse(bad), None, "{bad}");
    }
}

#[test]
fn the_host_is_asked_beside_the_repository() {
    let endpoint = |url: &str| endpoint(url).map(String::from).map_err(|failure| failure.hint);
    for url in [
        "https://example.com/team/app",
        "https://example.com/team/app.git",
        "https://example.com/team/app.git/",
    ] {
        assert_eq!(endpoint(url).as_deref(), Ok("https://example.com/team/app.git/info/lfs/objects/batch"));
    }
    for url in ["git@example.com:team/app.git", "git://example.com/a", "file:///srv/a.git"] {
        assert!(endpoint(url).is_err_and(|hint| hint.is_some_and(|hint| hint.contains("https://"))), "{url}");
    }
}
