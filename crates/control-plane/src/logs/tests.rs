use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::Request;
use protocol::identity::AgentKind;
use protocol::ids::{AppId, JobId};
use protocol::message::FromAgent;
use protocol::report::{Scrubbed, ScrubbedFrom};
use serde_json::json;
use sqlx::PgPool;
use tower::ServiceExt;

use crate::hub::tests::{Mesh, hello, nothing};
use crate::testing::TestApp;

async fn print(pool: &PgPool, from: i32, to: i32) {
    sqlx::query(
        "insert into instance_log (app_id, instance_id, release, seq, at, stream, text)
         select id, '0198c0de-0000-7000-8000-000000000000', 1, n, now(), 'stdout', 'line ' || n
         from apps, generate_series($1, $2) n",
    )
    .bind(from)
    .bind(to)
    .execute(pool)
    .await
    .expect("print");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_newest_lines_come_first_and_reading_goes_on_after_a_line(pool: PgPool) {
    let app = TestApp::new(pool.clone()).await;
    let owner = app.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    print(&pool, 1, 10).await;
    let log = owner.get("/api/v1/apps/hello/logs?limit=3").await.expect(200);
    let texts: Vec<_> =
        log["lines"].as_array().expect("lines").iter().map(|line| line["text"].clone()).collect();
    assert_eq!(texts, ["line 8", "line 9", "line 10"]);
    print(&pool, 11, 12).await;
    let next = log["next"].as_str().expect("next");
    let log = owner.get(&format!("/api/v1/apps/hello/logs?after={next}")).await.expect(200);
    assert_eq!(log["lines"][0]["text"], "line 11");
    assert_eq!(log["lines"].as_array().expect("lines").len(), 2);
    owner.get("/api/v1/apps/hello/logs?after=x").await.expect(422);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn lines_are_found_by_their_release_and_by_a_part_of_them(pool: PgPool) {
    let app = TestApp::new(pool.clone()).await;
    let owner = app.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    print(&pool, 1, 12).await;
    sqlx::query("update instance_log set release = 2 where seq > 9").execute(&pool).await.expect("releases");
    let found = async |query: &str| {
        let log = owner.get(&format!("/api/v1/apps/hello/logs?{query}")).await.expect(200);
        let lines = log["lines"].as_array().expect("lines").clone();
        lines.iter().map(|line| line["text"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found("release=2").await, ["line 10", "line 11", "line 12"]);
    assert_eq!(found("text=LINE%201").await, ["line 1", "line 10", "line 11", "line 12"]);
    assert_eq!(found("text=LINE%201&release=1").await, ["line 1"]);
    assert_eq!(found("text=%25").await, [] as [&str; 0], "no pattern, but the letters themselves");
    let long = "x".repeat(201);
    let refused = owner.get(&format!("/api/v1/apps/hello/logs?text={long}")).await.expect(422);
    assert_eq!(refused["field"], "text");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_follower_gets_new_lines_without_a_notification(pool: PgPool) {
    let app = TestApp::new(pool.clone()).await;
    let owner = app.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    print(&pool, 1, 5).await;
    let token = owner.post("/api/v1/tokens", json!({ "name": "follow" })).await.expect(201);
    let request = Request::builder()
        .uri("/api/v1/apps/hello/logs?tail=1")
        .header("accept", "text/event-stream")
        .header("authorization", format!("Bearer {}", token["token"].as_str().expect("token")));
    let request = request.body(Body::empty()).expect("request");
    let mut body = app.public.clone().oneshot(request).await.expect("infallible").into_body();
    let mut text = String::new();
    let read = async {
        while !text.contains("line 6") {
            let frame =
                std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await;
            let data = frame.expect("goes on").expect("frame").into_data().expect("data");
            text.push_str(std::str::from_utf8(&data).expect("text"));
            if text.contains("line 5") && !text.contains("line 6") {
                print(&pool, 6, 6).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), read).await.expect("within the fallback");
    assert!(!text.contains("line 4"), "{text}");
    app.app.stopping.cancel();
    let end = std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await;
    assert!(end.is_none(), "a stop ends it");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_value_taken_out_of_a_log_is_told_once_by_its_name_and_only_by_the_node_that_has_it(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("w1", &["worker"]).await;
    let mut link = mesh.dial(&joined, AgentKind::Worker, hello(Vec::new())).await;
    link.settle(&nothing()).await;
    let (app, _, job) = mesh.queue_build("hello").await;
    let told = |app_id: AppId, job: JobId, variable: &str| {
        let from = ScrubbedFrom::Build(job);
        FromAgent::Scrubbed(Scrubbed { app_id, variable: variable.to_owned(), from })
    };
    // Nobody builds it yet.
    link.settle(&told(app, job, "TOKEN")).await;
    crate::jobs::dispatch::claim_all(&mesh.test.app).await.expect("claim");
    for _ in 0..2 {
        link.settle(&told(app, job, "TOKEN")).await;
    }
    link.settle(&told(AppId::new(), job, "TOKEN")).await;
    link.settle(&told(app, job, "no name: hunter2")).await;
    let audit = mesh.test.owner().await.get("/api/v1/audit").await.expect(200);
    let events: Vec<_> = audit["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter(|event| event["action"] == "secret.scrubbed")
        .map(|event| json!([event["actor"], event["target"], event["detail"]["variable"]]))
        .collect();
    assert_eq!(events, [json!(["node:w1", "app:hello", "TOKEN"])]);
}
