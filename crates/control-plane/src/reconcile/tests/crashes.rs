//! Instances that end by themselves, and instances of which nobody hears any more.

use protocol::job::CRASH_LOOPING;
use serde_json::{Value, json};

use super::power::upstreams;
use super::*;

impl World {
    /// The worker reports how its only instance ended.
    async fn ended(&mut self, id: InstanceId, state: InstanceState, code: &str, restarts: u32) {
        let failure = Failure {
            code: code.to_owned(),
            message: "the app ended with exit code 3".to_owned(),
            stage: Stage::Start,
            exit_code: Some(3),
            ..failure()
        };
        let report = InstanceReport {
            id,
            state,
            started_at: None,
            restarts,
            exit_code: Some(3),
            out_of_memory: false,
            probe: None,
            failure: Some(failure),
            over_disk: None,
        };
        self.worker
            .say(&FromAgent::WorkerReport(WorkerReport { instances: vec![report], strays: Vec::new() }))
            .await;
        self.settle().await;
    }

    async fn crash_loops(&self) -> Vec<(String, String, Value)> {
        sqlx::query_as("select actor, target, detail from audit_events where action = 'app.crash-loop'")
            .fetch_all(&self.mesh.test.app.db)
            .await
            .expect("audit")
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_crash_loop_is_told_once_and_a_restart_ends_it(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (_, first, job) = world.mesh.queue_build("hello").await;
    let (looping, _) = world.deploy(first, job, &[]).await;
    world.ended(looping, InstanceState::Exited, "crashed", 1).await;
    let app = world.app().await;
    assert_eq!((&app["status"], &app["failure"]["code"]), (&json!("failed"), &json!("crashed")));
    assert_eq!(upstreams(&world.table().await), []);
    assert_eq!(world.crash_loops().await, []);

    for restarts in [5, 5, 6] {
        world.ended(looping, InstanceState::Failed, CRASH_LOOPING, restarts).await;
    }
    let app = world.app().await;
    assert_eq!((&app["status"], &app["failure"]["exit_code"]), (&json!("crash-looping"), &json!(3)));
    assert_eq!(app["failure"]["last_lines"], json!(["the last line"]));
    let told = world.crash_loops().await;
    let [(actor, target, detail)] = told.as_slice() else { panic!("told once: {told:?}") };
    assert_eq!((actor.as_str(), target.as_str()), ("node:w1", "app:hello"));
    assert_eq!((&detail["restarts"], &detail["release"]), (&json!(5), &json!(1)));

    let made = world.post("restart", json!({})).await;
    let now = world.roll(&made).await;
    assert!(!now.contains(&looping));
    let app = world.app().await;
    assert_eq!((&app["status"], &app["failure"]), (&json!("running"), &json!(null)));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn what_nobody_has_seen_lately_is_unknown_and_says_since_when(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (_, first, job) = world.mesh.queue_build("hello").await;
    let (instance, _) = world.deploy(first, job, &[]).await;
    let owner = world.mesh.test.owner().await;
    let app = world.app().await;
    assert_eq!((&app["status"], &app["instances"]["unknown_since"]), (&json!("running"), &json!(null)));
    sqlx::query("update instances set observed_at = now() - interval '46 s'")
        .execute(&world.mesh.test.app.db)
        .await
        .expect("time passes");
    let app = world.app().await;
    assert_eq!((&app["status"], &app["instances"]["healthy"]), (&json!("unknown"), &json!(0)));
    assert_eq!(app["instances"]["unknown"], 1);
    let shown = owner.get("/api/v1/apps/hello/instances").await.expect(200)["items"][0].clone();
    assert_eq!((&shown["state"], &shown["wanted"]), (&json!("healthy"), &json!(true)));
    assert_eq!(shown["unknown_since"], shown["observed_at"], "since it was seen last");
    assert_eq!(app["instances"]["unknown_since"], shown["observed_at"]);

    world.report(&[(instance, InstanceState::Healthy)]).await;
    let app = world.app().await;
    assert_eq!((&app["status"], &app["instances"]["unknown"]), (&json!("running"), &json!(0)));
}
