//! Nodes that are gone, over Postgres: what ran there is elsewhere, waits, or has ended first.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use daemon::reconcile::Reconciler;
use protocol::ids::{AppId, InstanceId, NodeId};
use protocol::lease::LeaseRequest;
use protocol::report::{Corrected, Deed, MeshReport, PeerReport, Probes, Stray};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::types::Json;

use super::{corrections, lease, store};
use crate::http::permission::MemberRole;
use crate::placement::moves::{Begun, begin};
use crate::placement::store::moves;
use crate::placement::tests::{nodes_of, rolling, worker};
use crate::reconcile::healing::Healing;
use crate::reconcile::moves::Moves;
use crate::reconcile::notices::Notices;
use crate::reconcile::rollouts::Rollouts;
use crate::testing::{Client, TestApp};
use crate::{network, nodes};

struct Fleet {
    app: TestApp,
    owner: Client,
}

impl Fleet {
    /// Workers `a` and `b`.
    async fn new(pool: PgPool) -> Self {
        let app = TestApp::new(pool).await;
        let owner = app.owner().await;
        for name in ["a", "b"] {
            worker(&app, name, 8, 8192).await;
        }
        Self { app, owner }
    }

    async fn sql(&self, text: &'static str) {
        sqlx::query(text).execute(&self.app.app.db).await.expect(text);
    }

    async fn live(&self, slug: &str, settings: Value) -> AppId {
        let (id, _) = rolling(&self.app, &self.owner, slug, settings).await;
        self.go_on().await;
        id
    }

    async fn healing(&self) {
        Healing::since(self.app.app.clone(), Duration::from_secs(100)).pass().await.expect("healing");
    }

    /// Passes of all loops, with workers that start and end at once as long as they are there.
    async fn go_on(&self) {
        for _ in 0..8 {
            self.healing().await;
            Moves(self.app.app.clone()).pass().await.expect("moves");
            network::tests::told(&self.app.app).await;
            Rollouts(self.app.app.clone()).pass().await.expect("roll-outs");
            for text in [
                "delete from instances using nodes
                 where nodes.id = node_id and not wanted and missing_since is null",
                "update instances set state = 'healthy' from nodes
                 where nodes.id = node_id and wanted and missing_since is null",
                "update instances set out_at = out_at - interval '1 hour'",
            ] {
                sqlx::query(text).execute(&self.app.app.db).await.expect("workers");
            }
        }
    }

    /// The worker `a` has been gone for that long.
    async fn lose(&self, seconds: i32) {
        self.sql("update agents set connected_to = null from nodes where nodes.id = node_id and name = 'a'")
            .await;
        sqlx::query(
            "update nodes set status = 'offline', missing_since = now() - make_interval(secs => $1) where name = 'a'",
        )
        .bind(f64::from(seconds))
        .execute(&self.app.app.db)
        .await
        .expect("lost");
    }

    async fn come_back(&self) {
        self.sql("update nodes set status = 'online', missing_since = null").await;
        self.sql("update agents set connected_to = gen_random_uuid()").await;
    }

    /// The proxy says how it reaches `a`.
    async fn proxy_says(&self, silent: bool) {
        let probes =
            Probes { sent: 90, lost: 3, silent: if silent { 3 } else { 0 }, rtt_us: None, mtu: None };
        let peer = PeerReport {
            public_key: "a".to_owned(),
            endpoint: None,
            handshake_age_s: Some(100),
            received_bytes: 0,
            sent_bytes: 0,
            probes: Some(probes),
            via: None,
            direct_s: None,
        };
        let report = MeshReport { peers: vec![peer], ..MeshReport::default() };
        for text in [
            "insert into nodes (id, name, roles, origin, mesh_address, public_key, status)
             values (gen_random_uuid(), 'p', '{proxy}', 'enrolled', '10.50.0.99', 'p', 'online') on conflict do nothing",
            "insert into agents (node_id, kind, build_slots, connected_to, applied_generation)
             select id, kind, 0, id, 1000000 from nodes, unnest(array['proxy', 'mesh']) as kind where name = 'p'
             on conflict do nothing",
        ] {
            sqlx::query(text).execute(&self.app.app.db).await.expect("proxy");
        }
        sqlx::query(
            "update agents set report = $1, reported_at = now() from nodes
             where nodes.id = node_id and name = 'p' and kind = 'mesh'",
        )
        .bind(Json(report))
        .execute(&self.app.app.db)
        .await
        .expect("report");
    }

    async fn upstreams(&self) -> Vec<usize> {
        let mut conn = self.app.app.db.acquire().await.expect("connection");
        let served = crate::routes::store::served(&mut conn).await.expect("routes");
        let routes = crate::plan::routes::routes(None, &served, false);
        routes.iter().map(|route| route.upstreams.len()).collect()
    }

    async fn node(&self, name: &str) -> NodeId {
        sqlx::query_scalar("select id from nodes where name = $1")
            .bind(name)
            .fetch_one(&self.app.app.db)
            .await
            .expect("node")
    }

    /// What a worker that asks now is told.
    async fn granted(&self, name: &str) -> Vec<InstanceId> {
        let node = self.node(name).await;
        let mut tx = self.app.app.db.begin().await.expect("begin");
        let grant = lease::grant(&self.app.app, &mut tx, node, LeaseRequest { seq: 1 }).await.expect("grant");
        tx.commit().await.expect("commit");
        assert_eq!(grant.ttl_ms, 240_000);
        grant.instances
    }

    async fn actions(&self, prefix: &str) -> Vec<String> {
        sqlx::query_scalar(
            "select action || ' ' || target from audit_events where starts_with(action, $1) order by id",
        )
        .bind(prefix)
        .fetch_all(&self.app.app.db)
        .await
        .expect("events")
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn what_ran_on_a_node_that_is_gone_is_elsewhere_after_its_time_of_grace(pool: PgPool) {
    let fleet = Fleet::new(pool).await;
    let two = fleet.live("two", json!({ "replicas": 2 })).await;
    let quick = fleet.live("quick", json!({ "placement": { "grace_s": 30, "pin": "a" } })).await;
    fleet.owner.patch("/api/v1/apps/quick", json!({ "placement": { "grace_s": 30 } })).await.expect(200);
    fleet.lose(40).await;
    fleet.go_on().await;
    assert_eq!(nodes_of(&fleet.app, two).await, ["a", "b"], "it may come back");
    let on: Vec<String> = nodes_of(&fleet.app, quick).await;
    assert_eq!(
        on,
        ["a", "b"],
        "it said that it does not wait so long; the old one ends when its node is back"
    );
    // The control plane has had company for 100 s, so nobody counts as gone for longer.
    fleet.lose(400).await;
    fleet.go_on().await;
    assert_eq!(nodes_of(&fleet.app, two).await, ["a", "b"]);
    Healing::since(fleet.app.app.clone(), Duration::from_secs(400)).pass().await.expect("healing");
    fleet.go_on().await;
    assert_eq!(nodes_of(&fleet.app, two).await, ["a", "b", "b"]);
    let moves = fleet.owner.get("/api/v1/moves").await.expect(200);
    assert_eq!((&moves["items"][0]["cause"], &moves["items"][0]["state"]), (&json!("lost"), &json!("done")));
    fleet.come_back().await;
    fleet.go_on().await;
    assert_eq!(nodes_of(&fleet.app, two).await, ["b", "b"], "nothing runs twice");
    assert_eq!(nodes_of(&fleet.app, quick).await, ["b"]);
    assert_eq!(fleet.actions("node.").await, ["node.give-up node:a"; 2]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_app_that_can_be_nowhere_else_waits_and_says_so(pool: PgPool) {
    let fleet = Fleet::new(pool).await;
    let pinned = fleet.live("pinned", json!({ "placement": { "grace_s": 10, "pin": "a" } })).await;
    fleet.lose(20).await;
    fleet.go_on().await;
    assert_eq!(nodes_of(&fleet.app, pinned).await, ["a"]);
    let why = "no worker can take it (a: offline; b: not a, its only node)";
    let healing = fleet.owner.get("/api/v1/nodes/a/healing").await.expect(200);
    assert_eq!(
        (&healing["waiting"][0]["app"], &healing["waiting"][0]["problem"]),
        (&json!("pinned"), &json!(why))
    );
    let stranger = fleet.app.member("elsewhere", MemberRole::Admin).await;
    let theirs = stranger.get("/api/v1/nodes/a/healing").await.expect(200);
    assert_eq!((&theirs["waiting"], &theirs["others"]), (&json!([]), &json!(1)), "of another organization");
    let app = fleet.owner.get("/api/v1/apps/pinned").await.expect(200);
    assert_eq!(app["waits_for"]["node"], "a");
    assert_eq!(app["waits_for"]["why"], why);
    Notices(fleet.app.app.clone()).pass().await.expect("notices");
    let notices = fleet.owner.get("/api/v1/notices").await.expect(200);
    let kinds: Vec<_> = notices["items"].as_array().expect("items").iter().map(|one| &one["kind"]).collect();
    assert!(kinds.contains(&&json!("app-waits")), "{notices}");
    assert_eq!(fleet.actions("app.wait").await, ["app.wait app:pinned"], "once");
    let activity = fleet.owner.get("/api/v1/apps/pinned/activity").await.expect(200);
    let text = activity["items"][0]["text"].as_str().expect("text");
    assert_eq!(text, format!("An instance on a, which is gone, waits: {why}"));
    fleet.come_back().await;
    fleet.go_on().await;
    let app = fleet.owner.get("/api/v1/apps/pinned").await.expect(200);
    assert_eq!(app["waits_for"], Value::Null);
    let moves = fleet.owner.get("/api/v1/moves").await.expect(200);
    assert_eq!(moves["items"][0]["state"], "cancelled");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_proxies_leave_out_a_node_that_they_do_not_reach_and_keep_one_that_only_the_control_plane_misses(
    pool: PgPool,
) {
    let fleet = Fleet::new(pool).await;
    fleet.live("two", json!({ "replicas": 2 })).await;
    let alone = fleet.live("alone", json!({ "placement": { "pin": "a", "grace_s": 30 } })).await;
    fleet.owner.patch("/api/v1/apps/alone", json!({ "placement": { "grace_s": 30 } })).await.expect(200);
    fleet.lose(60).await;
    fleet.proxy_says(false).await;
    fleet.go_on().await;
    assert_eq!(fleet.upstreams().await, [1, 2], "it serves");
    assert_eq!(nodes_of(&fleet.app, alone).await, ["a"], "and what serves is not started again elsewhere");
    let healing = fleet.owner.get("/api/v1/nodes/a/healing").await.expect(200);
    assert_eq!((&healing["reached"], &healing["given_up_at"]), (&json!(true), &Value::Null));
    fleet.proxy_says(true).await;
    fleet.healing().await;
    assert_eq!(fleet.upstreams().await, [1, 1], "the last one of an app is tried still");
    fleet.go_on().await;
    assert_eq!(nodes_of(&fleet.app, alone).await, ["a", "b"]);
    fleet.come_back().await;
    fleet.healing().await;
    assert_eq!(fleet.upstreams().await, [1, 2]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_exclusive_app_has_one_instance_and_refuses_more(pool: PgPool) {
    let fleet = Fleet::new(pool).await;
    let refused = json!({ "slug": "many", "replicas": 2, "exclusive": true });
    let refused = fleet.owner.post("/api/v1/apps", refused).await.expect(422);
    assert_eq!((&refused["code"], &refused["field"]), (&json!("invalid"), &json!("replicas")), "{refused}");
    let app = fleet.live("only", json!({ "exclusive": true })).await;
    let refused = fleet.owner.post("/api/v1/apps/only/scale", json!({ "replicas": 2 })).await.expect(422);
    assert_eq!(refused["message"], "an exclusive app has one instance, not 2");
    let before = nodes_of(&fleet.app, app).await;
    fleet.owner.post("/api/v1/apps/only/restart", json!({})).await.expect(202);
    let rollouts = || async { Rollouts(fleet.app.app.clone()).pass().await.expect("roll-outs") };
    rollouts().await;
    rollouts().await;
    assert_eq!(nodes_of(&fleet.app, app).await, before, "the old one ends first");
    let waits: String =
        sqlx::query_scalar("select waiting_for from deployments where waiting_for is not null")
            .fetch_one(&fleet.app.app.db)
            .await
            .expect("waits");
    assert_eq!(waits, format!("the instance on {} to end", before[0]));
    fleet.go_on().await;
    let states: Vec<String> = sqlx::query_scalar("select state from deployments order by number")
        .fetch_all(&fleet.app.app.db)
        .await
        .expect("states");
    assert_eq!(states, ["superseded", "live"]);
    assert_eq!(nodes_of(&fleet.app, app).await.len(), 1);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_exclusive_app_is_back_after_a_release_that_never_became_healthy(pool: PgPool) {
    let fleet = Fleet::new(pool).await;
    let app = fleet.live("only", json!({ "exclusive": true })).await;
    fleet.owner.post("/api/v1/apps/only/restart", json!({})).await.expect(202);
    for text in [
        "select 1",
        "update instances set out_at = out_at - interval '1 hour'",
        "delete from instances where not wanted",
        "update instances set state = 'failed' where not in_rotation",
    ] {
        sqlx::query(text).execute(&fleet.app.app.db).await.expect(text);
        network::tests::told(&fleet.app.app).await;
        Rollouts(fleet.app.app.clone()).pass().await.expect("roll-outs");
        fleet.sql("delete from instances where not wanted").await;
    }
    assert_eq!(nodes_of(&fleet.app, app).await.len(), 0, "neither the old one nor the new one runs");
    fleet.go_on().await;
    assert_eq!(nodes_of(&fleet.app, app).await.len(), 1);
    let deployments = fleet.owner.get("/api/v1/apps/only/deployments").await.expect(200);
    let newest = &deployments["items"][0];
    assert_eq!(
        (&newest["message"], &newest["state"]),
        (&json!("1 of 1 instances are missing"), &json!("live"))
    );
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_exclusive_instance_of_a_lost_node_is_elsewhere_only_after_its_lease(pool: PgPool) {
    let fleet = Fleet::new(pool).await;
    let app = fleet
        .live("only", json!({ "exclusive": true, "placement": { "preferred": ["here"], "grace_s": 10 } }))
        .await;
    fleet
        .sql("update instances set node_id = (select id from nodes where name = 'a'), host_port = 29000")
        .await;
    assert_eq!(fleet.granted("a").await.len(), 1);
    assert_eq!(fleet.granted("b").await.len(), 0);
    fleet.lose(20).await;
    fleet.go_on().await;
    assert_eq!(nodes_of(&fleet.app, app).await, ["a"]);
    assert_eq!(fleet.granted("a").await.len(), 0, "it may not go on there any more");
    // The lease counts from when that answer was seen.
    fleet.healing().await;
    let waits: String =
        sqlx::query_scalar("select waiting_for from deployments where waiting_for is not null")
            .fetch_one(&fleet.app.app.db)
            .await
            .expect("waits");
    assert!(waits.starts_with("the lease of a, which is gone, to end in 2"), "{waits}");
    fleet.app.app.leases.pass_time(Duration::from_secs(200));
    fleet.go_on().await;
    assert_eq!(nodes_of(&fleet.app, app).await, ["a"]);
    fleet.app.app.leases.pass_time(Duration::from_secs(100));
    fleet.go_on().await;
    assert_eq!(nodes_of(&fleet.app, app).await, ["a", "b"]);
    assert_eq!(fleet.granted("b").await.len(), 1);
    fleet.come_back().await;
    fleet.go_on().await;
    assert_eq!(nodes_of(&fleet.app, app).await, ["b"]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_shorter_lease_counts_once_the_longer_ones_are_over(pool: PgPool) {
    let fleet = Fleet::new(pool).await;
    fleet
        .sql("insert into worker_leases (node_id, serial, ttl_ms) select id, 5, 241000 from nodes where name = 'a'")
        .await;
    let longest = async || {
        fleet.granted("a").await;
        let longest = sqlx::query_scalar::<_, i64>("select ttl_ms from worker_leases");
        longest.fetch_one(&fleet.app.app.db).await.expect("lease")
    };
    assert_eq!(longest().await, 241_000, "nobody knows how old it is");
    fleet.app.app.leases.pass_time(Duration::from_secs(200));
    // By a control plane that knows neither the new time nor of counting the shorter ones.
    fleet.sql("update worker_leases set serial = serial + 1").await;
    assert_eq!(longest().await, 241_000);
    fleet.app.app.leases.pass_time(Duration::from_secs(65));
    assert_eq!(longest().await, 241_000, "the one of then holds");
    fleet.app.app.leases.pass_time(Duration::from_secs(200));
    assert_eq!(longest().await, 240_000);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn nothing_moves_away_from_a_node_that_was_back_before_it_began(pool: PgPool) {
    let fleet = Fleet::new(pool).await;
    fleet.live("pinned", json!({ "placement": { "grace_s": 10, "pin": "a" } })).await;
    fleet.lose(20).await;
    fleet.healing().await;
    let mut conn = fleet.app.app.db.acquire().await.expect("connection");
    let wanted = moves::waiting(&mut conn, 9).await.expect("moves").pop().expect("one");
    let back = [
        // Its worker, before anybody has looked at the node again.
        "update agents set connected_to = gen_random_uuid()",
        "update nodes set status = 'online', missing_since = null",
        "update moves set state = 'cancelled'",
    ];
    for step in back {
        fleet.sql(step).await;
        assert!(moves::waiting(&mut conn, 9).await.expect("moves").is_empty(), "{step}");
        let begun = begin(&fleet.app.app, &mut conn, &wanted).await.expect("begun");
        assert!(matches!(begun, Begun::CalledOff), "{step}: {begun:?}");
    }
    fleet.go_on().await;
    let deployments = fleet.owner.get("/api/v1/apps/pinned/deployments").await.expect(200);
    assert_eq!(deployments["items"].as_array().map(Vec::len), Some(1), "{deployments}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn nothing_ends_for_a_move_whose_image_is_on_the_lost_node_alone(pool: PgPool) {
    let fleet = Fleet::new(pool).await;
    let app = fleet.live("only", json!({ "placement": { "grace_s": 10, "pin": "a" } })).await;
    fleet.owner.patch("/api/v1/apps/only", json!({ "placement": { "grace_s": 10 } })).await.expect(200);
    fleet.sql("update releases set image_node_id = (select id from nodes where name = 'a')").await;
    fleet.lose(20).await;
    fleet.go_on().await;
    assert_eq!(nodes_of(&fleet.app, app).await, ["a"]);
    let shown = fleet.owner.get("/api/v1/apps/only").await.expect(200);
    let why = "no worker that is online and no registry has the image of release 1";
    assert_eq!(shown["waits_for"]["why"], why);
    fleet
        .sql(
            "insert into node_images (node_id, image_id, ours, cache, made_at, size_bytes, frees_bytes)
             select id, 'sha256:a', true, false, now(), 1, 1 from nodes where name = 'b'",
        )
        .await;
    fleet.go_on().await;
    assert_eq!(nodes_of(&fleet.app, app).await, ["a", "b"]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn what_a_worker_put_right_and_what_nobody_knows_is_told_once(pool: PgPool) {
    let fleet = Fleet::new(pool).await;
    fleet.live("hello", json!({ "placement": { "pin": "a" } })).await;
    let at = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
    let instance: InstanceId =
        sqlx::query_scalar("select id from instances").fetch_one(&fleet.app.app.db).await.expect("id");
    let told = |instance| Corrected {
        at,
        container: Some("c0ffee".to_owned()),
        instance_id: Some(instance),
        app: Some("hello".to_owned()),
        deed: Deed::Recreated,
        reason: "its container was gone".to_owned(),
    };
    let mut conn = fleet.app.app.db.acquire().await.expect("connection");
    for (name, instance) in [("a", instance), ("a", instance), ("b", instance), ("a", InstanceId::new())] {
        let node =
            nodes::store::known(&mut conn, fleet.node(name).await).await.expect("known").expect("there");
        corrections::take(&mut conn, &node, &told(instance)).await.expect("taken");
    }
    assert_eq!(fleet.actions("app.correct").await, ["app.correct app:hello"]);
    assert_eq!(fleet.actions("node.correct").await, ["node.correct node:b", "node.correct node:a"]);
    let activity = fleet.owner.get("/api/v1/apps/hello/activity").await.expect(200);
    assert_eq!(activity["items"][0]["text"], "a made an instance again: its container was gone");
    let put_right = fleet.owner.get("/api/v1/nodes/a/corrections").await.expect(200);
    let told: Vec<_> = put_right["items"].as_array().expect("items").iter().map(|one| &one["app"]).collect();
    assert_eq!(
        told,
        [&Value::Null, &json!("hello")],
        "the newest first; an app is named only where that is sure"
    );
    let first = &put_right["items"][1];
    assert_eq!((&first["done"], &first["container"]), (&json!("made an instance again"), &json!("c0ffee")));
    assert_eq!((&first["at"], &first["instance"]), (&json!(at), &json!(instance)));

    let stranger = fleet.app.member("elsewhere", MemberRole::Admin).await;
    let theirs = stranger.get("/api/v1/nodes/a/corrections").await.expect(200);
    assert_eq!(theirs["items"][1]["app"], Value::Null, "of another organization");

    let stray = |container: &str, state: &str| Stray {
        container: container.to_owned(),
        name: "wh-hello-1".to_owned(),
        instance_id: None,
        app: Some("hello".to_owned()),
        state: state.to_owned(),
        reason: "nobody knows it".to_owned(),
        found_at: at,
        remove_at: at + TimeDelta::days(7),
    };
    let node = fleet.node("a").await;
    for now in [vec![stray("one", "running"), stray("two", "exited")], vec![stray("one", "exited")]] {
        store::strays::replace(&mut conn, node, &now).await.expect("stored");
    }
    let strays = fleet.owner.get("/api/v1/nodes/a/strays").await.expect(200);
    let items = strays["items"].as_array().expect("items");
    assert_eq!((items.len(), &items[0]["state"]), (1, &json!("exited")));
    let theirs = stranger.get("/api/v1/nodes/a/strays").await.expect(200);
    assert_eq!((&theirs["items"][0]["app"], &theirs["items"][0]["name"]), (&Value::Null, &json!("")));
    let _: DateTime<Utc> = serde_json::from_value(items[0]["remove_at"].clone()).expect("a time");
    store::strays::replace(&mut conn, node, &[]).await.expect("stored");
    assert_eq!(fleet.owner.get("/api/v1/nodes/a/strays").await.expect(200)["items"], json!([]));
}
