use protocol::identity::AgentKind;
use protocol::ids::JobId;
use protocol::job::{GitAccess, GitSecret, Work};
use protocol::message::FromAgent;
use protocol::report::GitHostKey;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::openssh::tests::PRIVATE;
use crate::http::permission::MemberRole;
use crate::hub::tests::{Mesh, hello, nothing};
use crate::testing::TestApp;

const PATH: &str = "/api/v1/apps/hello/git-access";

fn token(host: &str) -> Value {
    json!({ "kind": "token", "host": host, "username": "ci", "token": "hunter2-hunter2" })
}

fn key(known_hosts: &str) -> Value {
    json!({ "kind": "key", "host": "git.example.com", "private_key": PRIVATE, "known_hosts": known_hosts })
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_secret_is_stored_sealed_and_shown_to_nobody(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    assert_eq!(owner.get(PATH).await.expect(200), json!({ "access": null }));
    owner.post(PATH, token("Git.example.com:443")).await.expect(200);
    let stored = owner.get(PATH).await.expect(200);
    assert_eq!(
        (&stored["access"]["host"], &stored["access"]["username"]),
        (&json!("git.example.com"), &json!("ci"))
    );
    assert!(!stored.to_string().contains("hunter2"), "{stored}");
    let rows: Vec<Value> = sqlx::query_scalar(
        "select to_jsonb(audit_events) from audit_events union all select to_jsonb(git_access) from git_access",
    )
    .fetch_all(&app.app.db)
    .await
    .expect("rows");
    let rows = json!(rows).to_string();
    // Bytes are shown in hexadecimal.
    assert!(
        rows.contains("git.access") && !rows.contains("hunter2") && !rows.contains(&hex::encode("hunter2"))
    );

    let replaced = owner.post(PATH, key("")).await.expect(200);
    assert_eq!((&replaced["access"]["kind"], &replaced["access"]["username"]), (&json!("key"), &Value::Null));
    assert!(replaced["access"]["public_key"].as_str().is_some_and(|key| key.starts_with("ssh-ed25519 ")));
    assert!(!replaced.to_string().contains("PRIVATE"), "{replaced}");
    owner.delete(PATH).await;
    owner.delete(PATH).await.expect(404);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn only_who_may_change_the_app_stores_one(pool: PgPool) {
    let app = TestApp::new(pool).await;
    app.owner().await.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    let viewer = app.member("acme", MemberRole::Viewer).await;
    viewer.get(PATH).await.expect(200);
    viewer.post(PATH, token("git.example.com")).await.expect(403);
    let stranger = app.member("other", MemberRole::Owner).await;
    stranger.get(PATH).await.expect(404);
    stranger.post(PATH, token("git.example.com")).await.expect(404);
    stranger.delete(PATH).await.expect(404);
    let developer = app.member("acme", MemberRole::Developer).await;
    developer.post(PATH, token("git.example.com")).await.expect(200);
    for (body, field) in [
        (token("https://git.example.com"), "host"),
        (json!({ "kind": "key", "host": "a.example.com", "private_key": "no key" }), "private_key"),
        (key("no key of a host"), "known_hosts"),
    ] {
        assert_eq!(developer.post(PATH, body).await.expect(422)["field"], field);
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_build_is_sent_with_it_and_the_first_key_of_the_host_is_kept(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("w1", &["worker"]).await;
    let mut link = mesh.dial(&joined, AgentKind::Worker, hello(Vec::new())).await;
    link.settle(&nothing()).await;
    let (_, _, job) = mesh.queue_build("hello").await;
    let owner = mesh.test.owner().await;
    owner.post(PATH, key("")).await.expect(200);
    crate::jobs::dispatch::claim_all(&mesh.test.app).await.expect("claim");
    crate::jobs::dispatch::to_connected(&mesh.test.app).await.expect("send");
    let Work::Build(build) = link.job().await.work else { panic!("not a build") };
    let secret = GitSecret::Key { private_key: PRIVATE.to_owned(), host_keys: Vec::new() };
    assert!(build.secrets.git == Some(GitAccess { host: "git.example.com".to_owned(), secret }));
    assert!(!format!("{build:?} {:?}", build.secrets).contains("PRIVATE"));

    let public = super::openssh::public_key(PRIVATE).expect("a key");
    let told = |job_id: JobId, host: &str, key: &str| {
        FromAgent::GitHostKey(GitHostKey { job_id, host: host.to_owned(), key: key.to_owned() })
    };
    for message in [
        told(JobId::new(), "git.example.com", &public),
        told(job, "other.example.com", &public),
        told(job, "git.example.com", "no key"),
    ] {
        link.settle(&message).await;
    }
    assert_eq!(owner.get(PATH).await.expect(200)["access"]["host_keys"], json!([]));
    for _ in 0..2 {
        link.settle(&told(job, "git.example.com", &public)).await;
    }
    let fingerprint = super::openssh::fingerprint(&public);
    assert_eq!(owner.get(PATH).await.expect(200)["access"]["host_keys"], json!([fingerprint]));
    let audit = owner.get("/api/v1/audit").await.expect(200);
    let events =
        audit["items"].as_array().expect("items").iter().filter(|event| event["action"] == "git.trust-host");
    assert_eq!(events.count(), 1, "{audit}");
}
