//! Minutes and hours of hosts, over Postgres.

use chrono::{DateTime, TimeDelta, Utc};
use protocol::ids::NodeId;
use protocol::numbers::{NodeNumbers, Space};
use serde_json::json;
use sqlx::PgPool;

use super::config::NodeNumbers as Kept;
use super::live::{Live, Minute};
use crate::nodes::store::numbers;
use crate::placement::tests::worker;
use crate::testing::TestApp;
use crate::traffic::{hour, minute};

fn minutes(node: NodeId, from: DateTime<Utc>, count: i64) -> Vec<Minute> {
    let live = Live::default();
    for number in 0..count {
        let memory = Space { used_bytes: 10 + number.unsigned_abs(), total_bytes: 100 };
        let received_bytes = number.unsigned_abs() * 60;
        let said =
            NodeNumbers { cpu_percent: 50.0, memory, root: memory, received_bytes, ..NodeNumbers::default() };
        live.take(node, said, from + TimeDelta::minutes(number));
    }
    live.closed(from + TimeDelta::minutes(count))
}

async fn count(app: &TestApp, table: &str) -> i64 {
    let text = format!("select count(*) from {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(text)).fetch_one(&app.app.db).await.expect("count")
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn minutes_are_stored_at_once_and_show_as_points_and_as_the_newest_numbers(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let node = worker(&app, "w1", 4, 4096).await;
    let gone = NodeId::new();
    let from = minute(Utc::now()) - TimeDelta::minutes(3);
    let mut all = minutes(node, from, 3);
    all.extend(minutes(gone, from, 1));
    let mut conn = app.app.db.acquire().await.expect("connection");
    numbers::insert(&mut conn, &all).await.expect("stored, whoever is gone meanwhile");
    let same = minutes(node, from, 1);
    numbers::insert(&mut conn, &same).await.expect("another replica was told a part of the minute");
    drop(conn);
    assert_eq!(count(&app, "node_minutes").await, 3);
    let owner = app.owner().await;
    let series = owner.get("/api/v1/nodes/w1/numbers?range=1h").await.expect(200);
    let points = series["points"].as_array().expect("points");
    assert_eq!((points.len(), &points[1]["received_bytes"]), (3, &json!(60)), "{series}");
    assert_eq!(points[2]["memory"], json!({ "used_bytes": 12, "total_bytes": 100 }));
    let node = owner.get("/api/v1/nodes/w1").await.expect(200);
    assert_eq!(
        (&node["numbers"]["cpu_percent"], &node["numbers"]["received_per_s"]),
        (&json!(50.0), &json!(1))
    );
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn minutes_become_hours_and_both_go_when_they_had_their_time(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let node = worker(&app, "w1", 4, 4096).await;
    let now = Utc::now();
    let old = hour(now) - TimeDelta::hours(60);
    let mut conn = app.app.db.acquire().await.expect("connection");
    for from in [old, hour(now) - TimeDelta::hours(3)] {
        numbers::insert(&mut conn, &minutes(node, from, 90)).await.expect("stored");
    }
    drop(conn);
    numbers::roll_up(&app.app.db, now).await.expect("added up");
    assert_eq!(count(&app, "node_hours").await, 4);
    numbers::roll_up(&app.app.db, now).await.expect("nothing is left to do");
    assert_eq!(count(&app, "node_hours").await, 4);
    numbers::sweep(&app.app.db, &Kept::default()).await.expect("swept");
    assert_eq!((count(&app, "node_minutes").await, count(&app, "node_hours").await), (90, 4));
    let owner = app.owner().await;
    let series = owner.get("/api/v1/nodes/w1/numbers?range=7d").await.expect(200);
    let points = series["points"].as_array().expect("points");
    assert_eq!(points.len(), 4, "{series}");
    assert_eq!((&points[0]["cpu_percent"], &points[0]["memory"]["used_bytes"]), (&json!(50.0), &json!(69)));
    let recent = owner.get("/api/v1/nodes/w1/numbers?range=6h").await.expect(200);
    assert_eq!(recent["points"].as_array().expect("points").len(), 45, "steps of two minutes");
}
