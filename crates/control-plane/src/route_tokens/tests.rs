use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt;

use crate::http;
use crate::testing::TestApp;

const PATH: &str = "/api/v1/route-tokens";

async fn poll(test: &TestApp, token: &Value) -> StatusCode {
    let bearer = format!("Bearer {}", token["token"].as_str().expect("token"));
    let request = Request::get("/v1/traefik/proxy-config").header("authorization", bearer);
    let router = http::mesh_router(&test.app, None);
    router.oneshot(request.body(Body::empty()).expect("request")).await.expect("infallible").status()
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_token_is_shown_once_reads_the_routes_and_ends_when_it_is_revoked(pool: PgPool) {
    let test = TestApp::new(pool).await;
    let owner = test.owner().await;
    let made = owner.post(PATH, json!({ "name": "edge-1", "expires_in_days": 90 })).await.expect(201);
    let secret = made["token"].as_str().expect("token");
    assert!(secret.starts_with("whr_"), "{secret}");
    assert_eq!(made["endpoint"], "http://10.50.0.1:8081/v1/traefik/proxy-config");
    assert_eq!(owner.get(PATH).await.expect(200)["items"][0]["last_used_at"], Value::Null);
    assert_eq!(poll(&test, &made).await, 200);
    let listed = owner.get(PATH).await.expect(200);
    assert!(listed["items"][0]["last_used_at"].is_string(), "{listed}");
    assert!(!listed.to_string().contains(&secret[4..]), "{listed}");
    owner.delete(&format!("{PATH}/{}", made["id"].as_str().expect("id"))).await.expect(204);
    assert_eq!(poll(&test, &made).await, 401);
    let refused = owner.post(PATH, json!({ "name": "x", "worker": "none" })).await.expect(404);
    assert_eq!(refused["field"], "worker");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_replaced_token_works_on_until_the_overlap_is_over(pool: PgPool) {
    let test = TestApp::new(pool).await;
    let owner = test.owner().await;
    let old = owner.post(PATH, json!({ "name": "edge-1" })).await.expect(201);
    let rotate = format!("{PATH}/{}/rotate", old["id"].as_str().expect("id"));
    let new = owner.post(&rotate, json!({})).await.expect(201);
    assert_eq!((&new["name"], &new["expires_at"]), (&json!("edge-1"), &Value::Null));
    assert_ne!(new["token"], old["token"]);
    assert_eq!((poll(&test, &old).await, poll(&test, &new).await), (StatusCode::OK, StatusCode::OK));
    owner.post(&rotate, json!({ "overlap_hours": 721 })).await.expect(422);
    owner.post(&rotate, json!({ "overlap_hours": 0 })).await.expect(201);
    assert_eq!(
        (poll(&test, &old).await, poll(&test, &new).await),
        (StatusCode::UNAUTHORIZED, StatusCode::OK)
    );
    owner.post(&rotate, json!({})).await.expect(404);
}
