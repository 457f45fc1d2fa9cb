//! Several roll-outs at once: they are looked at together, and each is taken by itself.

use std::time::Duration;

use tokio::time::timeout;

use super::*;

/// Two apps whose instances are starting.
struct Two {
    world: World,
    first: (AppId, InstanceId),
    second: (AppId, DeploymentId, InstanceId),
}

impl Two {
    async fn new(pool: PgPool) -> Self {
        let mut world = World::new(pool).await;
        let (one, _, job) = world.mesh.queue_build("one").await;
        let first = world.start(job, &[]).await;
        let (two, deployment, job) = world.mesh.queue_build("two").await;
        let second = world.start(job, &[first]).await;
        world.report(&[(first, InstanceState::Starting), (second, InstanceState::Starting)]).await;
        world.pass().await;
        Self { world, first: (one, first), second: (two, deployment, second) }
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn one_that_only_waits_is_not_held_and_goes_on_when_what_it_waits_for_is_there(pool: PgPool) {
    let Two { mut world, first, second } = Box::pin(Two::new(pool)).await;
    let mut held = world.mesh.test.app.db.begin().await.expect("transaction");
    sqlx::query("select from deployments where id = $1 for update")
        .bind(second.1.0)
        .execute(&mut *held)
        .await
        .expect("held");
    world.report(&[(first.1, InstanceState::Healthy), (second.2, InstanceState::Starting)]).await;
    timeout(Duration::from_secs(5), world.pass()).await.expect("it waits for nobody");
    assert_eq!(in_rotation(&world, first.0).await, [first.1]);
    assert_eq!(in_rotation(&world, second.0).await, []);
    held.rollback().await.expect("let go");

    world.report(&[(first.1, InstanceState::Healthy), (second.2, InstanceState::Healthy)]).await;
    world.pass().await;
    assert_eq!(in_rotation(&world, second.0).await, [second.2]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn one_that_cannot_be_read_holds_up_no_other(pool: PgPool) {
    let Two { mut world, first, second } = Box::pin(Two::new(pool)).await;
    let db = world.mesh.test.app.db.clone();
    // As a later release may write it.
    sqlx::query(r#"update deployments set settings = settings || '{"later": 1}' where id = $1"#)
        .bind(second.1.0)
        .execute(&db)
        .await
        .expect("settings");
    world.report(&[(first.1, InstanceState::Healthy), (second.2, InstanceState::Healthy)]).await;
    Rollouts(world.mesh.test.app.clone()).pass().await.expect_err("it is told");
    assert_eq!(in_rotation(&world, first.0).await, [first.1]);
    assert_eq!(in_rotation(&world, second.0).await, []);
    sqlx::query("update deployments set settings = settings - 'later'").execute(&db).await.expect("settings");
    world.pass().await;
    assert_eq!(in_rotation(&world, second.0).await, [second.2]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn one_whose_instance_says_nothing_fails_when_its_time_is_over(pool: PgPool) {
    let Two { world, second, .. } = Box::pin(Two::new(pool)).await;
    sqlx::query("update deployments set stepped_at = stepped_at - interval '1 hour' where id = $1")
        .bind(second.1.0)
        .execute(&world.mesh.test.app.db)
        .await
        .expect("time passes");
    world.pass().await;
    assert_eq!(world.state(second.1).await, "failed");
}
