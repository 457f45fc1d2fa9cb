//! What instances may do to their hosts, and what of that nothing enforces.

use protocol::report::OverDisk;
use serde_json::{Value, json};

use super::*;

impl World {
    async fn writes(&mut self, id: InstanceId, over_disk: Option<OverDisk>) {
        let report = InstanceReport {
            id,
            state: InstanceState::Healthy,
            started_at: None,
            restarts: 0,
            exit_code: None,
            out_of_memory: false,
            probe: None,
            failure: None,
            over_disk,
        };
        self.worker
            .say(&FromAgent::WorkerReport(WorkerReport { instances: vec![report], strays: Vec::new() }))
            .await;
        self.settle().await;
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn limits_wait_for_a_release_and_those_that_nothing_enforces_are_shown(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (_, first, job) = world.mesh.queue_build("hello").await;
    let owner = world.mesh.test.owner().await;
    let isolation = json!({ "read_only": true, "tmpfs": ["/data=8"], "disk_mb": 50, "egress_mbit": 16 });
    let path = "/api/v1/apps/hello";
    let wrong = owner.patch(path, json!({ "isolation": { "tmpfs": ["/proc/x=8"] } })).await.expect(422);
    assert!(wrong["message"].as_str().is_some_and(|message| message.contains("kernel's")), "{wrong}");
    let wrong = owner.patch(path, json!({ "isolation": { "egress_mbit": 0 } })).await.expect(422);
    assert_eq!(wrong["field"], "isolation.egress_mbit");
    world.deploy(first, job, &[]).await;
    owner.patch(path, json!({ "isolation": isolation })).await.expect(200);
    let pending = owner.get("/api/v1/apps/hello/pending").await.expect(200);
    let of_isolation = |field: &&Value| field.as_str().is_some_and(|field| field.starts_with("isolation."));
    let fields = pending["changes"].as_array().into_iter().flatten().map(|change| &change["field"]);
    let fields: Vec<&Value> = fields.filter(of_isolation).collect();
    let waiting =
        ["read_only", "tmpfs", "disk_mb", "egress_mbit"].map(|name| json!(format!("isolation.{name}")));
    assert_eq!(fields, waiting.iter().collect::<Vec<_>>(), "{pending}");

    // The release has them, and its node has said what it is.
    let facts = json!({ "enforced": {
        "memory": { "by": "cgroups v2" }, "cpu": { "by": "cgroups v2" }, "pids": { "by": "cgroups v2" },
        "bandwidth": { "by": "tc (tbf)" }, "disk": { "why_not": "extfs has no quota" },
    } });
    let db = &world.mesh.test.app.db;
    sqlx::query("update nodes set host = host || $1").bind(facts).execute(db).await.expect("told");
    let settings = json!({ "isolation": isolation });
    sqlx::query("update releases set settings = settings || $1")
        .bind(settings)
        .execute(db)
        .await
        .expect("set");
    let shown = owner.get("/api/v1/apps/hello/instances").await.expect(200)["items"][0].clone();
    let missing = json!([{ "setting": "isolation.disk_mb", "why": "extfs has no quota" }]);
    assert_eq!((&shown["unenforced"], &shown["isolation"]["egress_mbit"]), (&missing, &json!(16)));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_instance_that_has_written_too_much_is_told_once_each_time(pool: PgPool) {
    let mut world = World::new(pool).await;
    let (_, first, job) = world.mesh.queue_build("hello").await;
    let (instance, _) = world.deploy(first, job, &[]).await;
    let over = |used_mb: u64| Some(OverDisk { used_bytes: used_mb << 20, limit_mb: 50 });
    for over in [None, over(60), over(60), over(70), None, over(80)] {
        world.writes(instance, over).await;
    }
    let told: Vec<(String, String, Value)> = sqlx::query_as(
        "select actor, target, detail from audit_events where action = 'app.disk-over' order by id",
    )
    .fetch_all(&world.mesh.test.app.db)
    .await
    .expect("audit");
    let used: Vec<&Value> = told.iter().map(|(_, _, detail)| &detail["used_mb"]).collect();
    assert_eq!(used, [&json!(60), &json!(80)], "{told:?}");
    assert_eq!((told[0].0.as_str(), told[0].1.as_str()), ("node:w1", "app:hello"));
    let activity = world.mesh.test.owner().await.get("/api/v1/apps/hello/activity").await.expect(200);
    assert!(
        activity.to_string().contains("has written 60 MiB to its disk, more than its 50 MiB"),
        "{activity}"
    );
}
