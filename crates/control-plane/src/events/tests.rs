use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::Request;
use serde_json::json;
use sqlx::PgPool;
use tower::ServiceExt;

use crate::http::permission::MemberRole;
use crate::testing::TestApp;

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_change_is_told_to_its_own_organization_only(pool: PgPool) {
    let app = TestApp::new(pool.clone()).await;
    let (owner, other) = (app.owner().await, app.member("other", MemberRole::Owner).await);
    let token = owner.post("/api/v1/tokens", json!({ "name": "watch" })).await.expect(201);
    let mut listening = tokio::task::JoinSet::new();
    listening.spawn(app.app.bus.clone().run(pool, app.app.stopping.clone()));
    let mut heard = app.app.bus.listen();
    heard.next().await.expect("the bus says resync when it listens");

    let request = Request::builder()
        .uri("/api/v1/events")
        .header("authorization", format!("Bearer {}", token["token"].as_str().expect("token")));
    let request = request.body(Body::empty()).expect("request");
    let mut body = app.public.clone().oneshot(request).await.expect("infallible").into_body();
    other.post("/api/v1/apps", json!({ "slug": "theirs" })).await.expect(201);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let made = owner.post("/api/v1/apps", json!({ "slug": "ours" })).await.expect(201);
    let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
    let frame = tokio::time::timeout(Duration::from_secs(5), frame).await.expect("told");
    let data = frame.expect("goes on").expect("frame").into_data().expect("data");
    let text = String::from_utf8(data.to_vec()).expect("text");
    let expected = json!({ "topic": "apps", "id": made["id"] });
    assert!(text.starts_with("event: change\ndata: "), "{text}");
    let hint: serde_json::Value =
        serde_json::from_str(text.trim().rsplit_once("data: ").expect("data").1).expect("JSON");
    assert_eq!(hint, expected);
    app.app.stopping.cancel();
    listening.join_all().await;
}
