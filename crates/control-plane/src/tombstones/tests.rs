use std::time::Duration;

use protocol::identity::AgentKind;
use protocol::message::FromControlPlane;
use protocol::spec::Spec;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::sweep;
use crate::http::permission::MemberRole;
use crate::hub::tests::{Mesh, hello, nothing};
use crate::testing::{Client, TestApp};

const APP: &str = "/api/v1/apps/hello";

async fn with_app(pool: PgPool) -> (TestApp, Client) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    owner.patch(&format!("{APP}/env"), json!({ "set": { "A": "1", "B": "2" } })).await.expect(200);
    (app, owner)
}

async fn delete(owner: &Client) -> Value {
    owner.delete(&format!("{APP}?confirm=hello")).await.expect(200)
}

async fn apps(app: &TestApp) -> i64 {
    sqlx::query_scalar("select count(*) from apps").fetch_one(&app.app.db).await.expect("count")
}

async fn days_pass(app: &TestApp, days: i32) {
    sqlx::query("update apps set deleted_at = deleted_at - make_interval(days => $1)")
        .bind(days)
        .execute(&app.app.db)
        .await
        .expect("time passes");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn only_the_apps_own_name_deletes_it(pool: PgPool) {
    let (app, owner) = with_app(pool).await;
    for path in [APP.to_owned(), format!("{APP}?confirm=hell"), format!("{APP}?confirm=Hello")] {
        assert_eq!(owner.delete(&path).await.expect(422)["field"], "confirm");
    }
    let viewer = app.member("acme", MemberRole::Viewer).await;
    viewer.delete(&format!("{APP}?confirm=hello")).await.expect(403);
    let other = app.member("other", MemberRole::Owner).await;
    other.delete(&format!("{APP}?confirm=hello")).await.expect(404);
    owner.get(APP).await.expect(200);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_deleted_app_is_gone_from_sight_and_comes_back_as_it_was(pool: PgPool) {
    let (app, owner) = with_app(pool).await;
    let before = owner.get(APP).await.expect(200);
    let tombstone = delete(&owner).await;
    assert_eq!(tombstone["slug"], "hello");
    assert_eq!(
        (&tombstone["pieces"]["variables"], &tombstone["pieces"]["containers"]),
        (&json!(2), &json!(0))
    );
    owner.get(APP).await.expect(404);
    owner.delete(&format!("{APP}?confirm=hello")).await.expect(404);
    assert_eq!(owner.get("/api/v1/apps").await.expect(200)["items"], json!([]));
    assert_eq!(owner.get("/api/v1/tombstones").await.expect(200)["items"], json!([tombstone]));

    let taken = owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(409);
    assert!(taken["hint"].as_str().expect("hint").starts_with("Undelete it"), "{taken}");
    let other = app.member("other", MemberRole::Owner).await;
    let taken = other.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(409);
    assert_eq!(taken["message"], "another app has the slug hello", "not whose, nor that it is deleted");
    assert_eq!(other.get("/api/v1/tombstones").await.expect(200)["items"], json!([]));
    other.post(&format!("{APP}/undelete"), json!({})).await.expect(404);

    let back = owner.post(&format!("{APP}/undelete"), json!({})).await.expect(202);
    assert_eq!((&back["app"], &back["deployment"]), (&before, &json!(null)), "nothing was deployed");
    assert_eq!(owner.get(&format!("{APP}/env")).await.expect(200)["variables"][1]["name"], "B");
    owner.post(&format!("{APP}/undelete"), json!({})).await.expect(404);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_deployment_under_way_keeps_its_app(pool: PgPool) {
    let (_app, owner) = with_app(pool).await;
    let source = json!({ "type": "image", "reference": "nginx" });
    owner.post(&format!("{APP}/deployments"), json!({ "source": source })).await.expect(202);
    let busy = owner.delete(&format!("{APP}?confirm=hello")).await.expect(409);
    assert_eq!(busy["code"], "deployment_running");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn whoever_waited_for_a_deletion_finds_no_app(pool: PgPool) {
    let (app, owner) = with_app(pool).await;
    let mut deletion = app.app.db.begin().await.expect("begin");
    sqlx::query("update apps set deleted_at = now()").execute(&mut *deletion).await.expect("delete");
    let ends = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        deletion.commit().await.expect("commit");
    };
    let (answer, ()) = tokio::join!(owner.patch(APP, json!({ "replicas": 2 })), ends);
    answer.expect(404);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn after_its_time_it_is_removed_and_the_audit_log_says_what_went(pool: PgPool) {
    let (app, owner) = with_app(pool).await;
    sqlx::query("insert into certificates (host) values ('hello.route.example.com'), ('other.example.com')")
        .execute(&app.app.db)
        .await
        .expect("certificates");
    delete(&owner).await;
    days_pass(&app, 6).await;
    sweep(&app.app).await.expect("sweep");
    assert_eq!(apps(&app).await, 1, "six days are not seven");
    days_pass(&app, 1).await;
    sweep(&app.app).await.expect("sweep");
    assert_eq!(apps(&app).await, 0);
    let hosts: Vec<String> =
        sqlx::query_scalar("select host from certificates").fetch_all(&app.app.db).await.expect("hosts");
    assert_eq!(hosts, ["other.example.com"]);
    let audit = owner.get("/api/v1/audit").await.expect(200);
    let event = &audit["items"][0];
    assert_eq!((&event["action"], &event["target"]), (&json!("app.remove"), &json!("app:hello")));
    assert_eq!(event["detail"]["removed"]["variables"], 2);
    assert_eq!(event["detail"]["removed"]["certificates"], 1);
    assert!(event["detail"]["deleted_by"].as_str().is_some_and(|by| by.contains('@')));
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_worker_that_built_it_is_told_to_remove_its_build_cache(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("w1", &["worker"]).await;
    let mut link = mesh.dial(&joined, AgentKind::Worker, hello(Vec::new())).await;
    link.settle(&nothing()).await;
    let (app, deployment, _) = mesh.queue_build("hello").await;
    mesh.queue_build("kept").await;
    crate::jobs::dispatch::claim_all(&mesh.test.app).await.expect("claim");
    let over = "update deployments set state = 'failed', finished_at = now() where id = $1";
    sqlx::query(over).bind(deployment).execute(&mesh.test.app.db).await.expect("over");
    let owner = mesh.test.owner().await;
    delete(&owner).await;
    days_pass(&mesh.test, 7).await;
    sweep(&mesh.test.app).await.expect("sweep");
    crate::reconcile::dispatch_specs::all(&mesh.test.app).await.expect("specs");
    let caches = link
        .until(|message| match message {
            FromControlPlane::Spec(spec) => match spec.spec {
                Spec::Worker(spec) => Some(spec.remove_caches),
                _ => None,
            },
            _ => None,
        })
        .await;
    assert_eq!(caches, [app], "and not that of the other");
}
