//! Stop, start, restart and scale, with agents on real sockets.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::http::permission::MemberRole;
use crate::tombstones;

impl World {
    pub(super) async fn post(&self, path: &str, body: Value) -> Value {
        let owner = self.mesh.test.owner().await;
        owner.post(&format!("/api/v1/apps/hello/{path}"), body).await.expect(202)
    }

    pub(super) async fn app(&self) -> Value {
        self.mesh.test.owner().await.get("/api/v1/apps/hello").await.expect(200)
    }

    pub(super) async fn table(&mut self) -> ProxySpec {
        dispatch_specs::all(&self.mesh.test.app).await.expect("specs");
        let table = self.proxy_spec().await;
        self.settle().await;
        table
    }

    async fn drain(&self) {
        sqlx::query("update instances set out_at = out_at - interval '11 s'")
            .execute(&self.mesh.test.app.db)
            .await
            .expect("time passes");
        self.pass().await;
    }

    pub(super) async fn wanted(&self) -> Vec<InstanceId> {
        sqlx::query_scalar("select id from instances where wanted order by id")
            .fetch_all(&self.mesh.test.app.db)
            .await
            .expect("ids")
    }

    /// Takes the deployment from its first instances to live; what is wanted then.
    pub(super) async fn roll(&mut self, made: &Value) -> Vec<InstanceId> {
        self.pass().await;
        let all: Vec<_> = self.wanted().await.into_iter().map(|id| (id, InstanceState::Healthy)).collect();
        let starts: bool =
            sqlx::query_scalar("select exists (select from instances where wanted and state = 'pending')")
                .fetch_one(&self.mesh.test.app.db)
                .await
                .expect("instances");
        if starts {
            self.worker_spec().await;
        }
        self.report(&all).await;
        self.pass().await;
        self.table().await;
        self.pass().await;
        let id: uuid::Uuid = made["deployment"]["id"].as_str().expect("id").parse().expect("uuid");
        assert_eq!(self.state(DeploymentId(id)).await, "live");
        self.drain().await;
        self.wanted().await
    }
}

pub(super) fn upstreams(table: &ProxySpec) -> Vec<InstanceId> {
    table.routes[0].upstreams.iter().map(|upstream| upstream.instance).collect()
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_stopped_app_keeps_its_route_and_starts_with_its_release(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (_, first, job) = world.mesh.queue_build("hello").await;
    let (old, _) = world.deploy(first, job, &[]).await;

    let stopped = world.post("stop", json!({})).await;
    assert_eq!((&stopped["app"]["status"], &stopped["deployment"]), (&json!("stopped"), &json!(null)));
    world.pass().await;
    let table = world.table().await;
    assert_eq!(table.routes[0].hosts, ["hello.route.example.com"]);
    assert_eq!(upstreams(&table), [], "the proxy answers 503");
    assert_eq!(world.wanted().await, [old], "its last requests may end");
    world.drain().await;
    assert_eq!(world.wanted().await, []);
    world.worker_spec().await;
    world.report(&[]).await;
    let app = world.app().await;
    assert_eq!((&app["status"], &app["instances"]["wanted"]), (&json!("stopped"), &json!(0)));
    assert_eq!(app["release"]["number"], 1);
    assert_eq!(world.state(first).await, "live");

    let scaled = world.post("scale", json!({ "replicas": 2 })).await;
    assert_eq!(scaled["deployment"], json!(null), "the number waits for the start");
    let made = world.post("start", json!({})).await;
    assert_eq!((&made["deployment"]["kind"], &made["deployment"]["release"]), (&json!("start"), &json!(1)));
    assert_eq!(world.roll(&made).await.len(), 2);
    let app = world.app().await;
    assert_eq!((&app["status"], &app["stopped_at"]), (&json!("running"), &json!(null)));
    assert_eq!(app["instances"]["healthy"], 2);
    let again = world.post("start", json!({})).await;
    assert_eq!(again["deployment"], json!(null), "it runs already");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_restart_replaces_the_instances_after_the_new_ones_are_healthy(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (app, first, job) = world.mesh.queue_build("hello").await;
    let (old, _) = world.deploy(first, job, &[]).await;
    let made = world.post("restart", json!({})).await;
    world.pass().await;
    assert_eq!(in_rotation(&world, app).await, [old], "it serves until the new one does");
    let now = world.roll(&made).await;
    assert_eq!((now.len(), now.contains(&old)), (1, false));
    assert_eq!(world.app().await["release"]["number"], 1, "the same release");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn one_instance_is_replaced_after_its_successor_is_healthy_and_the_others_stay(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (app, first, job) = world.mesh.queue_build("hello").await;
    world.deploy(first, job, &[]).await;
    let made = world.post("scale", json!({ "replicas": 2 })).await;
    let [stays, goes] = world.roll(&made).await[..] else { panic!("two") };
    let made = world.post(&format!("instances/{goes}/restart"), json!({})).await;
    let deployment = &made["deployment"];
    assert_eq!(
        (&deployment["kind"], &deployment["message"]),
        (&json!("restart"), &json!("one instance, on w1"))
    );
    world.pass().await;
    assert_eq!(world.wanted().await.len(), 3, "one more than asked for");
    let serving: BTreeSet<_> = in_rotation(&world, app).await.into_iter().collect();
    assert_eq!(serving, BTreeSet::from([stays, goes]), "it serves until the new one does");
    let now = world.roll(&made).await;
    assert_eq!((now.len(), now.contains(&stays), now.contains(&goes)), (2, true, false));
    assert_eq!(in_rotation(&world, app).await.len(), 2);
    let told = world.mesh.test.owner().await.get("/api/v1/apps/hello/activity").await.expect(200);
    assert_eq!(told["items"][1]["text"], "Test restarted an instance on w1 with deployment 3");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_instance_whose_successor_fails_goes_on_serving(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (app, first, job) = world.mesh.queue_build("hello").await;
    let (old, _) = world.deploy(first, job, &[]).await;
    world.post(&format!("instances/{old}/restart"), json!({})).await;
    world.pass().await;
    let new = world.wanted().await.into_iter().find(|id| *id != old).expect("new");
    world.worker_spec().await;
    world.report(&[(old, InstanceState::Healthy), (new, InstanceState::Failed)]).await;
    world.pass().await;
    assert_eq!(world.state(first).await, "live");
    assert_eq!((in_rotation(&world, app).await, world.wanted().await), (vec![old], vec![old]));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn only_an_instance_that_serves_is_restarted_and_by_who_may_deploy(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (_, first, job) = world.mesh.queue_build("hello").await;
    let (old, _) = world.deploy(first, job, &[]).await;
    let path = |id: InstanceId| format!("/api/v1/apps/hello/instances/{id}/restart");
    let owner = world.mesh.test.owner().await;
    owner.post(&path(InstanceId::new()), json!({})).await.expect(404);
    world.mesh.test.member("acme", MemberRole::Viewer).await.post(&path(old), json!({})).await.expect(403);
    world.mesh.test.member("other", MemberRole::Owner).await.post(&path(old), json!({})).await.expect(404);
    owner.post(&path(old), json!({})).await.expect(202);
    assert_eq!(owner.post(&path(old), json!({})).await.expect(409)["code"], "deployment_running");
    sqlx::query("update deployments set state = 'cancelled' where number = 2")
        .execute(&world.mesh.test.app.db)
        .await
        .expect("cancel");
    sqlx::query("update instances set in_rotation = false")
        .execute(&world.mesh.test.app.db)
        .await
        .expect("left");
    assert_eq!(owner.post(&path(old), json!({})).await.expect(409)["code"], "not_running");
    world.post("stop", json!({})).await;
    assert_eq!(owner.post(&path(old), json!({})).await.expect(409)["code"], "app_stopped");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn scaling_leaves_alone_what_runs(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (app, first, job) = world.mesh.queue_build("hello").await;
    let (old, _) = world.deploy(first, job, &[]).await;
    let made = world.post("scale", json!({ "replicas": 3 })).await;
    let three = world.roll(&made).await;
    assert_eq!((three.len(), three.contains(&old)), (3, true));
    let shown = world.app().await;
    assert_eq!(shown["instances"]["wanted"], 3);
    assert_eq!(shown["instances"]["healthy"], 3, "the one that stayed counts");
    assert_eq!(shown["release"]["number"], 1, "scaling makes no release");

    let made = world.post("scale", json!({ "replicas": 1 })).await;
    let one = world.roll(&made).await;
    assert_eq!(one.len(), 1);
    assert!(three.contains(&one[0]));
    assert_eq!(in_rotation(&world, app).await, one);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_scale_up_that_fails_takes_nothing_away(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (app, first, job) = world.mesh.queue_build("hello").await;
    let (old, _) = world.deploy(first, job, &[]).await;
    world.post("scale", json!({ "replicas": 2 })).await;
    world.pass().await;
    let new = world.wanted().await.into_iter().find(|id| *id != old).expect("new");
    world.worker_spec().await;
    world.report(&[(old, InstanceState::Healthy), (new, InstanceState::Failed)]).await;
    world.pass().await;
    assert_eq!(world.state(first).await, "live");
    assert_eq!(in_rotation(&world, app).await, [old]);
    assert_eq!(world.wanted().await, [old]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn one_deployment_at_a_time_and_nothing_without_a_release(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (app, first, job) = world.mesh.queue_build("hello").await;
    let owner = world.mesh.test.owner().await;
    let all = [
        ("stop", json!({})),
        ("start", json!({})),
        ("restart", json!({})),
        ("scale", json!({ "replicas": 2 })),
    ];
    for (verb, body) in &all {
        let answer = owner.post(&format!("/api/v1/apps/hello/{verb}"), body.clone()).await.expect(409);
        assert_eq!(answer["code"], "nothing_deployed", "{verb}");
    }
    world.deploy(first, job, &[]).await;
    world.mesh.queue_next(app, 2).await;
    for (verb, body) in all.iter().filter(|(verb, _)| *verb != "start") {
        let answer = owner.post(&format!("/api/v1/apps/hello/{verb}"), body.clone()).await.expect(409);
        assert_eq!(answer["code"], "deployment_running", "{verb}");
        assert_eq!(answer["message"], "deployment 2 of this app is still under way");
    }
    sqlx::query("update deployments set state = 'cancelled' where number = 2")
        .execute(&world.mesh.test.app.db)
        .await
        .expect("cancel");
    let none = owner.post("/api/v1/apps/hello/scale", json!({ "replicas": 0 })).await.expect(422);
    assert_eq!(none["field"], "replicas");
    world.post("stop", json!({})).await;
    assert_eq!(owner.post("/api/v1/apps/hello/restart", json!({})).await.expect(409)["code"], "app_stopped");
    let actions: Vec<String> =
        sqlx::query_scalar("select action from audit_events where action like 'app.%' order by id")
            .fetch_all(&world.mesh.test.app.db)
            .await
            .expect("audit");
    assert_eq!(actions.last().map(String::as_str), Some("app.stop"));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_deleted_app_loses_its_route_and_undeleting_rolls_its_release_out(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (_, first, job) = world.mesh.queue_build("hello").await;
    let (old, _) = world.deploy(first, job, &[]).await;
    let owner = world.mesh.test.owner().await;
    owner.delete("/api/v1/apps/hello?confirm=hello").await.expect(200);
    world.pass().await;
    assert_eq!(world.table().await.routes, []);
    assert_eq!(world.wanted().await, [old], "its last requests may end");
    world.drain().await;
    assert_eq!(world.wanted().await, []);
    world.worker_spec().await;
    world.report(&[]).await;

    let made = world.post("undelete", json!({})).await;
    assert_eq!((&made["deployment"]["kind"], &made["deployment"]["release"]), (&json!("start"), &json!(1)));
    assert_eq!(world.roll(&made).await.len(), 1);
    assert_eq!(world.app().await["status"], "running");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_app_that_ran_is_removed_piece_by_piece_and_another_keeps_all(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (_, first, job) = world.mesh.queue_build("hello").await;
    let (old, _) = world.deploy(first, job, &[]).await;
    let (_, other, job) = world.mesh.queue_build("other").await;
    let (stays, _) = world.deploy(other, job, &[old]).await;
    let owner = world.mesh.test.owner().await;
    owner.delete("/api/v1/apps/hello?confirm=hello").await.expect(200);
    let db = world.mesh.test.app.db.clone();
    sqlx::query("update apps set deleted_at = now() - interval '8 days' where slug = 'hello'")
        .execute(&db)
        .await
        .expect("time passes");
    tombstones::sweep(&world.mesh.test.app).await.expect("sweep");
    let removals = "select detail from audit_events where action = 'app.remove'";
    let removals = || sqlx::query_scalar::<_, Value>(removals).fetch_all(&db);
    assert_eq!(removals().await.expect("audit"), [] as [Value; 0], "its instance is not drained");

    world.pass().await;
    world.table().await;
    world.drain().await;
    assert_eq!(world.wanted().await, [stays]);
    tombstones::sweep(&world.mesh.test.app).await.expect("sweep");
    let report = removals().await.expect("audit").pop().expect("a report");
    assert_eq!((&report["removed"]["releases"], &report["removed"]["deployments"]), (&json!(1), &json!(1)));
    assert_eq!(report["images"], json!(["hello:1"]));
    let spec = world.worker_spec().await;
    assert_eq!(spec.instances.iter().map(|instance| instance.id).collect::<Vec<_>>(), [stays]);
    let shown = owner.get("/api/v1/apps/other").await.expect(200);
    assert_eq!(shown["release"]["number"], 1);
}
