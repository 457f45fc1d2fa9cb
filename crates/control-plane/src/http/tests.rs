use axum::http::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::permission::MemberRole;
use crate::serve;
use crate::testing::TestApp;

/// Permissions that a viewer lacks; the others are a viewer's.
const ABOVE_VIEWER: [&str; 8] = [
    "app.write",
    "app.deploy",
    "app.exec",
    "project.write",
    "node.write",
    "queue.write",
    "audit.read",
    "certificate.write",
];

/// What these do needs no words.
const BODILESS: [&str; 13] = [
    "/cancel",
    "/front",
    "/stop",
    "/start",
    "/restart",
    "/undelete",
    "/verify",
    "/test",
    "/check",
    "/cordon",
    "/uncordon",
    "/drain",
    "/rotate-key",
];

fn operations() -> Vec<(Method, String, Value)> {
    let document: Value = serde_json::from_str(&serve::openapi_text().expect("document")).expect("JSON");
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("item") {
            if let Ok(method) = method.to_uppercase().parse::<Method>() {
                operations.push((method, path.clone(), operation.clone()));
            }
        }
    }
    assert!(operations.len() > 25, "only {} operations", operations.len());
    operations
}

fn real(path: &str) -> String {
    path.replace("{id}", "0198c0de-0000-7000-8000-000000000000")
        .replace("{app}", "none")
        .replace("{node}", "none")
}

#[tokio::test]
async fn every_operation_says_who_may_call_it_and_has_a_name_of_its_own() {
    let mut names = std::collections::BTreeSet::new();
    for (method, path, operation) in operations() {
        let guarded = operation["x-permission"].is_string();
        let public = operation["x-public"].is_string();
        assert!(guarded != public, "{method} {path} needs `guard` or `public` in its route table");
        assert!(path.starts_with("/api/v1/"), "{path}");
        let has_body = matches!(method, Method::POST | Method::PATCH | Method::PUT)
            && !BODILESS.iter().any(|end| path.ends_with(end));
        assert_eq!(operation["requestBody"].is_object(), has_body, "{method} {path} needs `request_body`");
        let name = operation["operationId"].as_str().expect("operationId").to_owned();
        assert!(names.insert(name.clone()), "{name} names two operations");
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn every_guarded_operation_refuses_nobody_and_the_role_below(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let (nobody, viewer) = (app.anonymous(), app.member("acme", MemberRole::Viewer).await);
    let mut refused = 0;
    for (method, path, operation) in operations() {
        let Some(permission) = operation["x-permission"].as_str() else { continue };
        let path = real(&path);
        let answer = nobody.send(method.clone(), &path, None).await;
        assert_eq!(answer.status, 401, "{method} {path}: {}", answer.body);
        assert_eq!(answer.body["code"], "unauthenticated", "{method} {path}");
        if ABOVE_VIEWER.contains(&permission) {
            let answer = viewer.send(method.clone(), &path, None).await;
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.body);
            assert_eq!(answer.body["code"], "forbidden", "{method} {path}");
            refused += 1;
        }
    }
    assert!(refused > 5);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn unknown_addresses_of_the_api_answer_in_its_own_words(pool: PgPool) {
    let app = TestApp::new(pool).await;
    for path in ["/api/v1/nothing", "/api/v2/apps", "/v1/nothing"] {
        assert_eq!(app.anonymous().get(path).await.expect(404)["code"], "not_found", "{path}");
    }
    app.anonymous().post("/", json!({})).await.expect(404);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn pages_of_the_dashboard_are_all_its_index_under_a_strict_policy(pool: PgPool) {
    let app = TestApp::new(pool).await;
    for path in ["/", "/apps/hello", "/setup"] {
        let answer = app.anonymous().get(path).await;
        let policy = answer.headers["content-security-policy"].to_str().expect("text").to_owned();
        assert!(
            policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(answer.headers["content-type"].to_str().expect("text").starts_with("text/html"));
        answer.expect(200);
    }
    app.anonymous().get("/assets/none.js").await.expect(404);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_document_is_served(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let document = app.anonymous().get("/api/v1/openapi.json").await.expect(200);
    assert!(document["paths"]["/api/v1/apps/{app}"]["patch"]["security"].is_array());
}

#[tokio::test]
async fn the_dashboards_copy_of_the_document_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/openapi.json");
    // Before the dashboard is there, there is no copy to be stale.
    let Ok(committed) = std::fs::read_to_string(path) else { return };
    let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    assert!(
        parse(&committed) == parse(&serve::openapi_text().expect("document")),
        "web/openapi.json is stale: run scripts/openapi and commit what it changes"
    );
}
