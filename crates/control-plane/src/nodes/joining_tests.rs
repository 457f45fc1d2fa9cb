//! Adding, registering, changing keys, revoking, and what is known of a host.

use protocol::enforced::{Enforced, Enforcement};
use protocol::enrol::{AccessToken, Joined};
use protocol::identity::{AgentKind, ApiKey};
use protocol::message::FromControlPlane;
use protocol::report::{HostFacts, HostProbe};
use protocol::spec::{MeshSpec, Spec};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use super::tests::instance_on;
use crate::hub::tests::{Mesh, hello, public_key};

fn request(name: &str, key: &str) -> Value {
    json!({ "name": name, "roles": ["worker"], "public_key": public_key(key), "endpoint": null })
}

async fn spec(mesh: &Mesh, joined: &Joined) -> MeshSpec {
    let mut link = mesh.dial(joined, AgentKind::Mesh, hello(Vec::new())).await;
    link.until(|message| match message {
        FromControlPlane::Spec(spec) => match spec.spec {
            Spec::Mesh(spec) => Some(spec),
            _ => None,
        },
        _ => None,
    })
    .await
}

async fn signs_in(mesh: &Mesh, key: &ApiKey) -> bool {
    mesh.register(key, AgentKind::Worker).await.status() == 200
}

/// Hands a key over as the host does.
async fn hand_over(mesh: &Mesh, joined: &Joined, rotation: Uuid, key: &ApiKey) -> (u16, Value) {
    let body = json!({ "rotation": rotation, "api_key": key });
    let answer = mesh.post_as(joined, AgentKind::Mesh, "/v1/nodes/rotate", &body).await;
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_token_gives_its_node_labels_and_zone_and_tells_who_came_and_who_was_refused(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let owner = mesh.test.owner().await;
    let body =
        json!({ "roles": ["worker"], "name": "w2", "labels": { "disk": "nvme" }, "zone": "de.example.com" });
    let made = owner.post("/api/v1/node-tokens", body).await.expect(201);
    let token = made["token"].as_str().expect("token");
    let (line, module) = (made["command"].as_str().expect("line"), made["nixos"].as_str().expect("module"));
    assert!(line.contains(token) && line.ends_with("wisehosting-mesh join"), "{line}");
    assert!(!module.contains(token) && module.contains("networking.hostName = \"w2\""), "{module}");
    let url = format!("/api/v1/node-tokens/{}", made["id"].as_str().expect("id"));
    let host = mesh.test.with_token(token);
    host.post("/v1/nodes/enroll", request("other", "w2")).await.expect(403);
    let refused = owner.get(&url).await.expect(200);
    assert!(refused["refusal"].as_str().is_some_and(|why| why.contains("named w2")), "{refused}");
    let mut own = request("w2", "w2");
    own["labels"] = json!({ "rack": "3", "disk": "hdd" });
    own["zone"] = json!("at.example.com");
    host.post("/v1/nodes/enroll", own).await.expect(201);
    let used = owner.get(&url).await.expect(200);
    assert_eq!((&used["used_by"], &used["refusal"]), (&json!("w2"), &Value::Null));
    let node = owner.get("/api/v1/nodes/w2").await.expect(200);
    assert_eq!(node["labels"], json!({ "disk": "nvme", "rack": "3" }), "the admin's word counts");
    assert_eq!(node["zone"], "de.example.com");
    owner.get(&format!("/api/v1/node-tokens/{}", Uuid::now_v7())).await.expect(404);
    for (body, field) in [
        (json!({ "roles": ["worker"], "labels": { "A b": "" } }), "labels"),
        (json!({ "roles": ["worker"], "zone": "here" }), "zone"),
        (json!({ "roles": [] }), "roles"),
    ] {
        assert_eq!(owner.post("/api/v1/node-tokens", body).await.expect(422)["field"], field);
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn both_keys_are_good_until_the_new_one_was_used_and_the_old_one_for_a_while(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("w1", &["worker"]).await;
    let owner = mesh.test.owner().await;
    assert_eq!(spec(&mesh, &joined).await.rotation, None);
    let (new, old) = (ApiKey::generate(), &joined.identity.api_key);
    let (status, body) = hand_over(&mesh, &joined, Uuid::now_v7(), &new).await;
    assert_eq!((status, body["code"].as_str()), (409, Some("rotation_ended")), "nobody asked: {body}");

    let asked = owner.post("/api/v1/nodes/w1/rotate-key", json!({})).await.expect(202);
    assert!(asked["key"]["rotation_asked_at"].is_string(), "{asked}");
    let rotation = spec(&mesh, &joined).await.rotation.expect("asked");
    owner.post("/api/v1/nodes/w1/rotate-key", json!({})).await.expect(202);
    assert_eq!(spec(&mesh, &joined).await.rotation, Some(rotation), "asked once");
    // A link that is up goes on with the key by which it came.
    let mut link = mesh.dial(&joined, AgentKind::Worker, hello(Vec::new())).await;
    let (status, body) = hand_over(&mesh, &joined, rotation, old).await;
    assert_eq!(status, 409, "the key in use is no other key: {body}");
    let (status, body) = hand_over(&mesh, &joined, rotation, &ApiKey::new("short".to_owned())).await;
    assert_eq!((status, body["field"].as_str()), (422, Some("api_key")), "{body}");
    // The answer was lost; the host asks again with the same key.
    for _ in 0..2 {
        assert_eq!(hand_over(&mesh, &joined, rotation, &new).await.0, 204);
    }
    assert!(signs_in(&mesh, old).await, "the host may not have stored the new one");
    assert!(spec(&mesh, &joined).await.rotation.is_some());
    assert!(signs_in(&mesh, &new).await);

    let node = owner.get("/api/v1/nodes/w1").await.expect(200);
    assert!(node["key"]["rotation_asked_at"].is_null() && node["key"]["changed_at"].is_string(), "{node}");
    assert!(signs_in(&mesh, old).await, "other agents of the host may not have seen it yet");
    link.settle(&crate::hub::tests::nothing()).await;
    let moved = Joined {
        identity: protocol::identity::NodeIdentity { api_key: new.clone(), ..joined.identity.clone() },
        ..joined.clone()
    };
    assert_eq!(spec(&mesh, &moved).await.rotation, None, "over");
    sqlx::query("update nodes set former_key_until = now() - interval '1 s'")
        .execute(&mesh.test.app.db)
        .await
        .expect("later");
    assert!(!signs_in(&mesh, old).await && signs_in(&mesh, &new).await);
    let events = owner.get("/api/v1/audit").await.expect(200).to_string();
    assert!(events.contains("node.rotate-key") && events.contains("node.change-key"), "{events}");
    let stored: Vec<String> =
        sqlx::query_scalar("select nodes::text from nodes").fetch_all(&mesh.test.app.db).await.expect("rows");
    assert!(!stored.concat().contains(&new.expose()[4..]), "the key itself is not stored");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_access_token_ends_with_the_key_that_it_was_issued_for(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("w1", &["worker"]).await;
    let answer = mesh.register(&joined.identity.api_key, AgentKind::Worker).await;
    let AccessToken { token, .. } = answer.json().await.expect("token");
    drop(mesh.socket(&token).await.expect("good"));
    sqlx::query("update nodes set former_key_digest = api_key_digest, former_signing_key = signing_key, former_key_until = now() + interval '1 min', api_key_digest = 'other'")
        .execute(&mesh.test.app.db)
        .await
        .expect("rotated");
    drop(mesh.socket(&token).await.expect("good for a while"));
    sqlx::query("update nodes set former_key_until = now()").execute(&mesh.test.app.db).await.expect("later");
    assert!(mesh.socket(&token).await.is_err());
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_revoked_node_is_shut_out_at_once_stays_listed_and_comes_back_by_a_token_for_its_name(
    pool: PgPool,
) {
    let mesh = Mesh::new(pool).await;
    let (joined, other) = (mesh.join("w1", &["worker"]).await, mesh.join("w2", &["worker"]).await);
    instance_on(&mesh, joined.identity.node_id).await;
    let owner = mesh.test.owner().await;
    let mut link = mesh.dial(&joined, AgentKind::Worker, hello(Vec::new())).await;
    link.settle(&crate::hub::tests::nothing()).await;
    let refused = owner.post("/api/v1/nodes/w1/revoke", json!({ "confirm": "w2" })).await.expect(422);
    assert_eq!(refused["field"], "confirm");
    let node = owner.post("/api/v1/nodes/w1/revoke", json!({ "confirm": "w1" })).await.expect(200);
    assert!(node["key"]["revoked_at"].is_string() && node["instances"] == 1, "{node}");
    assert!(!signs_in(&mesh, &joined.identity.api_key).await);
    while link.next().await.is_some() {}
    let peers = spec(&mesh, &other).await.peers;
    assert!(peers.iter().all(|peer| peer.name != "w1"), "{peers:?}");
    assert_eq!(
        owner.post("/api/v1/nodes/w1/rotate-key", json!({})).await.expect(409)["code"],
        "node_revoked"
    );
    owner.post("/api/v1/nodes/w1/revoke", json!({ "confirm": "w1" })).await.expect(200);

    let join = async |token_for: Value, key: &str| {
        let made = owner.post("/api/v1/node-tokens", json!({ "roles": ["worker"], "name": token_for })).await;
        let host = mesh.test.with_token(made.expect(201)["token"].as_str().expect("token"));
        host.post("/v1/nodes/enroll", request("w1", key)).await
    };
    let stranger = join(Value::Null, "another").await.expect(409);
    assert!(stranger["hint"].as_str().is_some_and(|hint| hint.contains("wh node add w1")), "{stranger}");
    let back = join(json!("w1"), "another").await.expect(201);
    assert_eq!(back["identity"]["node_id"], json!(joined.identity.node_id), "the same node");
    let node = owner.get("/api/v1/nodes/w1").await.expect(200);
    assert_eq!((&node["key"]["revoked_at"], &node["instances"]), (&Value::Null, &json!(1)));
    assert!(spec(&mesh, &other).await.peers.iter().any(|peer| peer.public_key == public_key("another")));
    assert!(!signs_in(&mesh, &joined.identity.api_key).await, "the old key stays refused");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_host_is_entered_by_hand_once_and_duplicates_are_refused_by_their_field(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let owner = mesh.test.owner().await;
    let host = |name: &str, key: &str, endpoint: Value| json!({ "name": name, "roles": ["worker"], "public_key": public_key(key), "endpoint": endpoint });
    let made = owner.post("/api/v1/nodes", host("w1", "w1", json!("198.51.100.20:51821"))).await.expect(201);
    assert_eq!((&made["node"]["name"], &made["node"]["status"]), (&json!("w1"), &json!("joining")));
    let text = made["joined"].as_str().expect("text");
    assert!(
        made["command"].as_str().is_some_and(|line| line.contains(text) && line.ends_with("join --joined"))
    );
    let joined: Joined = serde_json::from_str(text).expect("what the host keeps");
    assert!(signs_in(&mesh, &joined.identity.api_key).await);
    for (body, status, field) in [
        (host("w1", "w2", Value::Null), 409, "name"),
        (host("w2", "w1", Value::Null), 409, "public_key"),
        (host("w2", "w2", json!("198.51.100.20:51821")), 409, "endpoint"),
        (host("W 2", "w2", Value::Null), 422, "name"),
        (
            json!({ "name": "w2", "roles": ["control-plane"], "public_key": public_key("w2"), "endpoint": null }),
            422,
            "roles",
        ),
        (
            json!({ "name": "w2", "roles": ["worker"], "public_key": "short", "endpoint": null }),
            422,
            "public_key",
        ),
    ] {
        let refused = owner.post("/api/v1/nodes", body).await.expect(status);
        assert_eq!(refused["field"], field, "{refused}");
        assert!(status == 422 || refused["hint"].is_string(), "{refused}");
    }
    owner.post("/api/v1/nodes", host("w2", "w2", Value::Null)).await.expect(201);
    assert!(owner.get("/api/v1/audit").await.expect(200).to_string().contains("node.register"));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_node_with_instances_is_deleted_by_nobody_before_it_is_drained(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("w1", &["worker"]).await;
    instance_on(&mesh, joined.identity.node_id).await;
    let owner = mesh.test.owner().await;
    let refused = owner.delete("/api/v1/nodes/w1").await.expect(409);
    assert_eq!(refused["code"], "node_has_instances");
    assert!(refused["hint"].as_str().is_some_and(|hint| hint.contains("wh node drain w1")), "{refused}");
    assert!(signs_in(&mesh, &joined.identity.api_key).await, "nothing was changed");
    sqlx::query("update instances set wanted = false").execute(&mesh.test.app.db).await.expect("drained");
    owner.delete("/api/v1/nodes/w1").await.expect(204);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn what_a_worker_finds_out_about_its_host_is_shown_with_hints(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("w1", &["worker"]).await;
    let probe = HostProbe { cgroup_version: Some(1), nftables: true, ..HostProbe::default() };
    let enforced = Enforced { disk: Enforcement::not("extfs has no quota"), ..Enforced::default() };
    let host = HostFacts {
        podman: Some("5.2.1".to_owned()),
        probe: Some(probe),
        enforced: Some(Box::new(enforced)),
        ..HostFacts::default()
    };
    let mut link =
        mesh.dial(&joined, AgentKind::Worker, protocol::report::Hello { host, ..hello(Vec::new()) }).await;
    link.settle(&crate::hub::tests::nothing()).await;
    let node = mesh.test.owner().await.get("/api/v1/nodes/w1").await.expect(200);
    let of = |name: &str| {
        let all = node["capabilities"].as_array().expect("list");
        all.iter().find(|one| one["name"] == name).cloned().unwrap_or_default()
    };
    assert_eq!(of("podman")["label"], "Podman 5.2.1");
    assert_eq!(
        (of("cgroups")["state"].as_str(), of("nftables")["state"].as_str()),
        (Some("limited"), Some("good"))
    );
    assert!(of("cgroups")["hint"].as_str().is_some_and(|hint| hint.contains("unified")), "{node}");
    assert_eq!(node["host"]["enforced"]["disk"]["why_not"], "extfs has no quota");
    assert_eq!(of("disk-quota"), Value::Null, "what limits hold is told in one place");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_key_that_is_not_changed_and_a_revoked_node_with_instances_are_told(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let (slow, lost) = (mesh.join("w1", &["worker"]).await, mesh.join("w2", &["worker"]).await);
    let owner = mesh.test.owner().await;
    owner.post("/api/v1/nodes/w1/rotate-key", json!({})).await.expect(202);
    owner.post("/api/v1/nodes/w2/revoke", json!({ "confirm": "w2" })).await.expect(200);
    let told = async || {
        let mut conn = mesh.test.app.db.acquire().await.expect("connection");
        let troubles = super::keys::troubles(&mut conn).await.expect("troubles");
        troubles.into_iter().map(|trouble| (trouble.subject, trouble.stage)).collect::<Vec<_>>()
    };
    assert!(told().await.is_empty(), "a host may need a moment, and nothing runs on the other");
    instance_on(&mesh, lost.identity.node_id).await;
    sqlx::query("update nodes set rotation_asked_at = now() - interval '1 h' where id = $1")
        .bind(slow.identity.node_id)
        .execute(&mesh.test.app.db)
        .await
        .expect("an hour later");
    assert_eq!(told().await, [("node:w1".to_owned(), "waiting"), ("node:w2".to_owned(), "revoked")]);
}
