//! Joining, against a control plane in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use protocol::identity::{ApiKey, Role};
use protocol::ids::NodeId;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

const KEY: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

pub(super) fn joined(api_key: &ApiKey) -> Joined {
    let peer = |name: &str, last: u8| MeshPeer {
        name: name.to_owned(),
        public_key: KEY.to_owned(),
        mesh_address: [10, 50, 0, last].into(),
        endpoint: None,
    };
    Joined {
        identity: NodeIdentity {
            node_id: NodeId::new(),
            name: "w2".to_owned(),
            mesh_address: [10, 50, 0, 12].into(),
            api_key: api_key.clone(),
            control_planes: vec!["http://10.50.0.1:8081".to_owned()],
        },
        prefix: 24,
        peers: vec![peer("cp", 1), peer("w1", 11)],
    }
}

/// Answers each enrolment with what `answer` says about the count of the try and the bearer.
pub(super) async fn control_plane(
    tasks: &mut JoinSet<()>,
    answer: impl Fn(u32, &str) -> axum::response::Response + Clone + Send + Sync + 'static,
) -> Url {
    let tries = Arc::new(AtomicU32::new(0));
    let handler = move |headers: HeaderMap, body: String| async move {
        let tries = tries.fetch_add(1, Ordering::Relaxed) + 1;
        let bearer = headers.get("authorization").map(|value| value.to_str().expect("text").to_owned());
        assert!(body.contains("\"public_key\":\""), "the public key is sent: {body}");
        answer(tries, bearer.as_deref().unwrap_or_default())
    };
    let router = axum::Router::new()
        .route("/v1/nodes/enroll", post(handler.clone()))
        .route("/v1/nodes/declare", post(handler));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    tasks.spawn(async move { axum::serve(listener, router).await.expect("serves") });
    url.parse().expect("URL")
}

fn config(folder: &Path) -> Config {
    config_at(folder, "https://cp")
}

pub(super) fn config_at(folder: &Path, url: &str) -> Config {
    let text = format!(
        "state_dir = {folder:?}\n[node]\nname = \"w2\"\nroles = [\"worker\"]\n[control_plane]\nurl = \"{url}\"\n"
    );
    let config: Config = toml::from_str(&text).expect("configuration");
    assert_eq!(config.node.roles, [Role::Worker]);
    config
}

async fn enrol_at(folder: &Path, url: Url) -> anyhow::Result<Option<Place>> {
    daemon::crypto::install();
    let control_plane = ControlPlane { url, root_certificate: None };
    let stop = CancellationToken::new();
    enrol(&config(folder), &control_plane, KEY, &Credentials::default(), &stop).await
}

#[tokio::test]
async fn a_host_joins_after_a_failure_and_remembers_its_place_and_the_token_is_gone() {
    let folder = tempfile::tempdir().expect("temp dir");
    std::fs::write(folder.path().join(JOIN_TOKEN), "whj_1\n").expect("write");
    let (api_key, mut tasks) = (ApiKey::generate(), JoinSet::new());
    let url = control_plane(&mut tasks, move |tries, bearer| {
        assert_eq!(bearer, "Bearer whj_1");
        if tries == 1 {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        (StatusCode::CREATED, Json(joined(&api_key))).into_response()
    })
    .await;
    let place_now = enrol_at(folder.path(), url).await.expect("joined").expect("not stopped");
    assert_eq!(place_now.address.to_string(), "10.50.0.12/24");
    let names: Vec<_> = place_now.bootstrap.iter().map(|peer| peer.name.as_str()).collect();
    assert_eq!(names, ["cp"], "only the control planes' peers are kept whatever comes");
    let place_later = place(folder.path()).expect("readable").expect("joined");
    assert_eq!(place_later.identity, place_now.identity);
    assert_eq!(place_later.bootstrap, place_now.bootstrap);
    assert!(!folder.path().join(JOIN_TOKEN).exists());
}

#[tokio::test]
async fn a_refused_token_is_not_asked_again_and_the_next_one_joins() {
    let folder = tempfile::tempdir().expect("temp dir");
    let token = folder.path().join(JOIN_TOKEN);
    std::fs::write(&token, "whj_1").expect("write");
    let (api_key, mut tasks) = (ApiKey::generate(), JoinSet::new());
    let url = control_plane(&mut tasks, move |tries, bearer| {
        if tries > 1 {
            assert_eq!(bearer, "Bearer whj_2", "a refused token is not asked for again");
            return (StatusCode::CREATED, Json(joined(&api_key))).into_response();
        }
        std::fs::write(&token, "whj_2").expect("write");
        let body = json!({ "code": "join_token_used", "message": "the token was used by w1" });
        (StatusCode::CONFLICT, Json(body)).into_response()
    })
    .await;
    enrol_at(folder.path(), url).await.expect("readable").expect("joined");
}

#[test]
fn a_refusal_says_what_to_do() {
    let refused = |code: &str| RequestError::Refused {
        url: "https://cp".to_owned(),
        status: 409,
        code: code.to_owned(),
        message: String::new(),
        hint: None,
    };
    assert!(remedy(&refused("join_token_used")).contains("wh node add"));
    assert!(remedy(&refused("name_taken")).contains("node.name"));
}

#[tokio::test]
async fn a_host_waits_for_its_token() {
    let folder = tempfile::tempdir().expect("temp dir");
    let (api_key, mut tasks) = (ApiKey::generate(), JoinSet::new());
    let url = control_plane(&mut tasks, move |_, bearer| {
        assert_eq!(bearer, "Bearer whj_late");
        (StatusCode::CREATED, Json(joined(&api_key))).into_response()
    })
    .await;
    let token = folder.path().join(JOIN_TOKEN);
    let put = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        std::fs::write(token, "whj_late\n").expect("write");
    };
    let (place, ()) = tokio::join!(enrol_at(folder.path(), url), put);
    place.expect("readable").expect("joined");
}

#[tokio::test]
async fn a_declared_host_asks_until_the_control_plane_knows_it() {
    daemon::crypto::install();
    let folder = tempfile::tempdir().expect("temp dir");
    let (api_key, mut tasks) = (ApiKey::generate(), JoinSet::new());
    let url = control_plane(&mut tasks, move |tries, _| match tries {
        1 => StatusCode::FORBIDDEN.into_response(),
        _ => Json(joined(&api_key)).into_response(),
    })
    .await;
    let declared = Declared {
        address: "10.50.0.12/24".parse().expect("address"),
        // The first one does not exist.
        control_planes: vec!["http://127.0.0.1:1".parse().expect("URL"), url],
        peers: Vec::new(),
    };
    let stop = CancellationToken::new();
    let identity = declare(&config(folder.path()), &declared, KEY, &stop).await.expect("declared");
    assert_eq!(identity, identity::read(folder.path()).expect("readable"));
}

#[tokio::test]
async fn an_agent_that_waits_for_its_token_goes_on_when_the_command_has_joined() {
    let folder = tempfile::tempdir().expect("temp dir");
    let mut tasks = JoinSet::new();
    let url = control_plane(&mut tasks, |_, _| unreachable!("the agent has no token")).await;
    let key = ApiKey::generate();
    let joining = async {
        tokio::task::yield_now().await;
        keep(folder.path(), joined(&key)).expect("kept");
    };
    let (place, ()) = tokio::join!(enrol_at(folder.path(), url), joining);
    assert_eq!(place.expect("readable").expect("joined").identity.api_key, key);
}

#[test]
fn another_key_of_a_control_plane_is_known_without_the_desired_state() {
    let folder = tempfile::tempdir().expect("temp dir");
    keep(folder.path(), joined(&ApiKey::generate())).expect("kept");
    let read = || place(folder.path()).expect("readable").expect("joined").bootstrap;
    let mut bootstrap = read();
    let mut peers = joined(&ApiKey::generate()).peers;
    follow_control_planes(folder.path(), &mut bootstrap, &peers).expect("nothing to do");
    assert_eq!(read()[0].public_key, KEY);
    for peer in &mut peers {
        peer.public_key = KEY.replace('x', "y");
    }
    follow_control_planes(folder.path(), &mut bootstrap, &peers).expect("written");
    assert_eq!(read(), bootstrap);
    assert_eq!((bootstrap.len(), bootstrap[0].public_key.as_str()), (1, peers[0].public_key.as_str()));
}
