//! Against an API that answers as Traefik's does, at moments that a real Traefik cannot be held at.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path as Segment, State};
use axum::http::StatusCode as Status;
use axum::routing::get;
use ingress::Gateway;
use protocol::spec::{Generation, Route, Versioned};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::routing::{Routing, Taken};

const CHALLENGES: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8078);

fn key() -> daemon::seal::SealKey {
    daemon::seal::SealKey::derive("a host's", "test")
}

/// The names of the middlewares that Traefik shows.
type Shown = Arc<Mutex<Vec<String>>>;

struct Api {
    url: Url,
    shown: Shown,
    _task: JoinSet<()>,
}

impl Api {
    async fn start() -> Self {
        daemon::crypto::install();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("free port");
        let url = format!("http://{}", listener.local_addr().expect("address")).parse().expect("a URL");
        let shown = Shown::default();
        let router = Router::new()
            .route("/api/http/middlewares/{name}", get(middleware))
            .with_state(Arc::clone(&shown));
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Self { url, shown, _task: task }
    }

    /// Traefik takes the file.
    fn take(&self, file: &Path) {
        let table = table(file);
        let names = table["http"]["middlewares"].as_object().expect("middlewares").keys();
        *self.shown.lock().expect("no panic") = names.map(|name| format!("{name}@file")).collect();
    }
}

async fn middleware(State(shown): State<Shown>, Segment(name): Segment<String>) -> Status {
    if shown.lock().expect("no panic").contains(&name) { Status::OK } else { Status::NOT_FOUND }
}

fn table(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).expect("a file")).expect("JSON")
}

fn spec(generation: Generation, hosts: &[&str]) -> Versioned<ProxySpec> {
    let route = |host: &&str| Route {
        id: (*host).to_owned(),
        app: (*host).to_owned(),
        hosts: vec![(*host).to_owned()],
        path: "/".to_owned(),
        upstreams: vec![],
        https_only: false,
        options: Box::default(),
        unavailable: None,
    };
    let routes = hosts.iter().map(route).map(Into::into).collect();
    Versioned { generation, spec: ProxySpec { routes, ..ProxySpec::default() } }
}

fn routing(folder: &Path, api: &Api) -> Routing {
    let config =
        config::Traefik { dynamic_file: folder.join("dynamic.yaml"), api: api.url.clone(), access_log: None };
    let traefik = Traefik::new(config, CHALLENGES).expect("a client");
    Routing::restore(Gateway::new(ingress::Options::default()), Some(traefik), folder, Some(key()), None)
        .expect("restored")
}

async fn is_served(routing: &Routing, generation: Generation) -> bool {
    tokio::time::timeout(4 * POLL, routing.served(generation)).await.is_ok()
}

#[tokio::test]
async fn a_table_is_served_when_traefik_shows_it_and_not_when_it_is_written() {
    let (folder, api) = (tempfile::tempdir().expect("temp dir"), Api::start().await);
    let file = folder.path().join("dynamic.yaml");
    let routing = routing(folder.path(), &api);
    // Without any routes there is a table, too: Traefik watches a file that exists, and challenges have their way.
    assert!(table(&file)["http"]["routers"]["wisehosting-challenges"].is_object());
    api.take(&file);
    assert_eq!(routing.take(&spec(4, &["a.test"]), false).expect("disk"), Taken::InForce(4));
    assert!(!is_served(&routing, 4).await, "Traefik has the table before it");
    assert_eq!(routing.generation(), 0);
    api.take(&file);
    assert!(is_served(&routing, 4).await);
    assert_eq!(routing.generation(), 4);
}

#[tokio::test]
async fn after_a_restart_the_table_counts_once_traefik_shows_it_again() {
    let (folder, api) = (tempfile::tempdir().expect("temp dir"), Api::start().await);
    let file = folder.path().join("dynamic.yaml");
    routing(folder.path(), &api).take(&spec(4, &["a.test"]), false).expect("disk");
    let (before, inode) = (table(&file), file.metadata().expect("metadata").ino());
    let again = routing(folder.path(), &api);
    assert_eq!(again.generation(), 0, "so that the control plane sends it and waits");
    assert_eq!(again.take(&spec(4, &["a.test"]), true).expect("disk"), Taken::InForce(4));
    assert!(!is_served(&again, 4).await);
    api.take(&file);
    assert!(is_served(&again, 4).await);
    assert_eq!(
        (table(&file), file.metadata().expect("metadata").ino()),
        (before, inode),
        "not written again"
    );
    // A file that somebody removed comes back.
    std::fs::remove_file(&file).expect("remove");
    again.take(&spec(4, &["a.test"]), true).expect("disk");
    assert!(file.exists());
}

#[tokio::test]
async fn the_file_is_for_its_group_and_has_what_the_built_in_engine_would_serve() {
    let (folder, api) = (tempfile::tempdir().expect("temp dir"), Api::start().await);
    let file = folder.path().join("dynamic.yaml");
    let routing = routing(folder.path(), &api);
    routing.take(&spec(4, &["a.test", "NOT A HOST"]), false).expect("disk");
    assert_eq!(file.metadata().expect("metadata").permissions().mode() & 0o777, 0o640);
    let routers = table(&file)["http"]["routers"].as_object().expect("routers").len();
    assert_eq!(routers, 2, "a.test and the challenges");
    assert_eq!(routing.take(&spec(5, &["NOT A HOST"]), false).expect("disk"), Taken::Bad);
    assert!(table(&file)["http"]["routers"]["app-a.test"].is_object());
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_named_and_nothing_is_acknowledged() {
    let (folder, api) = (tempfile::tempdir().expect("temp dir"), Api::start().await);
    let config = config::Traefik {
        dynamic_file: "/nowhere/dynamic.yaml".into(),
        api: api.url.clone(),
        access_log: None,
    };
    let traefik = Traefik::new(config, CHALLENGES).expect("a client");
    let error = Routing::restore(
        Gateway::new(ingress::Options::default()),
        Some(traefik),
        folder.path(),
        Some(key()),
        None,
    );
    let error = format!("{:#}", error.expect_err("no such folder"));
    assert!(error.contains("`traefik.dynamic_file` /nowhere/dynamic.yaml"), "{error}");
}
