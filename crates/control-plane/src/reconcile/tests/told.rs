//! What an app's activity says of roll-outs.

use protocol::report::InstanceState;
use serde_json::json;
use sqlx::PgPool;

use super::{Redeploy, World};

async fn activity(world: &World) -> Vec<String> {
    let page = world.mesh.test.owner().await.get("/api/v1/apps/hello/activity").await.expect(200);
    let items = page["items"].as_array().expect("items").iter();
    items.map(|event| event["text"].as_str().expect("text").to_owned()).collect()
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_deployment_that_fails_is_told_with_its_reason(pool: PgPool) {
    let mut world = World::new(pool).await;
    let Redeploy { old, job, .. } = world.redeploy().await;
    let new = world.start(job, &[old]).await;
    world.report(&[(old, InstanceState::Healthy), (new, InstanceState::Failed)]).await;
    world.pass().await;
    world.pass().await;
    let told = ["Deployment 2 failed: Nothing listens on port 3000.", "Deployment 1 is live with release 1"];
    assert_eq!(activity(&world).await[..2], told);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_rollback_is_told_with_the_release_that_it_came_from(pool: PgPool) {
    let mut world = World::new(pool).await;
    let Redeploy { old, second, job, .. } = world.redeploy().await;
    world.deploy(second, job, &[old]).await;
    let owner = world.mesh.test.owner().await;
    owner.post("/api/v1/apps/hello/rollback", json!({})).await.expect(202);
    let told = activity(&world).await;
    assert_eq!(
        told[..2],
        ["Test rolled back to release 1 from release 2", "Deployment 2 is live with release 2"]
    );
}
