//! Another key for a node's tunnel, from the asking to its end, as the control plane sees it.

use chrono::Utc;
use daemon::reconcile::Reconciler as _;
use protocol::identity::AgentKind;
use protocol::message::FromAgent;
use protocol::report::{MeshReport, NextKey};
use protocol::spec::MeshSpec;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use super::{rotations, store};
use crate::hub::tests::{Link, Mesh, hello, nothing, public_key};
use crate::nodes;
use crate::plan;
use crate::reconcile::mesh_keys::MeshKeys;
use crate::testing::{Client, TestApp};

const NAMES: [&str; 2] = ["w1", "w2"];

struct Fleet {
    mesh: Mesh,
    agents: Vec<Link>,
    owner: Client,
}

impl Fleet {
    async fn new(pool: PgPool) -> Self {
        let mesh = Mesh::new(pool).await;
        let mut agents = Vec::new();
        for name in NAMES {
            let joined = mesh.join(name, &["worker"]).await;
            agents.push(mesh.dial(&joined, AgentKind::Mesh, hello(Vec::new())).await);
        }
        let owner = mesh.test.owner().await;
        let mut fleet = Self { mesh, agents, owner };
        for name in NAMES {
            fleet.report(name, |_| {}).await;
        }
        fleet
    }

    /// The node reports, under the key with which it joined unless `change` says another one.
    async fn report(&mut self, name: &str, change: impl FnOnce(&mut MeshReport)) {
        let mut report =
            MeshReport { at: Some(Utc::now()), public_key: Some(public_key(name)), ..MeshReport::default() };
        change(&mut report);
        let index = NAMES.iter().position(|known| *known == name).expect("a node");
        self.agents[index].say(&FromAgent::MeshReport(report)).await;
        self.agents[index].settle(&nothing()).await;
        MeshKeys(self.mesh.test.app.clone()).pass().await.expect("a pass");
    }

    async fn spec(&self, name: &str) -> MeshSpec {
        let mut conn = self.mesh.test.app.db.acquire().await.expect("a connection");
        let all = nodes::store::all(&mut conn).await.expect("nodes");
        let ways = store::ways(&mut conn).await.expect("ways");
        let id = all.iter().find(|node| node.name == name).expect("a node").id;
        plan::mesh::spec(id, &all, &ways)
    }

    async fn ask(&self, body: Value) -> Value {
        self.owner.post("/api/v1/mesh/rotations", body).await.expect(202)
    }

    /// What `GET /mesh` tells of the node.
    async fn node(&self, name: &str) -> Value {
        let told = self.owner.get("/api/v1/mesh").await.expect(200);
        let nodes = told["nodes"].as_array().expect("nodes").clone();
        nodes.into_iter().find(|node| node["name"] == name).expect("a node")
    }

    /// w1 has been asked and has told its next key.
    async fn announced(&mut self) -> NextKey {
        self.ask(json!({ "nodes": ["w1"] })).await;
        let change = self.spec("w1").await.key_change.expect("asked");
        let next = NextKey { rotation: change.rotation, public_key: public_key("w1 next") };
        let told = next.clone();
        self.report("w1", |report| report.next_key = Some(told)).await;
        next
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_key_is_announced_taken_used_and_then_known_as_the_nodes(pool: PgPool) {
    let mut fleet = Fleet::new(pool).await;
    fleet.ask(json!({ "nodes": ["w1"] })).await;
    let asked = fleet.spec("w1").await.key_change.expect("asked");
    assert_eq!(asked.to, None);
    assert!(fleet.spec("w2").await.next_keys.is_empty(), "nobody knows of it yet");
    fleet.ask(json!({ "nodes": ["w1"] })).await;
    assert_eq!(fleet.spec("w1").await.key_change, Some(asked), "asked once");

    let next = fleet.announced().await.public_key;
    let spec = fleet.spec("w2").await;
    assert_eq!(spec.next_keys.get(&public_key("w1")), Some(&next));
    assert_eq!(spec.peers[0].public_key, public_key("w1"), "the old one is in use");
    assert_eq!(fleet.spec("w1").await.key_change.and_then(|change| change.to), None, "w2 does not take it");
    let told = fleet.node("w1").await;
    assert_eq!(
        (&told["rotation"]["stage"], &told["rotation"]["waits_for"]),
        (&json!("announced"), &json!(["w2"]))
    );

    let taken = next.clone();
    fleet.report("w2", |report| report.takes = vec![taken]).await;
    assert_eq!(fleet.spec("w1").await.key_change.and_then(|change| change.to), Some(next.clone()));
    let late = fleet.owner.delete("/api/v1/mesh/rotations/w1").await.expect(409);
    assert_eq!(late["code"], "rotation_ended");
    assert_eq!(fleet.node("w1").await["rotation"]["stage"], "turning");

    // A report from before the change is still on its way.
    fleet.report("w1", |_| {}).await;
    assert!(fleet.spec("w2").await.next_keys.contains_key(&public_key("w1")), "both are taken");
    let used = next.clone();
    fleet.report("w1", |report| report.public_key = Some(used)).await;
    let spec = fleet.spec("w2").await;
    assert_eq!((spec.peers[0].public_key.as_str(), spec.next_keys.len()), (next.as_str(), 0));
    assert_eq!(fleet.spec("w1").await.key_change, None);
    let told = fleet.node("w1").await;
    assert_eq!((&told["rotation"], &told["public_key"]), (&Value::Null, &json!(next)));
    let events = fleet.owner.get("/api/v1/audit").await.expect(200).to_string();
    assert!(events.contains("mesh.rotate") && events.contains("mesh.change-key"), "{events}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_host_that_lost_its_next_key_announces_another_one_and_foreign_keys_are_refused(pool: PgPool) {
    let mut fleet = Fleet::new(pool).await;
    let next = fleet.announced().await;
    fleet.report("w2", |report| report.takes = vec![public_key("w1 next")]).await;
    assert!(fleet.spec("w1").await.key_change.expect("asked").to.is_some());
    for bad in [
        NextKey { public_key: public_key("w2"), ..next.clone() },
        NextKey { public_key: "none".to_owned(), ..next.clone() },
        NextKey { rotation: Uuid::now_v7(), public_key: public_key("other") },
    ] {
        fleet.report("w1", |report| report.next_key = Some(bad)).await;
        let known = fleet.spec("w2").await.next_keys;
        assert_eq!(known.get(&public_key("w1")), Some(&next.public_key), "as before");
    }
    let another = NextKey { public_key: public_key("another"), ..next };
    fleet.report("w1", |report| report.next_key = Some(another)).await;
    assert_eq!(fleet.spec("w2").await.next_keys.get(&public_key("w1")), Some(&public_key("another")));
    assert_eq!(fleet.spec("w1").await.key_change.expect("asked").to, None, "w2 does not take this one yet");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn who_is_asked_must_be_named_and_may_keep_the_key(pool: PgPool) {
    let mut fleet = Fleet::new(pool).await;
    for body in [json!({}), json!({ "nodes": ["w1"], "all": true })] {
        let refused = fleet.owner.post("/api/v1/mesh/rotations", body).await.expect(422);
        assert_eq!(refused["field"], "nodes");
    }
    let missing =
        fleet.owner.post("/api/v1/mesh/rotations", json!({ "nodes": ["w1", "w9"] })).await.expect(404);
    assert!(missing["hint"].is_string(), "{missing}");
    assert_eq!(fleet.spec("w1").await.key_change, None, "all or nobody");
    assert_eq!(fleet.owner.delete("/api/v1/mesh/rotations/w1").await.expect(409)["code"], "rotation_ended");
    assert_eq!(fleet.ask(json!({ "all": true })).await["nodes"], json!(["w1", "w2"]));
    fleet.announced().await;
    fleet.owner.delete("/api/v1/mesh/rotations/w1").await.expect(204);
    assert_eq!(fleet.spec("w1").await.key_change, None);
    assert!(fleet.spec("w2").await.next_keys.is_empty());

    fleet.owner.post("/api/v1/nodes/w2/revoke", json!({ "confirm": "w2" })).await.expect(200);
    let refused = fleet.owner.post("/api/v1/mesh/rotations", json!({ "nodes": ["w2"] })).await.expect(409);
    assert_eq!(refused["code"], "node_revoked");
    assert!(fleet.spec("w1").await.next_keys.is_empty());
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_rotation_that_does_not_go_on_is_told_with_who_it_waits_for(pool: PgPool) {
    let mut fleet = Fleet::new(pool).await;
    fleet.announced().await;
    let mut conn = fleet.mesh.test.app.db.acquire().await.expect("a connection");
    assert!(rotations::troubles(&mut conn).await.expect("troubles").is_empty(), "it takes a moment");
    sqlx::query("update mesh_rotations set asked_at = now() - interval '20 min'")
        .execute(&mut *conn)
        .await
        .expect("later");
    let troubles = rotations::troubles(&mut conn).await.expect("troubles");
    assert_eq!(troubles.len(), 1);
    assert!(troubles[0].text.contains("w1") && troubles[0].text.contains("waits for w2"), "{troubles:?}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn keys_of_an_age_are_replaced_where_that_is_wanted(pool: PgPool) {
    let fill = "insert into nodes (id, name, roles, origin, mesh_address, public_key, created_at, status, public_key_since)
                select gen_random_uuid(), name, '{worker}', 'enrolled', inet '10.50.0.10' + number, name,
                       now() - interval '91 days', 'online', since
                from (values ('old', 1, null), ('rotated', 2, now())) as given (name, number, since)";
    sqlx::query(fill).execute(&pool).await.expect("nodes");
    for (days, expected) in [(None, vec![]), (Some(120), vec![]), (Some(90), vec!["old".to_owned()])] {
        let test = TestApp::with(pool.clone(), |config| config.mesh.rotate_after_days = days).await;
        MeshKeys(test.app.clone()).pass().await.expect("a pass");
        let asked: Vec<String> =
            sqlx::query_scalar("select name from nodes join mesh_rotations on node_id = id")
                .fetch_all(&pool)
                .await
                .expect("names");
        assert_eq!(asked, expected, "{days:?}");
    }
}
