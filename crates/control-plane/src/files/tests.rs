//! Copies through a control plane, to a worker that is played by the test.

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::get;
use chrono::Utc;
use protocol::files::{FilesTicket, Kind, Way};
use protocol::identity::SigningKey;
use protocol::ids::InstanceId;
use serde_json::json;
use sqlx::PgPool;

use super::Place;
use crate::exec::tests::World;
use crate::http::permission::MemberRole;
use crate::testing::Client;

fn check(headers: &HeaderMap, key: &SigningKey, instance: InstanceId, way: Way, path: &str) {
    let bearer = headers["authorization"].to_str().expect("text").trim_start_matches("Bearer ");
    assert!((FilesTicket { instance, way, path }).is(bearer, key, Utc::now().timestamp()));
}

/// Gives the path as content, knows no `/none`, and takes what is not empty.
async fn start_worker(world: &mut World) {
    let [key, other, third] = [(); 3].map(|()| world.key.clone());
    let read = move |Path(instance): Path<InstanceId>, Query(place): Query<Place>, headers: HeaderMap| async move {
        check(&headers, &key, instance, Way::Out, &place.path);
        if place.path == "/none" { Err(StatusCode::NOT_FOUND) } else { Ok(place.path.repeat(100)) }
    };
    let kind = move |Path(instance): Path<InstanceId>, Query(place): Query<Place>, headers: HeaderMap| async move {
        check(&headers, &third, instance, Way::Out, &place.path);
        axum::Json(if place.path == "/none" { Kind::Absent } else { Kind::Folder })
    };
    let write = move |Path(instance): Path<InstanceId>,
                      Query(place): Query<Place>,
                      headers: HeaderMap,
                      body: Bytes| async move {
        check(&headers, &other, instance, Way::In, &place.path);
        if body.is_empty() {
            (StatusCode::UNPROCESSABLE_ENTITY, "no tar")
        } else {
            (StatusCode::NO_CONTENT, "")
        }
    };
    let router = axum::Router::new()
        .route("/v1/instances/{instance}/files", get(read).put(write))
        .route("/v1/instances/{instance}/files/kind", get(kind));
    world.serve(router).await;
}

async fn put(client: &Client, path: &str, body: Vec<u8>) -> crate::testing::Answer {
    let request = Request::put(format!("/api/v1/apps/hello/files?path={path}"))
        .header("authorization", format!("Bearer {}", client.token.as_deref().expect("token")))
        .body(Body::from(body))
        .expect("request");
    client.raw(request).await
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn files_pass_both_ways_up_to_the_limit_and_leave_a_record(pool: PgPool) {
    let mut world = World::new(pool.clone(), 5, |config| config.limits.copy_bytes = 1000).await;
    start_worker(&mut world).await;
    let base = "/api/v1/apps/hello/files?path=";
    let answer = world.owner.get(&format!("{base}/etc")).await;
    assert_eq!(answer.headers["content-type"], "application/x-tar");
    assert_eq!(answer.expect(200), "/etc".repeat(100));
    put(&world.owner, "/tmp", vec![1; 1000]).await.expect(204);
    assert_eq!(put(&world.owner, "/tmp", vec![1; 1001]).await.expect(413)["code"], "archive_too_large");
    assert_eq!(put(&world.owner, "/tmp", Vec::new()).await.expect(422)["message"], "/tmp of hello: no tar");
    let missing = world.owner.get(&format!("{base}/none")).await.expect(404);
    let message = missing["message"].as_str().expect("message");
    assert!(
        missing["field"] == "path" && message.contains("/none") && message.contains("hello"),
        "{missing}"
    );
    let kind = "/api/v1/apps/hello/files/kind?path=";
    assert_eq!(world.owner.get(&format!("{kind}/none")).await.expect(200)["kind"], "absent");
    let folder = world.owner.get(&format!("{kind}/etc")).await.expect(200);
    assert_eq!((&folder["kind"], &folder["instance"]), (&json!("folder"), &json!(world.instance)));
    assert_eq!(world.owner.get(&format!("{base}etc")).await.expect(422)["field"], "path");
    let read = world.audit("files.read").await.expect("written down");
    assert!(read["detail"]["path"].is_string() && read["target"] == "app:hello", "{read}");
    assert!(world.audit("files.write").await.is_some());

    let stranger = world.mesh.test.member("other", MemberRole::Owner).await;
    stranger.get(&format!("{base}/etc")).await.expect(404);
    put(&stranger, "/tmp", vec![1]).await.expect(404);
    stranger.get(&format!("{kind}/etc")).await.expect(404);
    let viewer = world.mesh.test.member("acme", MemberRole::Viewer).await;
    viewer.get(&format!("{base}/etc")).await.expect(403);

    sqlx::query("update instances set state = 'exited'").execute(&pool).await.expect("state");
    let stopped = world.owner.get(&format!("{base}/etc")).await.expect(409);
    assert!(
        stopped["code"] == "not_running" && stopped["message"].to_string().contains("hello"),
        "{stopped}"
    );
}
