use std::collections::{BTreeSet, HashSet};
use std::net::Ipv4Addr;

use proptest::prelude::*;
use protocol::identity::AgentKind;
use protocol::ids::NodeId;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::enrol::lowest_free;
use crate::config::DeclaredNode;
use crate::hub::tests::{Mesh, public_key};
use crate::testing::TestApp;

async fn token(test: &TestApp, body: Value) -> String {
    let made = test.owner().await.post("/api/v1/node-tokens", body).await.expect(201);
    made["token"].as_str().expect("token").to_owned()
}

fn request(name: &str, key: &str, roles: &[&str]) -> Value {
    json!({ "name": name, "roles": roles, "public_key": public_key(key), "endpoint": "198.51.100.30:51821" })
}

async fn enrol(test: &TestApp, token: &str, request: Value) -> (u16, Value) {
    let answer = test.with_token(token).post("/v1/nodes/enroll", request).await;
    (answer.status.as_u16(), answer.body)
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn every_refusal_of_a_join_token_says_what_to_do(pool: PgPool) {
    let test = TestApp::new(pool).await;
    let used = token(&test, json!({ "roles": ["worker"] })).await;
    assert_eq!(enrol(&test, &used, request("w1", "w1", &["worker"])).await.0, 201);
    let expired = token(&test, json!({ "roles": ["worker"] })).await;
    sqlx::query("update node_tokens set expires_at = now() - interval '1 s' where used_at is null")
        .execute(&test.app.db)
        .await
        .expect("expired");
    let fresh = token(&test, json!({ "roles": ["worker"] })).await;
    let named = token(&test, json!({ "roles": ["worker"], "name": "w9" })).await;
    for (token, request, status, code) in [
        ("whj_wrong", request("w2", "w2", &["worker"]), 401, "join_token_wrong"),
        (&used, request("w2", "w2", &["worker"]), 409, "join_token_used"),
        (&expired, request("w2", "w2", &["worker"]), 410, "join_token_expired"),
        (&fresh, request("w2", "w2", &["proxy"]), 403, "role_not_allowed"),
        (&named, request("w2", "w2", &["worker"]), 403, "role_not_allowed"),
        (&fresh, request("w1", "w2", &["worker"]), 409, "name_taken"),
        (&fresh, request("w2", "w1", &["worker"]), 409, "name_taken"),
        (&fresh, request("W 2", "w2", &["worker"]), 422, "invalid"),
    ] {
        let (got, body) = enrol(&test, token, request).await;
        assert_eq!((got, body["code"].as_str()), (status, Some(code)), "{body}");
        assert!(body["hint"].is_string(), "{body}");
    }
    assert_eq!(
        enrol(&test, &fresh, request("w2", "w2", &["worker"])).await.0,
        201,
        "refusals do not use it up"
    );
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_host_that_lost_the_answer_gets_a_new_key_for_the_same_node(pool: PgPool) {
    let test = TestApp::new(pool).await;
    let token = token(&test, json!({ "roles": ["worker"] })).await;
    let (_, first) = enrol(&test, &token, request("w1", "w1", &["worker"])).await;
    let (status, second) = enrol(&test, &token, request("w1", "w1", &["worker"])).await;
    assert_eq!(status, 201);
    let field = |joined: &Value, name: &str| joined["identity"][name].as_str().expect("text").to_owned();
    assert_eq!(field(&first, "node_id"), field(&second, "node_id"));
    assert_eq!(field(&first, "mesh_address"), field(&second, "mesh_address"));
    assert_ne!(field(&first, "api_key"), field(&second, "api_key"));
    let stored: Vec<String> =
        sqlx::query_scalar("select nodes::text from nodes").fetch_all(&test.app.db).await.expect("rows");
    assert!(!stored.concat().contains(&field(&second, "api_key")[4..]), "the key itself is not stored");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn nodes_that_join_at_once_never_share_an_address(pool: PgPool) {
    let test = TestApp::with(pool, |config| config.mesh.cidr = "10.50.0.0/28".parse().expect("cidr")).await;
    let mut tokens = Vec::new();
    for _ in 0..16 {
        tokens.push(token(&test, json!({ "roles": ["worker"] })).await);
    }
    let joins = tokens.iter().enumerate().map(|(index, token)| {
        let name = format!("w{index}");
        let request = request(&name, &name, &["worker"]);
        let test = &test;
        async move { enrol(test, token, request).await }
    });
    let answers = futures_util::future::join_all(joins).await;
    let addresses: Vec<&str> =
        answers.iter().filter_map(|(_, body)| body["identity"]["mesh_address"].as_str()).collect();
    let different: HashSet<&&str> = addresses.iter().collect();
    // 14 hosts in a /28, one of them the control plane's.
    assert_eq!((addresses.len(), different.len()), (13, 13));
    let full: Vec<&Value> =
        answers.iter().filter(|(status, _)| *status == 409).map(|(_, body)| body).collect();
    assert_eq!(full.len(), 3);
    assert!(full.iter().all(|body| body["code"] == "mesh_full"), "{full:?}");
}

/// A worker as the configuration names it.
fn declared(name: &str, key: &str, address: &str) -> DeclaredNode {
    DeclaredNode {
        name: name.to_owned(),
        roles: vec![protocol::identity::Role::Worker],
        public_key: public_key(key),
        mesh_address: address.parse().expect("address"),
        endpoint: None,
        labels: protocol::labels::Labels::new(),
        zone: None,
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn nodes_that_the_configuration_names_come_and_go_with_it(pool: PgPool) {
    let node = |name, address| declared(name, name, address);
    let nodes = vec![node("d1", "10.50.0.11"), node("d2", "10.50.0.12")];
    let test = TestApp::with(pool.clone(), |config| config.nodes = nodes).await;
    super::declared::sync_declared(&test.app).await.expect("sync");
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().expect("items");
        items.iter().map(|node| node["name"].as_str().expect("name").to_owned()).collect()
    };
    let owner = test.owner().await;
    assert_eq!(names(&owner.get("/api/v1/nodes").await.expect(200)), ["d1", "d2"]);
    let test = TestApp::with(pool, |config| config.nodes = vec![node("d2", "10.50.0.13")]).await;
    super::declared::sync_declared(&test.app).await.expect("sync");
    let list = test.owner().await.get("/api/v1/nodes").await.expect(200);
    assert_eq!(names(&list), ["d2"]);
    assert_eq!(list["items"][0]["mesh_address"], "10.50.0.13");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_rotated_key_of_a_declared_node_stays_until_the_configuration_names_another(pool: PgPool) {
    let sync = async |key: &str| {
        let node = declared("d1", key, "10.50.0.11");
        let test = TestApp::with(pool.clone(), |config| config.nodes = vec![node]).await;
        super::declared::sync_declared(&test.app).await.expect("sync");
        test.owner().await.get("/api/v1/nodes/d1").await.expect(200)["public_key"].clone()
    };
    assert_eq!(sync("first").await, public_key("first"));
    sqlx::query("update nodes set public_key = $1")
        .bind(public_key("rotated"))
        .execute(&pool)
        .await
        .expect("set");
    assert_eq!(sync("first").await, public_key("rotated"));
    assert_eq!(sync("rotated").await, public_key("rotated"), "pinned as it is");
    assert_eq!(sync("another host").await, public_key("another host"));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_host_that_joined_by_token_is_pinned_by_its_key_and_by_no_other(pool: PgPool) {
    let test = TestApp::new(pool.clone()).await;
    let token = token(&test, json!({ "roles": ["worker"] })).await;
    let (_, joined) = enrol(&test, &token, request("w1", "w1", &["worker"])).await;
    let pinned = async |key: &str| {
        let node = declared("w1", key, "10.50.0.2");
        let test = TestApp::with(pool.clone(), |config| config.nodes = vec![node]).await;
        super::declared::sync_declared(&test.app).await.expect("sync");
        test.owner().await.get("/api/v1/nodes/w1").await.expect(200)
    };
    assert_eq!(pinned("another").await["origin"], "enrolled");
    let node = pinned("w1").await;
    assert_eq!((&node["origin"], &node["public_key"]), (&json!("declared"), &json!(public_key("w1"))));
    assert_eq!(node["id"], joined["identity"]["node_id"], "the same node: its identity stays good");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn labels_begin_with_what_the_host_says_and_change_one_by_one(pool: PgPool) {
    let test = TestApp::new(pool).await;
    let token = token(&test, json!({ "roles": ["worker"] })).await;
    let mut request = request("w1", "w1", &["worker"]);
    request["labels"] = json!({ "Disk": "nvme" });
    let (status, body) = enrol(&test, &token, request.clone()).await;
    assert_eq!((status, &body["field"]), (422, &json!("labels")), "{body}");
    request["labels"] = json!({ "disk": "nvme", "rack": "3" });
    request["zone"] = json!("de.example.com");
    assert_eq!(enrol(&test, &token, request).await.0, 201);
    let owner = test.owner().await;
    let patched = async |body: Value| owner.patch("/api/v1/nodes/w1", body).await;
    let node = patched(json!({ "labels": { "rack": null, "disk": "ssd", "gpu": "" } })).await.expect(200);
    assert_eq!(node["labels"], json!({ "disk": "ssd", "gpu": "" }));
    assert_eq!((&node["zone"], &node["declared_labels"]), (&json!("de.example.com"), &json!([])));
    assert_eq!(patched(json!({ "zone": null })).await.expect(200)["zone"], Value::Null);
    for (body, field) in [
        (json!({ "labels": { "a b": "" } }), "labels"),
        (json!({ "labels": { "a": "v".repeat(64) } }), "labels"),
        (json!({ "zone": "here" }), "zone"),
    ] {
        assert_eq!(patched(body).await.expect(422)["field"], field);
    }
    assert_eq!(
        owner.get("/api/v1/nodes/w1").await.expect(200)["labels"],
        node["labels"],
        "refusals change nothing"
    );
    let events = owner.get("/api/v1/audit").await.expect(200).to_string();
    assert!(events.contains("node.update"), "{events}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn declared_labels_come_from_the_configuration_and_leave_the_others_alone(pool: PgPool) {
    let start = async |labels: Value, zone: Option<&str>| {
        let node = crate::config::DeclaredNode {
            name: "d1".to_owned(),
            roles: vec![protocol::identity::Role::Worker],
            public_key: public_key("d1"),
            mesh_address: "10.50.0.11".parse().expect("address"),
            endpoint: None,
            labels: serde_json::from_value(labels).expect("labels"),
            zone: zone.map(ToOwned::to_owned),
        };
        let test = TestApp::with(pool.clone(), |config| config.nodes = vec![node]).await;
        super::declared::sync_declared(&test.app).await.expect("sync");
        test.owner().await
    };
    let owner = start(json!({ "disk": "nvme", "old": "x" }), Some("de.example.com")).await;
    let node = owner.patch("/api/v1/nodes/d1", json!({ "labels": { "rack": "3" } })).await.expect(200);
    assert_eq!(node["labels"], json!({ "disk": "nvme", "old": "x", "rack": "3" }));
    assert_eq!(node["declared_labels"], json!(["disk", "old"]));
    for body in [json!({ "labels": { "disk": null } }), json!({ "zone": "at.example.com" })] {
        let refused = owner.patch("/api/v1/nodes/d1", body).await.expect(422);
        assert!(refused["hint"].as_str().is_some_and(|hint| hint.contains("configuration")), "{refused}");
    }
    let owner = start(json!({ "disk": "hdd" }), None).await;
    let node = owner.get("/api/v1/nodes/d1").await.expect(200);
    assert_eq!(node["labels"], json!({ "disk": "hdd", "rack": "3" }));
    assert_eq!((&node["declared_labels"], &node["zone"]), (&json!(["disk"]), &Value::Null));
}

/// An instance that should run on the node.
pub(super) async fn instance_on(mesh: &Mesh, node: NodeId) {
    let (app, deployment, _) = mesh.queue_build("hello").await;
    sqlx::query(
        "with release as (
             insert into releases (id, app_id, number, image_id, image_reference, settings, variables)
             values (gen_random_uuid(), $1, 1, 'sha256:1', 'hello:1', '{}', '') returning id
         )
         insert into instances (id, app_id, release_id, deployment_id, node_id, host_port, state, in_rotation)
         select gen_random_uuid(), $1, release.id, $2, $3, 20000, 'healthy', true from release",
    )
    .bind(app)
    .bind(deployment)
    .bind(node)
    .execute(&mesh.test.app.db)
    .await
    .expect("instance");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_host_that_leaves_is_removed_and_may_join_anew_under_its_name(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("w1", &["worker"]).await;
    instance_on(&mesh, joined.identity.node_id).await;
    let leave = async |force: bool| {
        let body = json!({ "force": force });
        let answer = mesh.post_as(&joined, AgentKind::Mesh, "/v1/nodes/leave", &body).await;
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    let (status, body) = leave(false).await;
    assert_eq!((status, body["code"].as_str()), (409, Some("node_has_instances")), "{body}");
    assert_eq!(leave(true).await, (200, json!({ "declared": false })));
    mesh.test.owner().await.get("/api/v1/nodes/w1").await.expect(404);
    let signed_in = mesh.register(&joined.identity.api_key, AgentKind::Mesh).await;
    assert_eq!(signed_in.status(), 401, "its key is no good any more");
    mesh.join("w1", &["worker"]).await;
}

proptest! {
    #[test]
    fn a_free_address_is_inside_unused_and_the_lowest(used in proptest::collection::hash_set(0u8..=255, 0..260)) {
        let cidr: ipnet::Ipv4Net = "10.50.0.0/24".parse().expect("cidr");
        let own = Ipv4Addr::new(10, 50, 0, 1);
        let used: BTreeSet<Ipv4Addr> = used.into_iter().map(|last| Ipv4Addr::new(10, 50, 0, last)).collect();
        match lowest_free(cidr, own, &used) {
            Some(free) => {
                let last = free.octets()[3];
                prop_assert!(cidr.contains(&free) && !used.contains(&free));
                prop_assert!((2..=254).contains(&last));
                prop_assert!((2..last).all(|lower| used.contains(&Ipv4Addr::new(10, 50, 0, lower))));
            }
            None => prop_assert!((2..=254).all(|last| used.contains(&Ipv4Addr::new(10, 50, 0, last)))),
        }
    }
}
