//! Nodes that go and come back, over real sockets and the tables.

use std::net::SocketAddr;

use axum::routing::get;
use daemon::reconcile::Reconciler;
use futures_util::SinkExt;
use protocol::enrol::Joined;
use protocol::envelope::MessageId;
use protocol::identity::AgentKind;
use protocol::message::{FromAgent, FromControlPlane};
use protocol::report::Heartbeat;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_tungstenite::tungstenite::Message;

use super::breaker;
use crate::hub::tests::{Mesh, hello, nothing};
use crate::nodes::ports;
use crate::reconcile::node_health::NodeHealth;
use crate::reconcile::notices::Notices;
use crate::testing::{Answer, TestApp};

/// A control plane with the worker `w1`, whose mesh address is on loopback. `place` is its last number: tests run beside
/// each other.
struct World {
    mesh: Mesh,
    w1: Joined,
    address: SocketAddr,
}

impl World {
    async fn new(pool: PgPool, place: u8) -> Self {
        let mesh = Mesh::new(pool).await;
        let w1 = mesh.join("w1", &["worker"]).await;
        let address = SocketAddr::from(([127, 78, 0, place], ports::WORKER));
        sqlx::query("update nodes set mesh_address = $1")
            .bind(crate::nodes::inet([127, 78, 0, place].into()))
            .execute(&mesh.test.app.db)
            .await
            .expect("address");
        Self { mesh, w1, address }
    }

    /// `w1` has connected once, and nobody holds its connection any more.
    async fn lost(pool: PgPool, place: u8) -> Self {
        let world = Self::new(pool, place).await;
        let mut agent = world.mesh.dial(&world.w1, AgentKind::Worker, hello(Vec::new())).await;
        agent.settle(&nothing()).await;
        world.cut().await;
        world
    }

    async fn sql(&self, text: &'static str) {
        sqlx::query(text).execute(&self.mesh.test.app.db).await.expect(text);
    }

    async fn cut(&self) {
        self.sql("update agents set connected_to = null").await;
    }

    /// A pass, with a check due.
    async fn pass(&self) {
        self.sql("update nodes set next_check_at = now()").await;
        NodeHealth(self.mesh.test.app.clone()).pass().await.expect("pass");
    }

    async fn node(&self) -> Value {
        self.mesh.test.owner().await.get("/api/v1/nodes/w1").await.expect(200)
    }

    async fn standing(&self) -> (String, i64) {
        let node = self.node().await;
        let text = node["status"].as_str().expect("status").to_owned();
        (text, node["health"]["failures"].as_i64().expect("number"))
    }

    /// From and to, and why; the newest first.
    async fn history(&self) -> Vec<(String, String)> {
        let page = self.mesh.test.owner().await.get("/api/v1/nodes/w1/history").await.expect(200);
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let items = page["items"].as_array().expect("items");
        let way = |item: &Value| format!("{} → {}", text(&item["from"]), text(&item["to"]));
        items.iter().map(|item| (way(item), text(&item["reason"]))).collect()
    }

    async fn notices(&self) -> Vec<Value> {
        Notices(self.mesh.test.app.clone()).pass().await.expect("pass");
        let page = self.mesh.test.owner().await.get("/api/v1/notices").await.expect(200);
        page["items"].as_array().expect("items").clone()
    }

    /// The worker answers checks from now on, until the set is dropped.
    async fn answers(&self) -> tokio::task::JoinSet<()> {
        let listener = tokio::net::TcpListener::bind(self.address).await.expect("bind");
        let router = axum::Router::new().route("/health", get(|| async { "ok" }));
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.expect("serves") });
        tasks
    }

    /// A heartbeat as Selfhostly's nodes send it.
    async fn heartbeat(&self, place: &str, id: &str, key: &str) -> (u16, Value) {
        let url = format!("http://{}/api/internal/nodes/{place}/heartbeat", self.mesh.address);
        let http = daemon::http::client(&daemon::http::ClientOptions::default()).expect("client");
        let request = http.post(url).header("X-Node-ID", id).header("X-Node-API-Key", key);
        let answer = request.send().await.expect("answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_node_that_is_gone_is_offline_then_unreachable_and_comes_back_with_the_reasons(pool: PgPool) {
    let world = World::lost(pool, 1).await;
    assert_eq!(world.node().await["health"]["missing_since"], Value::Null);
    for failures in 1..=11 {
        world.pass().await;
        let status = match failures {
            1..=2 => "online",
            3..=10 => "offline",
            _ => "unreachable",
        };
        assert_eq!(world.standing().await, (status.to_owned(), failures));
        if failures == 3 {
            let [told] = &world.notices().await[..] else { panic!("one") };
            assert_eq!((&told["kind"], &told["severity"]), (&json!("node-gone"), &json!("warning")));
        }
    }
    let node = world.node().await;
    let health = &node["health"];
    assert!(health["error"].as_str().expect("error").contains("refuses connections"), "{health}");
    assert!(health["missing_since"].is_string() && health["next_check_at"].is_string(), "{health}");
    assert_eq!(world.notices().await[0]["severity"], "critical");

    let mut agent = world.mesh.dial(&world.w1, AgentKind::Worker, hello(Vec::new())).await;
    agent.settle(&nothing()).await;
    let node = world.node().await;
    assert_eq!((&node["status"], &node["health"]["failures"]), (&json!("online"), &json!(0)));
    for none in ["missing_since", "next_check_at", "error"] {
        assert_eq!(node["health"][none], Value::Null, "{none}");
    }
    assert_eq!(world.notices().await, [Value::Null; 0], "resolved");
    let history = world.history().await;
    let ways: Vec<&str> = history.iter().map(|(way, _)| way.as_str()).collect();
    assert_eq!(
        ways,
        ["unreachable → online", "offline → unreachable", "online → offline", "joining → online"]
    );
    assert_eq!(history[0].1, "its worker agent is connected");
    assert!(history[2].1.contains("3 checks in a row failed: 127.78.0.1:8090 refuses"), "{history:?}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_answer_to_a_check_takes_failures_back_but_the_node_is_still_missing(pool: PgPool) {
    let mut world = World::lost(pool, 2).await;
    world.sql(r#"update nodes set host = host || '{"worker_port": 8190}'"#).await;
    world.address.set_port(8190);
    for _ in 0..3 {
        world.pass().await;
    }
    assert_eq!(world.standing().await, ("offline".to_owned(), 3));
    let _answers = world.answers().await;
    world.pass().await;
    assert_eq!(world.standing().await, ("online".to_owned(), 0));
    assert!(world.node().await["health"]["missing_since"].is_string(), "nobody is connected");
    assert_eq!(world.history().await[0].1, "it answered a check at 127.78.0.2:8190");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn two_replicas_that_check_at_once_count_one_failure(pool: PgPool) {
    let world = World::lost(pool.clone(), 3).await;
    let other = TestApp::new(pool).await;
    world.sql("update nodes set missing_since = now(), next_check_at = now()").await;
    let (mut here, mut there) = (NodeHealth(world.mesh.test.app.clone()), NodeHealth(other.app.clone()));
    let (first, second) = tokio::join!(here.pass(), there.pass());
    first.and(second).expect("passes");
    assert_eq!(world.standing().await, ("online".to_owned(), 1));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_check_waits_for_its_time_and_a_person_does_not(pool: PgPool) {
    let world = World::lost(pool, 4).await;
    world.pass().await;
    NodeHealth(world.mesh.test.app.clone()).pass().await.expect("pass");
    assert_eq!(world.standing().await.1, 1, "the next one is in 30 s");
    let owner = world.mesh.test.owner().await;
    let check = async || -> Answer { owner.post("/api/v1/nodes/w1/check", Value::Null).await };
    assert_eq!(check().await.expect(200)["health"]["failures"], 2);
    let alias = owner.post("/api/nodes/w1/check", Value::Null).await.expect(200);
    assert_eq!(
        (&alias["node"]["status"], &alias["node"]["consecutive_failures"]),
        (&json!("offline"), &json!(3))
    );
    assert!(alias["message"].as_str().expect("text").starts_with("Health check failed: 127.78"), "{alias}");
    let answers = world.answers().await;
    let alias = owner.post("/api/nodes/w1/check", Value::Null).await.expect(200);
    assert_eq!(alias["message"], "Health check completed successfully");
    assert_eq!((&alias["node"]["name"], &alias["node"]["status"]), (&json!("w1"), &json!("online")));
    drop(answers);
    let limit = &world.mesh.test.app.limits.node_checks;
    while limit.check(&world.w1.identity.node_id).is_ok() {}
    check().await.expect(429);
    world.mesh.test.anonymous().post("/api/nodes/w1/check", Value::Null).await.expect(401);
    let audit = owner.get("/api/v1/audit").await.expect(200).to_string();
    assert!(audit.contains("node.check"), "{audit}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_heartbeat_over_http_needs_the_nodes_own_key_and_brings_it_back(pool: PgPool) {
    let world = World::lost(pool, 5).await;
    for _ in 0..3 {
        world.pass().await;
    }
    let (id, key) = (world.w1.identity.node_id.to_string(), world.w1.identity.api_key.expose().to_owned());
    let other = world.mesh.join("w2", &["worker"]).await.identity;
    let other_id = other.node_id.to_string();
    for (place, claimed, key, status) in [
        (&id, &id, "wrong", 401),
        (&id, &id, other.api_key.expose(), 401),
        (&id, &other_id, &key, 401),
        (&other_id, &id, &key, 403),
    ] {
        let (got, body) = world.heartbeat(place, claimed, key).await;
        assert_eq!(got, status, "{body}");
        assert!(body["hint"].is_string(), "{body}");
    }
    assert_eq!(world.standing().await, ("offline".to_owned(), 3));
    let (status, body) = world.heartbeat(&id, &id, &key).await;
    assert_eq!((status, body), (200, json!({ "message": "Heartbeat received", "nodeID": id })));
    assert_eq!(world.standing().await, ("online".to_owned(), 0));
    assert_eq!(world.history().await[0].1, "it sent a heartbeat over HTTP");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_connection_without_heartbeats_does_not_count(pool: PgPool) {
    let world = World::new(pool, 6).await;
    let mut agent = world.mesh.dial(&world.w1, AgentKind::Worker, hello(Vec::new())).await;
    agent.settle(&nothing()).await;
    world.pass().await;
    assert_eq!(world.node().await["health"]["missing_since"], Value::Null);
    world.sql("update agents set connected_at = now() - interval '1 hour'").await;
    world.pass().await;
    assert_eq!(world.standing().await, ("online".to_owned(), 1));
    let beat = Heartbeat { at: chrono::Utc::now(), load: 0.0, memory_used_mb: 1, disk_used_percent: 1.0 };
    agent.say(&FromAgent::Heartbeat(beat)).await;
    agent.settle(&nothing()).await;
    world.pass().await;
    let node = world.node().await;
    assert_eq!((&node["health"]["missing_since"], &node["health"]["failures"]), (&Value::Null, &json!(0)));
    assert!(node["health"]["clock_offset_ms"].as_i64().expect("measured").abs() < 10_000, "{node}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_node_whose_clock_is_off_is_named_with_the_remedy(pool: PgPool) {
    let world = World::new(pool, 7).await;
    let mut agent = world.mesh.dial(&world.w1, AgentKind::Worker, hello(Vec::new())).await;
    let wrong = chrono::Utc::now().timestamp_millis() - 370_000;
    let message = nothing();
    let text = agent.sender.seal(message.kind(), &MessageId::random(), message.payload(), wrong);
    agent.socket.send(Message::text(text)).await.expect("sent");
    agent
        .until(|message| match message {
            FromControlPlane::Refused(refused) => Some(refused),
            _ => None,
        })
        .await;
    let node = world.node().await;
    let warnings = node["warnings"].to_string();
    assert!(warnings.contains("its clock is 6 min 1") && warnings.contains("behind"), "{warnings}");
    assert!(warnings.contains("chrony") && warnings.contains("its worker agent is refused"), "{warnings}");
    let [told] = &world.notices().await[..] else { panic!("one") };
    assert_eq!((&told["kind"], &told["severity"]), (&json!("node-clock"), &json!("critical")));

    let mut agent = world.mesh.dial(&world.w1, AgentKind::Worker, hello(Vec::new())).await;
    agent.settle(&nothing()).await;
    assert_eq!(world.node().await["warnings"], json!([]));
    assert_eq!(world.notices().await, [Value::Null; 0]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_node_that_is_gone_is_not_dialled(pool: PgPool) {
    let world = World::lost(pool, 8).await;
    let app = &world.mesh.test.app;
    let node = world.w1.identity.node_id;
    let mut conn = app.db.acquire().await.expect("connection");
    breaker::admit(app, &mut conn, node).await.expect("not known to be gone");
    for _ in 0..3 {
        world.pass().await;
    }
    let refused = breaker::admit(app, &mut conn, node).await.expect_err("gone");
    let said = format!("{refused:?}");
    assert!(said.contains("w1 is offline, missing since") && said.contains("wh node check w1"), "{said}");
    let mut agent = world.mesh.dial(&world.w1, AgentKind::Worker, hello(Vec::new())).await;
    agent.settle(&nothing()).await;
    breaker::admit(app, &mut conn, node).await.expect("back");
    for _ in 0..3 {
        app.breakers.record(node, false);
    }
    let refused = format!("{:?}", breaker::admit(app, &mut conn, node).await.expect_err("open"));
    assert!(refused.contains("took none of the last 3 connections"), "{refused}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_history_is_in_pages_and_goes_after_its_time(pool: PgPool) {
    let world = World::new(pool, 9).await;
    world
        .sql(
            "insert into node_transitions (id, node_id, at, from_status, to_status, reason)
             select ('00000000-0000-7000-8000-00000000000' || number)::uuid, id, now() - number * interval '40 days',
                    'online', 'offline', number::text
             from nodes, generate_series(1, 3) as number",
        )
        .await;
    let owner = world.mesh.test.owner().await;
    let page = async |query: &str| owner.get(&format!("/api/v1/nodes/w1/history{query}")).await.expect(200);
    let first = page("?limit=2").await;
    assert_eq!((&first["items"][0]["reason"], &first["items"][1]["reason"]), (&json!("3"), &json!("2")));
    let rest = page(&format!("?limit=2&cursor={}", first["next"].as_str().expect("more"))).await;
    assert_eq!((&rest["items"][0]["reason"], &rest["next"]), (&json!("1"), &Value::Null));
    let mut conn = world.mesh.test.app.db.acquire().await.expect("connection");
    crate::nodes::store::checks::sweep(&mut conn, 90).await.expect("sweep");
    assert_eq!(page("").await["items"].as_array().expect("items").len(), 2);
    owner.get("/api/v1/nodes/none/history").await.expect(404);
}
