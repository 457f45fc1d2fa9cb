//! The strategy `rolling`, with agents on real sockets.

use super::*;

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_rolling_release_that_fails_half_way_leads_back_to_the_old_one(pool: PgPool) {
    let mut world = World::new(pool).await;
    let Redeploy { app, old, second, job, .. } = world.redeploy().await;
    sqlx::query(
        r#"update deployments set settings = settings || '{"replicas": 2, "deploy": {"strategy": "rolling"}}'
           where id = $1"#,
    )
    .bind(second.0)
    .execute(&world.mesh.test.app.db)
    .await
    .expect("settings");
    let new = world.start(job, &[old]).await;
    world.report(&[(old, InstanceState::Healthy), (new, InstanceState::Healthy)]).await;
    world.pass().await;
    assert_eq!(in_rotation(&world, app).await, [new]);
    assert_eq!(world.state(second).await, "rolling-out");

    dispatch_specs::all(&world.mesh.test.app).await.expect("specs");
    world.proxy_spec().await;
    world.settle().await;
    world.pass().await;
    // The proxy has the table, so the next one starts.
    let next = world.new_instance(&[old, new]).await;
    let (healthy, failed) = (InstanceState::Healthy, InstanceState::Failed);
    world.report(&[(old, healthy), (new, healthy), (next, failed)]).await;
    world.pass().await;
    assert_eq!(world.state(second).await, "failed");
    assert_eq!(in_rotation(&world, app).await, [old]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_proxy_that_keeps_its_old_table_fails_the_deployment(pool: PgPool) {
    let mut world = World::new(pool).await;
    let Redeploy { app, old, second, job, .. } = world.redeploy().await;
    let new = world.start(job, &[old]).await;
    world.report(&[(old, InstanceState::Healthy), (new, InstanceState::Healthy)]).await;
    world.pass().await;
    assert_eq!(in_rotation(&world, app).await, [new]);
    sqlx::query("update deployments set stepped_at = stepped_at - interval '2 min'")
        .execute(&world.mesh.test.app.db)
        .await
        .expect("time passes");
    world.pass().await;
    assert_eq!(world.state(second).await, "failed");
    assert_eq!(in_rotation(&world, app).await, [old]);
}
