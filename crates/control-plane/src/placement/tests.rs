//! Room for instances, over Postgres.

use daemon::reconcile::Reconciler;
use protocol::ids::{AppId, DeploymentId, NodeId};
use protocol::report::HostFacts;
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::types::Json;

use crate::http::permission::MemberRole;
use crate::reconcile::rollouts::{Rollouts, advance};
use crate::testing::{Client, TestApp};

/// A worker that is connected.
pub(crate) async fn worker(app: &TestApp, name: &str, cpus: u32, memory_mb: u64) -> NodeId {
    let id = NodeId::new();
    let host = HostFacts { cpus, memory_mb, ..HostFacts::default() };
    sqlx::query(
        "insert into nodes (id, name, roles, origin, mesh_address, public_key, host, status)
         select $1, $2, '{worker}'::text[], 'enrolled', '10.50.0.10'::inet + count(*), $2, $3, 'online' from nodes",
    )
    .bind(id)
    .bind(name)
    .bind(Json(host))
    .execute(&app.app.db)
    .await
    .expect("node");
    sqlx::query("insert into agents (node_id, kind, build_slots, connected_to) values ($1, 'worker', 1, $2)")
        .bind(id)
        .bind(uuid::Uuid::now_v7())
        .execute(&app.app.db)
        .await
        .expect("agent");
    id
}

/// An app whose release waits to be rolled out.
pub(crate) async fn rolling(
    app: &TestApp,
    owner: &Client,
    slug: &str,
    settings: Value,
) -> (AppId, DeploymentId) {
    let mut body = settings;
    body["slug"] = json!(slug);
    let made = owner.post("/api/v1/apps", body).await.expect(201);
    let id: AppId = serde_json::from_value(made["id"].clone()).expect("id");
    let deployment = DeploymentId::new();
    sqlx::query(
        "with release as (
             insert into releases (id, app_id, number, image_id, image_reference, settings, variables)
             values ($1, $2, 1, 'sha256:a', 'localhost/a:1', $4, '') returning id)
         insert into deployments (id, app_id, number, kind, settings, variables, created_by, release_id, state)
         select $3, $2, 1, 'image', $4, '', 'test', id, 'rolling-out' from release",
    )
    .bind(uuid::Uuid::now_v7())
    .bind(id)
    .bind(deployment)
    .bind(&made["settings"])
    .execute(&app.app.db)
    .await
    .expect("deployment");
    (id, deployment)
}

async fn waiting_for(app: &TestApp, deployment: DeploymentId) -> String {
    sqlx::query_scalar("select coalesce(waiting_for, '') from deployments where id = $1")
        .bind(deployment)
        .fetch_one(&app.app.db)
        .await
        .expect("deployment")
}

pub(crate) async fn nodes_of(app: &TestApp, of: AppId) -> Vec<String> {
    sqlx::query_scalar(
        "select name from instances join nodes on nodes.id = node_id where app_id = $1 order by name",
    )
    .bind(of)
    .fetch_all(&app.app.db)
    .await
    .expect("instances")
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn what_is_reserved_never_exceeds_what_there_is_when_two_place_at_once(pool: PgPool) {
    let one = TestApp::new(pool.clone()).await;
    let other = TestApp::new(pool).await;
    let owner = one.owner().await;
    // 256 MiB stay with each host: three, two and four instances fit.
    for (name, memory_mb) in [("a", 256 + 3 * 512), ("b", 256 + 2 * 512 + 500), ("c", 256 + 4 * 512)] {
        worker(&one, name, 4, memory_mb).await;
    }
    let mut deployments = Vec::new();
    for number in 0..14 {
        deployments.push(rolling(&one, &owner, &format!("app-{number}"), json!({})).await.1);
    }
    let half = |app: &TestApp, ids: &[DeploymentId]| {
        let (app, ids) = (app.app.clone(), ids.to_vec());
        async move {
            for id in ids {
                advance(&app, id).await.expect("a step");
            }
        }
    };
    tokio::join!(half(&one, &deployments[..7]), half(&other, &deployments[7..]));
    let held: Vec<(String, i64)> = sqlx::query_as(
        "select name, sum(memory_mb) from instances join nodes on nodes.id = node_id group by name order by name",
    )
    .fetch_all(&one.app.db)
    .await
    .expect("held");
    let full = [("a", 3 * 512), ("b", 2 * 512), ("c", 4 * 512)].map(|(name, sum)| (name.to_owned(), sum));
    assert_eq!(held, full, "as much as fits, and not one more");
    let mut waiting = Vec::new();
    for deployment in deployments {
        waiting.push(waiting_for(&one, deployment).await);
    }
    waiting.retain(|text| text.contains("short"));
    assert_eq!(waiting.len(), 5, "{waiting:?}");
    assert_eq!(
        waiting[0],
        "a worker that can take an instance (a, c: 512 MiB of memory short; b: 12 MiB of memory short)"
    );
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_instance_that_stops_holds_its_place_until_it_stopped(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    let a = worker(&app, "a", 4, 256 + 512).await;
    let (first, _) = rolling(&app, &owner, "first", json!({})).await;
    let mut rollouts = Rollouts(app.app.clone());
    rollouts.pass().await.expect("pass");
    assert_eq!(nodes_of(&app, first).await, ["a"]);
    sqlx::query("update instances set wanted = false").execute(&app.app.db).await.expect("stops");
    sqlx::query("update deployments set state = 'failed'").execute(&app.app.db).await.expect("fails");
    let (second, deployment) = rolling(&app, &owner, "second", json!({})).await;
    rollouts.pass().await.expect("pass");
    assert_eq!(nodes_of(&app, second).await, [] as [&str; 0]);
    assert!(waiting_for(&app, deployment).await.contains("(a: 512 MiB of memory short)"));
    // Its worker tells of it for a while longer.
    sqlx::query("update instances set state = 'stopped' where node_id = $1")
        .bind(a)
        .execute(&app.app.db)
        .await
        .expect("stopped");
    rollouts.pass().await.expect("pass");
    assert_eq!(nodes_of(&app, second).await, ["a"]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_app_goes_where_its_placement_says_and_is_told_when_that_is_nowhere(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    for name in ["a", "b"] {
        worker(&app, name, 4, 8192).await;
    }
    owner.patch("/api/v1/nodes/b", json!({ "labels": { "disk": "nvme" } })).await.expect(200);
    let hard = json!({ "required": ["disk=nvme"], "anti_affinity": "hard" });
    let (fast, deployment) = rolling(&app, &owner, "fast", json!({ "replicas": 2, "placement": hard })).await;
    let (pinned, _) =
        rolling(&app, &owner, "pinned", json!({ "replicas": 2, "placement": { "pin": "a" } })).await;
    let mut rollouts = Rollouts(app.app.clone());
    rollouts.pass().await.expect("pass");
    assert_eq!(nodes_of(&app, fast).await, ["b"]);
    assert_eq!(nodes_of(&app, pinned).await, ["a", "a"]);
    rollouts.pass().await.expect("pass");
    assert_eq!(
        waiting_for(&app, deployment).await,
        "a worker that can take an instance (a: its labels do not fulfil disk=nvme; b: runs a replica already)"
    );
    // For five minutes; then it fails with the same reasons.
    sqlx::query("update deployments set stepped_at = now() - interval '5 min' where id = $1")
        .bind(deployment)
        .execute(&app.app.db)
        .await
        .expect("time passes");
    rollouts.pass().await.expect("pass");
    let shown = owner.get(&format!("/api/v1/deployments/{deployment}")).await.expect(200);
    let message = shown["failure"]["message"].as_str().expect("a failure").to_owned();
    assert!(message.contains("b: runs a replica already") && message.contains("disk=nvme"), "{message}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_node_takes_what_it_is_set_to_take(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    for name in ["builds", "cordoned", "small"] {
        worker(&app, name, 4, 8192).await;
    }
    let set = |node: &str, body: Value| {
        let (owner, path) = (owner.clone(), format!("/api/v1/nodes/{node}/placement"));
        async move { owner.patch(&path, body).await }
    };
    let builds = set("builds", json!({ "takes_apps": false })).await.expect(200);
    assert_eq!((&builds["takes_apps"], &builds["takes_builds"]), (&json!(false), &json!(true)));
    assert_eq!(builds["capacity"], json!({ "cpu_millis": 39_000, "memory_mb": 7936 }));
    set("small", json!({ "max_instances": 1, "takes_builds": false })).await.expect(200);
    let error = set("small", json!({ "max_instances": 0 })).await.expect(422);
    assert_eq!(error["field"], "max_instances");
    let cordoned = owner.post("/api/v1/nodes/cordoned/cordon", json!({})).await.expect(200);
    assert!(cordoned["cordoned_at"].is_string());

    let (id, deployment) = rolling(&app, &owner, "two", json!({ "replicas": 2 })).await;
    let mut rollouts = Rollouts(app.app.clone());
    rollouts.pass().await.expect("pass");
    assert_eq!(nodes_of(&app, id).await, ["small"]);
    rollouts.pass().await.expect("pass");
    assert_eq!(
        waiting_for(&app, deployment).await,
        "a worker that can take an instance (builds: takes no apps; cordoned: cordoned; small: full with 1 instances)"
    );
    let mut conn = app.app.db.acquire().await.expect("connection");
    let slots = crate::jobs::store::queue::slots(&mut conn).await.expect("slots");
    let total: Vec<i64> = slots.iter().map(|slots| slots.total).collect();
    assert_eq!(total, [1, 0, 0], "neither a cordoned node nor one that runs apps alone builds");

    owner.post("/api/v1/nodes/cordoned/uncordon", json!({})).await.expect(200);
    rollouts.pass().await.expect("pass");
    assert_eq!(nodes_of(&app, id).await, ["cordoned", "small"]);
    let listed = owner.get("/api/v1/placement/nodes").await.expect(200);
    let small = listed["items"].as_array().expect("items").iter().find(|node| node["name"] == "small");
    assert_eq!(
        small.map(|node| (&node["instances"], &node["reserved"])),
        Some((&json!(1), &json!({ "cpu_millis": 1000, "memory_mb": 512 })))
    );
    let viewer = app.member("acme", MemberRole::Viewer).await;
    viewer.post("/api/v1/nodes/small/cordon", json!({})).await.expect(403);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_app_is_pinned_only_to_a_worker_that_is_there(pool: PgPool) {
    let app = TestApp::new(pool).await;
    worker(&app, "worker-1", 8, 4096).await;
    worker(&app, "worker-2", 8, 4096).await;
    sqlx::query("update nodes set roles = '{proxy}' where name = 'worker-2'")
        .execute(&app.app.db)
        .await
        .expect("a proxy");
    let owner = app.owner().await;
    let pinned = |node: &str| json!({ "slug": "shop", "placement": { "pin": node } });
    let refused = owner.post("/api/v1/apps", pinned("workr-1")).await.expect(422);
    assert_eq!(
        (&refused["field"], &refused["message"]),
        (&json!("placement.pin"), &json!("there is no node workr-1"))
    );
    assert_eq!(refused["hint"], "Did you mean worker-1? The workers are: worker-1");
    let refused = owner.post("/api/v1/apps", pinned("worker-2")).await.expect(422);
    assert!(refused["message"].as_str().expect("text").contains("is no worker"), "{refused}");
    owner.post("/api/v1/apps", pinned("worker-1")).await.expect(201);
    let other = json!({ "placement": { "pin": "gone" } });
    owner.patch("/api/v1/apps/shop", other).await.expect(422);
    sqlx::query("update nodes set removed_at = now() where name = 'worker-1'")
        .execute(&app.app.db)
        .await
        .expect("it goes");
    // What was set before does not stand in the way of another change.
    let more = json!({ "replicas": 2, "placement": { "pin": "worker-1" } });
    owner.patch("/api/v1/apps/shop", more).await.expect(200);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_strategy_that_is_none_is_refused_with_the_field_and_what_there_is(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    let wrong = json!({ "slug": "shop", "placement": { "strategy": "random" } });
    let refused = owner.post("/api/v1/apps", wrong).await.expect(422);
    assert_eq!(refused["field"], "placement.strategy", "{refused}");
    assert_eq!(
        refused["message"],
        "placement.strategy: strategy must be least-utilised, round-robin, resource or spread, not `random`"
    );
}
