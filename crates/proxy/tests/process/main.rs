//! The real process against a control plane that checks every envelope, and against a real CA.

mod handover;
mod hub;
#[cfg(feature = "pebble-tests")]
mod pebble;
mod sealed;
mod standalone;
mod support;

use std::time::Duration;

use hub::Hub;
use protocol::identity::NodeIdentity;
use protocol::ids::{AppId, DeploymentId, JobId};
use protocol::job::{Build, BuildLimits, Job, Outcome, Source, Work};
use protocol::message::FromControlPlane;
use protocol::spec::{ProxySpec, Spec, Versioned, WorkerSpec};
use support::{App, Folders, Proxy, ends_with, get, route, soon};

#[tokio::test]
async fn routes_on_disk_are_served_with_no_control_plane_and_no_identity() {
    let (folders, app) = (Folders::new(), App::start("hello").await);
    let spec = ProxySpec { routes: vec![route("app.test", app.address).into()], ..ProxySpec::default() };
    folders.write_routes(&Versioned { generation: 7, spec });
    let proxy = Proxy::start(&folders);
    soon("an answer", async || get(proxy.http, "app.test", "/").await.ends_with("hello")).await;
    proxy.stop().await;
    // Once more, because nothing may depend on the first start.
    let proxy = Proxy::start(&folders);
    soon("an answer", async || get(proxy.http, "app.test", "/").await.ends_with("hello")).await;
    proxy.stop().await;
}

#[tokio::test]
async fn an_identity_that_no_link_accepts_does_not_stop_the_routes() {
    let (folders, app, hub) = (Folders::new(), App::start("hello").await, Hub::start().await);
    let spec = ProxySpec { routes: vec![route("app.test", app.address).into()], ..ProxySpec::default() };
    folders.write_routes(&Versioned { generation: 7, spec });
    // Plain HTTP to a public address is refused.
    let public = vec!["http://198.51.100.10:8081".to_owned()];
    folders.write_identity(&NodeIdentity { control_planes: public, ..hub.identity() });
    let proxy = Proxy::start(&folders);
    // The health page comes after the identity was read.
    soon("health", async || get(proxy.mesh, "127.0.0.1", "/health").await.contains("ok")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(get(proxy.http, "app.test", "/").await.ends_with("hello"));
    proxy.stop().await;
}

#[tokio::test]
async fn a_pushed_spec_is_acknowledged_once_it_is_served_and_survives_the_control_plane() {
    let (folders, app) = (Folders::new(), App::start("hello").await);
    let mut hub = Hub::start().await;
    folders.write_identity(&hub.identity());
    let proxy = Proxy::start(&folders);
    let mut agent = hub.connection().await;
    let spec = ProxySpec { routes: vec![route("app.test", app.address).into()], ..ProxySpec::default() };
    agent.push(3, spec.clone()).await;
    assert_eq!(agent.applied().await, 3);
    assert!(get(proxy.http, "app.test", "/").await.ends_with("hello"), "served when acknowledged");
    // The desired state of another kind, and a spec that cannot be served: the last good one stays.
    agent
        .say(FromControlPlane::Spec(Versioned { generation: 4, spec: Spec::Worker(WorkerSpec::default()) }))
        .await;
    let bad = ProxySpec { routes: vec![route("NOT A HOST", app.address).into()], ..ProxySpec::default() };
    agent.push(5, bad).await;
    agent.push(6, spec).await;
    assert_eq!(agent.applied().await, 6);
    drop(agent);
    drop(hub);
    proxy.stop().await;
    let proxy = Proxy::start(&folders);
    soon("an answer", async || get(proxy.http, "app.test", "/").await.ends_with("hello")).await;
    proxy.stop().await;
}

#[tokio::test]
async fn health_and_metrics_answer_on_the_mesh_address() {
    let (folders, app) = (Folders::new(), App::start("hello").await);
    let mut hub = Hub::start().await;
    folders.write_identity(&hub.identity());
    let proxy = Proxy::start(&folders);
    let mut agent = hub.connection().await;
    agent
        .push(1, ProxySpec { routes: vec![route("app.test", app.address).into()], ..ProxySpec::default() })
        .await;
    assert_eq!(agent.applied().await, 1);
    get(proxy.http, "app.test", "/").await;
    soon("health", async || get(proxy.mesh, "127.0.0.1", "/health").await.contains(r#""status":"ok""#)).await;
    let metrics = get(proxy.mesh, "127.0.0.1", "/metrics").await;
    let line = r#"wisehosting_ingress_requests_total{app="app.test",status="2xx"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
    proxy.stop().await;
}

#[tokio::test]
async fn hello_names_the_generation_on_disk() {
    let folders = Folders::new();
    folders.write_routes(&Versioned { generation: 9, spec: ProxySpec::default() });
    let mut hub = Hub::start().await;
    folders.write_identity(&hub.identity());
    let proxy = Proxy::start(&folders);
    let agent = hub.connection().await;
    assert_eq!(agent.hello.generation, 9);
    proxy.stop().await;
}

fn build() -> Job {
    let build = Build {
        deployment_id: DeploymentId::new(),
        app_id: AppId::new(),
        app: "app".to_owned(),
        source: Source::Image { reference: "app:1".to_owned() },
        containerfile: Box::default(),
        limits: BuildLimits { memory_mb: 1, cpu_millis: 1, timeout_s: 1, source_bytes: 1 },
        no_cache: false,
        tag: "app:1".to_owned(),
        predefined: std::collections::BTreeMap::new(),
        secrets: Box::default(),
    };
    Job { id: JobId::new(), work: Work::Build(Box::new(build)) }
}

#[tokio::test]
async fn a_job_of_another_agent_fails_in_words_and_an_unknown_cancel_is_answered() {
    let folders = Folders::new();
    let mut hub = Hub::start().await;
    folders.write_identity(&hub.identity());
    let proxy = Proxy::start(&folders);
    let mut agent = hub.connection().await;
    agent.say(FromControlPlane::JobStart(build())).await;
    let Outcome::Failed(failure) = agent.outcome().await else { panic!("not failed") };
    assert_eq!(failure.code, "wrong_agent");
    agent.cancel_unknown().await;
    assert!(matches!(agent.outcome().await, Outcome::Cancelled));
    proxy.stop().await;
}

#[tokio::test]
async fn a_taken_port_ends_the_start_with_the_key_and_the_way_to_the_holder() {
    let folders = Folders::new();
    let holder = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("free port");
    let ended = Proxy::run_to_end(&folders, holder.local_addr().expect("address")).await;
    assert!(!ended.status.success());
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("`http`") && said.contains("ss -ltnp"), "{said}");
}

#[tokio::test]
async fn a_stop_lets_a_running_request_finish() {
    let (folders, app) = (Folders::new(), App::slow("late but whole", Duration::from_millis(800)).await);
    let spec = ProxySpec { routes: vec![route("app.test", app.address).into()], ..ProxySpec::default() };
    folders.write_routes(&Versioned { generation: 1, spec });
    let proxy = Proxy::start(&folders);
    soon("an answer", async || get(proxy.http, "nobody.test", "/").await.starts_with("HTTP/1.1 404")).await;
    let http = proxy.http;
    let mut requests = tokio::task::JoinSet::new();
    requests.spawn(async move { get(http, "app.test", "/").await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    proxy.stop().await;
    let answer = requests.join_next().await.expect("one").expect("no panic");
    assert!(ends_with(&answer, "late but whole"), "{answer}");
}
