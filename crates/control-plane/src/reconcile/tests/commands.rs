//! Commands of a release, with agents on real sockets.

use super::*;

const COMMANDS: &str = r#"{"deploy": {"pre_command": ["migrate"], "post_command": ["warm-up"]}}"#;

impl World {
    /// A build of a release with commands, as far as its first command on the worker.
    async fn commanded(&mut self, deployment: DeploymentId, job: JobId) -> InstanceId {
        self.sql(
            "update deployments set settings = settings || $2::jsonb where id = $1",
            deployment,
            COMMANDS,
        )
        .await;
        self.build(job).await;
        self.pass().await;
        self.only_command("migrate").await
    }

    async fn sql(&self, statement: &'static str, id: DeploymentId, value: &str) {
        sqlx::query(statement).bind(id).bind(value).execute(&self.mesh.test.app.db).await.expect("statement");
    }

    /// The worker's newest spec has one command and it is this.
    async fn only_command(&mut self, program: &str) -> InstanceId {
        let spec = self.worker_spec().await;
        let commands: Vec<_> = spec.instances.iter().filter(|one| one.once).collect();
        assert_eq!(commands.len(), 1);
        assert_eq!(commands[0].command.as_deref(), Some(&[program.to_owned()][..]));
        assert_eq!(commands[0].env["GREETING"], "hi", "it has what the app has");
        commands[0].id
    }

    async fn runs(&mut self) -> Vec<InstanceId> {
        self.worker_spec().await.instances.iter().map(|one| one.id).collect()
    }

    async fn failure_code(&self, deployment: DeploymentId) -> Option<String> {
        sqlx::query_scalar("select failure ->> 'code' from deployments where id = $1")
            .bind(deployment)
            .fetch_one(&self.mesh.test.app.db)
            .await
            .expect("code")
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_commands_of_a_release_run_before_its_first_instance_and_after_it_is_live(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (app, deployment, job) = world.mesh.queue_build("hello").await;
    let before = world.commanded(deployment, job).await;
    world.pass().await;
    world.report(&[(before, InstanceState::Exited)]).await;
    world.pass().await;
    let spec = world.worker_spec().await;
    let [instance] = spec.instances.as_slice() else { panic!("one instance: {spec:?}") };
    assert!(!instance.once && instance.command.is_none());
    let instance = instance.id;
    world.report(&[(instance, InstanceState::Healthy)]).await;
    world.pass().await;
    dispatch_specs::all(&world.mesh.test.app).await.expect("specs");
    world.proxy_spec().await;
    world.settle().await;
    world.pass().await;
    assert_eq!(world.state(deployment).await, "live");

    let after = world.only_command("warm-up").await;
    let owner = world.mesh.test.owner().await;
    let seen = owner.get("/api/v1/apps/hello").await.expect(200);
    assert_eq!(seen["instances"]["wanted"], 1, "a command is no instance of the app");
    world.report(&[(instance, InstanceState::Healthy), (after, InstanceState::Failed)]).await;
    world.pass().await;
    assert_eq!(world.state(deployment).await, "live", "it serves nevertheless");
    assert_eq!(world.failure_code(deployment).await.as_deref(), Some("never_listened"), "as its worker said");
    assert_eq!(world.runs().await, [instance]);
    assert_eq!(in_rotation(&world, app).await, [instance]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_command_that_fails_before_the_roll_out_fails_it_and_the_old_release_serves_on(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (app, first, job) = world.mesh.queue_build("hello").await;
    let (old, _) = world.deploy(first, job, &[]).await;
    let (second, job) = world.mesh.queue_next(app, 2).await;
    let command = world.commanded(second, job).await;
    world.report(&[(old, InstanceState::Healthy), (command, InstanceState::Failed)]).await;
    world.pass().await;
    assert_eq!(world.state(second).await, "failed");
    assert_eq!(world.state(first).await, "live");
    assert_eq!(world.runs().await, [old]);
    assert_eq!(in_rotation(&world, app).await, [old]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_command_ends_with_the_cancellation_of_its_deployment(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (_, deployment, job) = world.mesh.queue_build("hello").await;
    let command = world.commanded(deployment, job).await;
    world.report(&[(command, InstanceState::Starting)]).await;
    let owner = world.mesh.test.owner().await;
    owner.post(&format!("/api/v1/deployments/{deployment}/cancel"), serde_json::json!({})).await.expect(202);
    world.pass().await;
    assert_eq!(world.runs().await, []);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_command_that_is_lost_or_does_not_end_fails_and_is_not_run_again(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (app, first, job) = world.mesh.queue_build("hello").await;
    let command = world.commanded(first, job).await;
    world.report(&[(command, InstanceState::Starting)]).await;
    // As when its node is removed by force.
    world.sql("delete from instances where deployment_id = $1 and $2 <> ''", first, "-").await;
    world.pass().await;
    assert_eq!(world.state(first).await, "failed");
    assert_eq!(world.failure_code(first).await.as_deref(), Some("release_command_failed"));

    let (second, job) = world.mesh.queue_next(app, 2).await;
    let command = world.commanded(second, job).await;
    world.report(&[(command, InstanceState::Starting)]).await;
    let late = "update instances set created_at = created_at - $2::interval where deployment_id = $1";
    world.sql(late, second, "30 min").await;
    world.pass().await;
    assert_eq!(world.failure_code(second).await.as_deref(), Some("release_command_failed"));
    assert_eq!(world.runs().await, []);
}
