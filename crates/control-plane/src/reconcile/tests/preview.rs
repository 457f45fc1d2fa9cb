//! What will happen is told before it does, and asking changes nothing.

use serde_json::{Value, json};

use super::*;

async fn get(world: &World, path: &str) -> Value {
    world.mesh.test.owner().await.get(&format!("/api/v1/apps/hello/{path}")).await.expect(200)
}

async fn counts(world: &World) -> (i64, i64, i64) {
    let count = "select (select count(*) from deployments), (select count(*) from releases),
                        (select count(*) from instances)";
    sqlx::query_as(count).fetch_one(&world.mesh.test.app.db).await.expect("counts")
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_change_is_told_step_by_step_before_it_happens(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (_, first, job) = world.mesh.queue_build("hello").await;
    world.deploy(first, job, &[]).await;
    let before = counts(&world).await;

    let owner = world.mesh.test.owner().await;
    let settings = json!({ "resources": { "memory_mb": 64 }, "deploy": { "pre_command": ["migrate"] } });
    owner.patch("/api/v1/apps/hello", settings).await.expect(200);
    let told = &get(&world, "pending").await["preview"];
    assert_eq!(told["downtime"], false);
    assert_eq!(
        told["steps"],
        json!([
            "run the pre-deploy command on w1",
            "start an instance on w1",
            "wait until the new instances are healthy",
            "route requests to 1 new instance and no longer to 1 old instance on w1",
            "go live",
            "let 1 old instance end its requests, then stop it",
        ])
    );
    let scaled = get(&world, "scale/preview?replicas=2").await;
    assert_eq!(scaled["downtime"], false);
    assert_eq!(scaled["steps"][2], "route requests to 1 new instance too", "{scaled}");
    assert_eq!(counts(&world).await, before);
    let wrong = owner.get("/api/v1/apps/hello/scale/preview?replicas=0").await.expect(422);
    assert_eq!(wrong["field"], "replicas");

    world.post("stop", json!({})).await;
    world.pass().await;
    let told = &get(&world, "pending").await["preview"];
    assert_eq!((&told["downtime"], &told["steps"][1]), (&json!(true), &json!("start an instance on w1")));
}
