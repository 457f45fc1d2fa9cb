use serde_json::json;
use sqlx::PgPool;

use crate::http::permission::MemberRole;
use crate::testing::TestApp;

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_new_app_is_empty_and_has_its_hostname(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    let made =
        owner.post("/api/v1/apps", json!({ "slug": "hello", "port": 3000, "replicas": 2 })).await.expect(201);
    assert_eq!(made["hostname"], "hello.route.example.com");
    assert_eq!(made["url"], "http://hello.route.example.com");
    assert_eq!(made["status"], "empty");
    assert_eq!(made["project"]["slug"], "default");
    assert_eq!(made["settings"]["port"], 3000);
    assert_eq!(made["certificate"]["state"], "none");
    let none = json!({ "wanted": 0, "healthy": 0, "unknown": 0, "observed_at": null, "unknown_since": null });
    assert_eq!(made["instances"], none);
    assert_eq!((&made["release"], &made["deployment"]), (&json!(null), &json!(null)));
    for key in ["hello", made["id"].as_str().expect("id")] {
        assert_eq!(owner.get(&format!("/api/v1/apps/{key}")).await.expect(200), made);
    }
    assert_eq!(owner.get("/api/v1/apps").await.expect(200)["items"], json!([made]));
    assert_eq!(owner.get("/api/v1/apps?project=none").await.expect(200)["items"], json!([]));
    assert_eq!(owner.get("/api/v1/apps/hello/instances").await.expect(200)["items"], json!([]));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn what_cannot_be_an_app_is_refused_by_field(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    for (body, status, code, field) in [
        (json!({ "slug": "hello" }), 409, "slug_taken", json!("slug")),
        (json!({ "slug": "www" }), 422, "slug_invalid", json!("slug")),
        (json!({ "slug": "x", "project": "none" }), 404, "not_found", json!("project")),
        (json!({ "slug": "x", "replicas": 0 }), 422, "invalid", json!("replicas")),
        (json!({ "slug": "x", "prot": 80 }), 422, "invalid", json!("prot")),
    ] {
        let answer = owner.post("/api/v1/apps", body).await.expect(status);
        assert_eq!((&answer["code"], &answer["field"]), (&json!(code), &field), "{answer}");
        assert!(answer["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{answer}");
        assert!(answer["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer}");
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn settings_change_one_by_one(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello", "port": 3000, "replicas": 2 })).await.expect(201);
    let body = json!({ "port": null, "probe": { "check": { "type": "http", "path": "/up" } } });
    let changed = owner.patch("/api/v1/apps/hello", body).await.expect(200);
    assert_eq!(changed["settings"]["port"], json!(null));
    assert_eq!(changed["settings"]["replicas"], 2);
    assert_eq!(changed["settings"]["probe"]["check"]["path"], "/up");
    let refused =
        owner.patch("/api/v1/apps/hello", json!({ "resources": { "memory_mb": 1 } })).await.expect(422);
    assert_eq!(refused["field"], "resources.memory_mb");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn another_organizations_app_does_not_exist(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let made = app.owner().await.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    let other = app.member("other", MemberRole::Owner).await;
    for key in ["hello", made["id"].as_str().expect("id")] {
        for path in ["", "/instances"] {
            other.get(&format!("/api/v1/apps/{key}{path}")).await.expect(404);
        }
        other.patch(&format!("/api/v1/apps/{key}"), json!({})).await.expect(404);
    }
    assert_eq!(other.get("/api/v1/apps").await.expect(200)["items"], json!([]));
    // Hostnames are shared by all organizations.
    other.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(409);
}
