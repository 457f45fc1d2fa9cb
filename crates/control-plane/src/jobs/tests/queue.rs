//! The line of builds: its order, what is told of it, and what a long history costs it.

use protocol::ids::{DeploymentId, JobId};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::connected;
use crate::http::permission::MemberRole;
use crate::hub::tests::Mesh;
use crate::testing::Client;

async fn claim(mesh: &Mesh) -> Option<JobId> {
    let mut tx = mesh.test.app.db.begin().await.expect("transaction");
    let claimed = super::claim(&mut tx).await;
    tx.commit().await.expect("commit");
    claimed.map(|claimed| claimed.id)
}

async fn queue(client: &Client) -> Vec<Value> {
    let page = client.get("/api/v1/jobs").await.expect(200);
    page["items"].as_array().expect("items").clone()
}

/// App, deployment's number and position of each.
async fn line(client: &Client) -> Vec<(String, Value, Value)> {
    let place = |build: &Value| {
        let app = build["app"]["slug"].as_str().expect("slug").to_owned();
        (app, build["deployment"]["number"].clone(), build["position"].clone())
    };
    queue(client).await.iter().map(place).collect()
}

fn at(app: &str, number: i32, position: impl Into<Value>) -> (String, Value, Value) {
    (app.to_owned(), json!(number), position.into())
}

async fn to_front(client: &Client, deployment: DeploymentId) -> crate::testing::Answer {
    client.send(axum::http::Method::POST, &format!("/api/v1/deployments/{deployment}/front"), None).await
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn everyone_sees_who_builds_who_waits_and_why(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let viewer = mesh.test.member("acme", MemberRole::Viewer).await;
    let (app, first, _) = mesh.queue_build("a").await;
    assert_eq!(queue(&viewer).await[0]["reason"], "no worker is connected");
    let _link = connected(&mesh, "w1").await;
    sqlx::query("update agents set build_slots = 1").execute(&mesh.test.app.db).await.expect("slots");
    assert_eq!(queue(&viewer).await[0]["reason"], "a build slot is free: it starts in a moment");
    mesh.queue_next(app, 2).await;
    let (_, other, _) = mesh.queue_build("b").await;
    claim(&mesh).await.expect("the first");
    let builds = queue(&viewer).await;
    assert_eq!(line(&viewer).await, [at("a", 1, Value::Null), at("a", 2, 1), at("b", 1, 2)]);
    assert_eq!((&builds[0]["state"], &builds[0]["node"]), (&json!("running"), &json!("w1")));
    assert_eq!(builds[0]["deployment"]["id"], first.to_string());
    assert_eq!(builds[0]["reason"], Value::Null);
    assert_eq!(builds[1]["reason"], "deployment 1 of this app goes first");
    assert_eq!(builds[2]["reason"], "the only build slot of w1 is busy");
    let waiting = viewer.get(&format!("/api/v1/deployments/{other}")).await.expect(200);
    assert_eq!(waiting["queue_position"], 2);
    assert_eq!(waiting["waiting_for"], "a free build slot: the only build slot of w1 is busy");
    let building = viewer.get(&format!("/api/v1/deployments/{first}")).await.expect(200);
    assert_eq!((&building["queue_position"], &building["waiting_for"]), (&Value::Null, &Value::Null));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_queue_of_others_counts_but_is_not_shown(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let (_, own, _) = mesh.queue_build("a").await;
    let stranger = mesh.test.member("other", MemberRole::Owner).await;
    assert_eq!(queue(&stranger).await, [] as [Value; 0]);
    to_front(&stranger, own).await.expect(404);
    stranger.post("/api/v1/apps", json!({ "slug": "theirs" })).await.expect(201);
    let body = json!({ "source": { "type": "image", "reference": "nginx" } });
    let made = stranger.post("/api/v1/apps/theirs/deployments", body).await.expect(202);
    assert_eq!(made["queue_position"], 2);
    assert_eq!(line(&stranger).await, [at("theirs", 1, 2)]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn who_is_moved_to_the_front_is_claimed_first_and_its_app_keeps_its_order(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let owner = mesh.test.owner().await;
    let (_, _, first) = mesh.queue_build("a").await;
    let (_, _, second) = mesh.queue_build("b").await;
    let (app, _, third) = mesh.queue_build("c").await;
    let (last, _) = mesh.queue_next(app, 2).await;
    let developer = mesh.test.member("acme", MemberRole::Developer).await;
    to_front(&developer, last).await.expect(403);
    let moved = to_front(&owner, last).await.expect(200);
    assert_eq!(moved["queue_position"], 2, "behind the deployment before it");
    assert_eq!(line(&owner).await, [at("c", 1, 1), at("c", 2, 2), at("a", 1, 3), at("b", 1, 4)]);
    let _links = [connected(&mesh, "w1").await, connected(&mesh, "w2").await];
    assert_eq!([claim(&mesh).await, claim(&mesh).await], [Some(third), Some(first)]);
    // Of those that were moved the last one goes first.
    let (_, urgent, newest) = mesh.queue_build("d").await;
    to_front(&owner, urgent).await.expect(200);
    assert_eq!([claim(&mesh).await, claim(&mesh).await], [Some(newest), Some(second)]);
    let audit = owner.get("/api/v1/audit").await.expect(200);
    assert_eq!(audit["items"][0]["action"], "deployment.front");
    assert_eq!(audit["items"][0]["detail"], json!({ "app": "d", "number": 1, "before": 3, "after": 1 }));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn only_what_waits_can_be_moved_and_what_is_cancelled_leaves_the_line(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let owner = mesh.test.owner().await;
    let (_, first, _) = mesh.queue_build("a").await;
    let (_, second, _) = mesh.queue_build("b").await;
    let _link = connected(&mesh, "w1").await;
    claim(&mesh).await.expect("the first");
    assert_eq!(to_front(&owner, first).await.expect(409)["code"], "not_queued");
    owner.post(&format!("/api/v1/deployments/{second}/cancel"), json!({})).await.expect(202);
    assert_eq!(to_front(&owner, second).await.expect(409)["code"], "not_queued");
    assert_eq!(line(&owner).await, [at("a", 1, Value::Null)]);
    owner.post(&format!("/api/v1/deployments/{first}/cancel"), json!({})).await.expect(202);
    assert_eq!(queue(&owner).await[0]["cancelling"], true, "until its worker says so");
    assert_eq!(claim(&mesh).await, None);
}

/// A hundred thousand deployments that ended long ago, with their jobs.
async fn history(mesh: &Mesh) {
    let db = &mesh.test.app.db;
    for sql in [
        "insert into deployments (id, app_id, number, kind, settings, variables, created_by, state)
         select gen_random_uuid(), (select min(id::text)::uuid from apps), -n, 'build', '{}', '', 'test', 'superseded'
         from generate_series(1, 100000) n",
        "insert into jobs (id, kind, deployment_id, payload, state)
         select gen_random_uuid(), 'build', id, '', 'succeeded' from deployments where number < 0",
        "analyze jobs",
        "analyze deployments",
    ] {
        sqlx::query(sql).execute(db).await.expect("history");
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_claim_reads_the_partial_index_in_order_whatever_the_history(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    for waiting in 0..50 {
        mesh.queue_build(&format!("app{waiting}")).await;
    }
    history(&mesh).await;
    let claim = include_str!("../store/next_build.sql");
    let explain = format!("explain (analyze, buffers, format json)\n{claim}");
    let plan: Value =
        sqlx::query_scalar(sqlx::AssertSqlSafe(explain)).fetch_one(&mesh.test.app.db).await.expect("plan");
    let text = plan.to_string();
    assert!(text.contains("\"jobs_queued_idx\""), "{plan:#}");
    assert!(!text.contains("\"Seq Scan\"") && !text.contains("\"Sort\""), "{plan:#}");
    let buffers = plan[0]["Plan"]["Shared Hit Blocks"].as_i64().expect("hits")
        + plan[0]["Plan"]["Shared Read Blocks"].as_i64().expect("reads");
    assert!(buffers < 40, "one claim touches {buffers} pages: {plan:#}");
}
