//! Drains and rebalances, over Postgres: what the workers would do is written into the tables.

use daemon::reconcile::Reconciler;
use protocol::ids::AppId;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::tests::{nodes_of, rolling, worker};
use crate::http::permission::MemberRole;
use crate::network;
use crate::reconcile::moves::Moves;
use crate::reconcile::rollouts::Rollouts;
use crate::testing::{Client, TestApp};

struct Fleet {
    app: TestApp,
    owner: Client,
}

impl Fleet {
    /// Workers with room for so many instances each.
    async fn new(pool: PgPool, workers: &[(&str, u64)]) -> Self {
        let app = TestApp::new(pool).await;
        let owner = app.owner().await;
        for (name, room) in workers {
            worker(&app, name, 8, 256 + room * 512).await;
        }
        Self { app, owner }
    }

    async fn live(&self, slug: &str, settings: Value) -> AppId {
        let (id, _) = rolling(&self.app, &self.owner, slug, settings).await;
        self.go_on().await;
        id
    }

    /// Passes of both loops, each as after a restart, with workers that start and end at once.
    async fn go_on(&self) {
        for _ in 0..6 {
            Moves(self.app.app.clone()).pass().await.expect("moves");
            network::tests::told(&self.app.app).await;
            Rollouts(self.app.app.clone()).pass().await.expect("roll-outs");
            for text in [
                "delete from instances where not wanted",
                "update instances set state = 'healthy'",
                "update instances set out_at = out_at - interval '1 hour'",
            ] {
                sqlx::query(text).execute(&self.app.app.db).await.expect("workers");
            }
        }
    }

    async fn drain(&self, node: &str) -> Value {
        self.owner.get(&format!("/api/v1/nodes/{node}/drain")).await.expect(200)
    }

    async fn post(&self, path: &str, body: Value) -> crate::testing::Answer {
        self.owner.post(&format!("/api/v1/{path}"), body).await
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_drain_moves_everything_and_only_then_may_the_node_go(pool: PgPool) {
    let fleet = Fleet::new(pool, &[("a", 8), ("b", 8)]).await;
    let two = fleet.live("two", json!({ "replicas": 2 })).await;
    let one = fleet.live("one", json!({ "placement": { "preferred": ["here"] } })).await;
    sqlx::query("update instances set node_id = (select id from nodes where name = 'a'), host_port = 29000 where app_id = $1")
        .bind(one)
        .execute(&fleet.app.app.db)
        .await
        .expect("put on a");
    let refused = fleet.owner.delete("/api/v1/nodes/a").await.expect(409);
    assert!(refused["hint"].as_str().expect("a hint").contains("wh node drain a"), "{refused}");

    let preview = fleet.owner.get("/api/v1/nodes/a/drain/preview").await.expect(200);
    let all: Vec<_> =
        preview["items"].as_array().expect("items").iter().map(|one| (&one["app"], &one["to"])).collect();
    assert_eq!(all, [(&json!("one"), &json!("b")), (&json!("two"), &json!("b"))]);

    let drain = fleet.post("nodes/a/drain", json!({})).await.expect(202);
    assert_eq!((&drain["instances"], &drain["left"][0]["stage"]), (&json!(2), &json!("waiting")));
    Moves(fleet.app.app.clone()).pass().await.expect("moves");
    assert_eq!(fleet.drain("a").await["left"][0]["stage"], "moving");
    fleet.go_on().await;
    assert_eq!(
        (nodes_of(&fleet.app, two).await, nodes_of(&fleet.app, one).await),
        (vec!["b".to_owned(); 2], vec!["b".to_owned()])
    );
    let drain = fleet.drain("a").await;
    assert!(drain["finished_at"].is_string() && drain["left"] == json!([]), "{drain}");
    let deployments = fleet.owner.get("/api/v1/apps/two/deployments").await.expect(200);
    assert_eq!(deployments["items"][0]["message"], "one instance, away from a: a is drained");
    fleet.owner.delete("/api/v1/nodes/a").await.expect(204);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_drain_says_what_cannot_move_and_goes_on_when_it_can(pool: PgPool) {
    let fleet = Fleet::new(pool, &[("a", 4), ("b", 4)]).await;
    let pinned = fleet.live("pinned", json!({ "placement": { "pin": "a" } })).await;
    fleet.post("nodes/a/drain", json!({})).await.expect(202);
    fleet.go_on().await;
    let left = fleet.drain("a").await["left"][0].clone();
    assert_eq!(left["stage"], "waiting");
    assert_eq!(left["problem"], "no worker can take it (a: cordoned; b: not a, its only node)");
    assert_eq!(nodes_of(&fleet.app, pinned).await, ["a"], "it serves where it is");
    fleet.owner.patch("/api/v1/apps/pinned", json!({ "placement": null })).await.expect(200);
    fleet.go_on().await;
    assert_eq!(nodes_of(&fleet.app, pinned).await, ["b"]);
    assert!(fleet.drain("a").await["finished_at"].is_string());
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_uncordoned_node_keeps_what_has_not_begun_to_move(pool: PgPool) {
    let fleet = Fleet::new(pool, &[("a", 8), ("b", 4)]).await;
    let pinned = fleet.live("pinned", json!({ "replicas": 2, "placement": { "pin": "a" } })).await;
    fleet.owner.patch("/api/v1/apps/pinned", json!({ "placement": null })).await.expect(200);
    fleet.post("nodes/a/drain", json!({})).await.expect(202);
    Moves(fleet.app.app.clone()).pass().await.expect("moves");
    fleet.post("nodes/a/uncordon", json!({})).await.expect(200);
    fleet.owner.get("/api/v1/nodes/a/drain").await.expect(404);
    fleet.go_on().await;
    assert_eq!(nodes_of(&fleet.app, pinned).await.iter().filter(|node| *node == "a").count(), 1);
    let moves = fleet.owner.get("/api/v1/moves").await.expect(200);
    let mut states: Vec<_> =
        moves["items"].as_array().expect("items").iter().map(|one| one["state"].to_string()).collect();
    states.sort();
    assert_eq!(states, [r#""cancelled""#, r#""done""#]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_move_that_fails_leaves_the_instance_where_it_serves(pool: PgPool) {
    let fleet = Fleet::new(pool, &[("a", 4), ("b", 4)]).await;
    let app = fleet.live("shop", json!({ "placement": { "pin": "a" } })).await;
    fleet.owner.patch("/api/v1/apps/shop", json!({ "placement": null })).await.expect(200);
    fleet.post("nodes/a/drain", json!({})).await.expect(202);
    Moves(fleet.app.app.clone()).pass().await.expect("moves");
    Rollouts(fleet.app.app.clone()).pass().await.expect("starts on b");
    sqlx::query("update instances set state = 'failed' where not in_rotation")
        .execute(&fleet.app.app.db)
        .await
        .expect("fails");
    fleet.go_on().await;
    assert_eq!(nodes_of(&fleet.app, app).await, ["a"]);
    let left = fleet.drain("a").await["left"][0].clone();
    assert_eq!(left["stage"], "failed");
    assert!(left["problem"].as_str().expect("why").starts_with("deployment 2: "), "{left}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_rebalance_does_what_it_showed(pool: PgPool) {
    let fleet = Fleet::new(pool, &[("a", 8), ("b", 8)]).await;
    for slug in ["one", "two", "three", "four"] {
        fleet.live(slug, json!({ "placement": { "pin": "a" } })).await;
    }
    let nothing = fleet.owner.get("/api/v1/rebalance/preview").await.expect(200);
    assert_eq!(nothing["items"], json!([]), "they are pinned");
    for slug in ["one", "two", "three", "four"] {
        fleet.owner.patch(&format!("/api/v1/apps/{slug}"), json!({ "placement": null })).await.expect(200);
    }
    let preview = fleet.owner.get("/api/v1/rebalance/preview").await.expect(200);
    let planned = preview["items"].as_array().expect("items").clone();
    assert_eq!(planned.len(), 2, "{preview}");
    assert_eq!(planned[0]["reason"], "a is 50 % reserved, b 13 % with it");
    let count = "select count(*) from deployments";
    let before: i64 = sqlx::query_scalar(count).fetch_one(&fleet.app.app.db).await.expect("count");
    let moves: Vec<Value> = planned
        .iter()
        .map(|one| json!({ "instance": one["instance"], "to": one["to"], "reason": one["reason"] }))
        .collect();
    fleet
        .post("rebalance", json!({ "moves": [{ "instance": moves[0]["instance"], "to": "nobody" }] }))
        .await
        .expect(404);
    fleet.post("rebalance", json!({ "moves": moves })).await.expect(202);
    fleet.post("rebalance", json!({ "moves": moves })).await.expect(409);
    fleet.go_on().await;
    let after: i64 = sqlx::query_scalar(count).fetch_one(&fleet.app.app.db).await.expect("count");
    assert_eq!(after - before, 2);
    let on: Vec<(String, i64)> = sqlx::query_as(
        "select name, count(*) from instances join nodes on nodes.id = node_id group by name order by name",
    )
    .fetch_all(&fleet.app.app.db)
    .await
    .expect("instances");
    assert_eq!(on, [("a".to_owned(), 2), ("b".to_owned(), 2)]);
    let again = fleet.owner.get("/api/v1/rebalance/preview").await.expect(200);
    assert_eq!(again["items"], json!([]), "it is well now");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_instance_that_cannot_be_moved_is_tried_less_and_less_often(pool: PgPool) {
    let fleet = Fleet::new(pool, &[("a", 4), ("b", 4)]).await;
    fleet.live("shop", json!({})).await;
    let from = nodes_of_any(&fleet).await;
    fleet.post(&format!("nodes/{from}/drain"), json!({})).await.expect(202);
    let db = &fleet.app.app.db;
    let mut pauses = Vec::new();
    for _ in 0..6 {
        Moves(fleet.app.app.clone()).pass().await.expect("moves");
        let failed =
            "update moves set state = 'failed', changed_at = now() where state in ('waiting', 'moving')";
        let tried = sqlx::query(failed).execute(db).await.expect("fails").rows_affected();
        assert_eq!(tried, 1, "after {pauses:?}");
        sqlx::query("delete from deployments where replaces is not null").execute(db).await.expect("gone");
        let left = fleet.drain(&from).await["left"][0].clone();
        assert_eq!(left["stage"], "failed", "{left}");
        let at: chrono::DateTime<chrono::Utc> =
            left["next_try_at"].as_str().expect("a time").parse().expect("time");
        pauses.push((at - chrono::Utc::now() + chrono::TimeDelta::seconds(30)).num_minutes());
        Moves(fleet.app.app.clone()).pass().await.expect("moves");
        let open: i64 = sqlx::query_scalar("select count(*) from moves where state in ('waiting', 'moving')")
            .fetch_one(db)
            .await
            .expect("count");
        assert_eq!(open, 0, "not before its time");
        let passes = "update moves set changed_at = changed_at - interval '61 min', created_at = created_at";
        sqlx::query(passes).execute(db).await.expect("an hour passes");
    }
    assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
}

async fn nodes_of_any(fleet: &Fleet) -> String {
    sqlx::query_scalar("select name from instances join nodes on nodes.id = node_id where wanted limit 1")
        .fetch_one(&fleet.app.app.db)
        .await
        .expect("an instance")
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_rebalance_is_taken_back_as_far_as_it_has_not_begun(pool: PgPool) {
    let fleet = Fleet::new(pool, &[("a", 8), ("b", 8)]).await;
    for slug in ["one", "two", "three", "four"] {
        fleet.live(slug, json!({ "placement": { "pin": "a" } })).await;
        fleet.owner.patch(&format!("/api/v1/apps/{slug}"), json!({ "placement": null })).await.expect(200);
    }
    fleet.post("rebalance/cancel", json!({})).await.expect(409);
    let preview = fleet.owner.get("/api/v1/rebalance/preview").await.expect(200);
    let moves: Vec<Value> = preview["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|one| json!({ "instance": one["instance"], "to": one["to"] }))
        .collect();
    assert_eq!(moves.len(), 2, "{preview}");
    let asked = fleet.post("rebalance", json!({ "moves": moves })).await.expect(202);
    let id = asked["items"][0]["id"].as_str().expect("id").to_owned();
    fleet.owner.delete(&format!("/api/v1/moves/{id}")).await.expect(204);
    let again = fleet.owner.delete(&format!("/api/v1/moves/{id}")).await.expect(409);
    assert_eq!(again["message"], "it is over");
    fleet.owner.delete(&format!("/api/v1/moves/{}", uuid::Uuid::now_v7())).await.expect(404);
    let rest = fleet.post("rebalance/cancel", json!({})).await.expect(200);
    let states: Vec<&Value> =
        rest["items"].as_array().expect("items").iter().map(|one| &one["state"]).collect();
    assert_eq!(states, [&json!("cancelled"); 2]);
    let deployments = "select count(*) from deployments where kind = 'restart'";
    fleet.go_on().await;
    let moved: i64 = sqlx::query_scalar(deployments).fetch_one(&fleet.app.app.db).await.expect("count");
    assert_eq!(moved, 0, "everything stays where it serves");

    let from = nodes_of_any(&fleet).await;
    fleet.post(&format!("nodes/{from}/drain"), json!({})).await.expect(202);
    sqlx::query("update deployments set state = 'queued' where number = 1")
        .execute(&fleet.app.app.db)
        .await
        .expect("busy");
    Moves(fleet.app.app.clone()).pass().await.expect("moves");
    let waits: String = sqlx::query_scalar("select id::text from moves where state = 'waiting' limit 1")
        .fetch_one(&fleet.app.app.db)
        .await
        .expect("a move that waits");
    let refused = fleet.owner.delete(&format!("/api/v1/moves/{waits}")).await.expect(409);
    assert!(refused["hint"].as_str().expect("hint").contains("uncordon"), "{refused}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn moves_and_drains_name_no_apps_of_other_organizations(pool: PgPool) {
    let fleet = Fleet::new(pool, &[("a", 8), ("b", 1)]).await;
    for slug in ["one", "two", "three"] {
        fleet.live(slug, json!({ "placement": { "preferred": ["here"] } })).await;
    }
    let stranger = fleet.app.member("elsewhere", MemberRole::Admin).await;
    let preview = stranger.get("/api/v1/nodes/a/drain/preview").await.expect(200);
    assert!(preview["items"].as_array().is_some_and(|items| !items.is_empty()), "{preview}");
    assert!(preview["items"].as_array().expect("items").iter().all(|one| one["app"].is_null()), "{preview}");
    fleet.post("nodes/a/drain", json!({})).await.expect(202);
    Moves(fleet.app.app.clone()).pass().await.expect("moves");
    let own = fleet.drain("a").await;
    let theirs = stranger.get("/api/v1/nodes/a/drain").await.expect(200);
    assert_eq!((&theirs["left"], &own["others"]), (&json!([]), &json!(0)));
    assert_eq!(theirs["others"], json!(own["left"].as_array().expect("left").len()), "{theirs}");
    let moves = stranger.get("/api/v1/moves").await.expect(200);
    assert_eq!(moves["items"], json!([]));
    assert!(moves["others"].as_u64().is_some_and(|others| others > 0), "{moves}");
    let all = stranger.get("/api/v1/placement/nodes").await.expect(200);
    for slug in ["one", "two", "three"] {
        assert!(!all.to_string().contains(&format!("\"{slug}\"")), "{all}");
    }
}
