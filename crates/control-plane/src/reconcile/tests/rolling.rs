//! The strategy `rolling`, with agents on real sockets.

use super::*;

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_rolling_release_that_fails_half_way_leads_back_to_the_old_one(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (app, first, job) = world.mesh.queue_build("hello").await;
    let (old, _) = world.deploy(first, job, &[]).await;
    let (second, job) = world.mesh.queue_next(app, 2).await;
    sqlx::query(
        r#"update deployments set settings = settings || '{"replicas": 2, "deploy": {"strategy": "rolling"}}'
           where id = $1"#,
    )
    .bind(second.0)
    .execute(&world.mesh.test.app.db)
    .await
    .expect("settings");
    world.build(job).await;
    world.pass().await;
    let spec = world.worker_spec().await;
    assert_eq!(spec.instances.len(), 2, "one at a time beside the old one");
    let new = spec.instances.iter().map(|instance| instance.id).find(|id| *id != old).expect("new");
    world.report(&[(old, InstanceState::Healthy), (new, InstanceState::Healthy)]).await;
    world.pass().await;
    assert_eq!(in_rotation(&world, app).await, [new]);
    assert_eq!(world.state(second).await, "rolling-out");

    DispatchSpecs(world.mesh.test.app.clone()).pass().await.expect("specs");
    world.proxy_spec().await;
    world.settle().await;
    world.pass().await;
    let spec = world.worker_spec().await;
    assert_eq!(spec.instances.len(), 3, "the proxy has the table, so the next one starts");
    let next = spec.instances.iter().map(|one| one.id).find(|id| ![old, new].contains(id)).expect("next");
    let (healthy, failed) = (InstanceState::Healthy, InstanceState::Failed);
    world.report(&[(old, healthy), (new, healthy), (next, failed)]).await;
    world.pass().await;
    assert_eq!(world.state(second).await, "failed");
    assert_eq!(in_rotation(&world, app).await, [old]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_proxy_that_keeps_its_old_table_fails_the_deployment(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (app, first, job) = world.mesh.queue_build("hello").await;
    let (old, _) = world.deploy(first, job, &[]).await;
    let (second, job) = world.mesh.queue_next(app, 2).await;
    world.build(job).await;
    world.pass().await;
    let spec = world.worker_spec().await;
    let new = spec.instances.iter().map(|instance| instance.id).find(|id| *id != old).expect("new");
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
