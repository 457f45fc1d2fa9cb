//! `wh queue`.

use serde_json::{Value, json};

use crate::User;
use crate::mock::{Mock, json as reply};

fn build(app: &str, position: Option<i64>, reason: Option<&str>, node: Option<&str>) -> Value {
    json!({
        "id": "j", "app": { "id": "a", "slug": app }, "deployment": { "id": "d", "number": 4, "kind": "build" },
        "state": if position.is_some() { "queued" } else { "running" }, "position": position, "reason": reason,
        "since": chrono::Utc::now(), "node": node, "cancelling": false, "created_by": "ann",
    })
}

#[test]
fn the_queue_says_who_builds_where_and_who_waits_why() {
    let builds = json!([
        build("one", None, None, Some("w1")),
        build("two", Some(1), Some("the only build slot of w1 is busy"), None),
    ]);
    let mock = Mock::start(vec![("GET /jobs", reply(200, json!({ "items": builds, "next": null })))]);
    let run = User::new().wh(&mock, &["queue"]).succeeded();
    let lines: Vec<Vec<&str>> = run.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["PLACE", "APP", "DEPLOYMENT", "STATE", "SINCE", "NODE", "BY", "REASON"]);
    assert_eq!(lines[1][..4], ["–", "one", "4", "running"]);
    assert_eq!(lines[2][..4], ["1", "two", "4", "queued"]);
    assert!(run.out.contains("  w1") && run.out.ends_with("the only build slot of w1 is busy\n"), "{run:?}");
    let run = User::new().wh(&mock, &["queue", "--json"]).succeeded();
    assert_eq!(run.json()[1]["reason"], "the only build slot of w1 is busy");
}

#[test]
fn an_empty_queue_is_told_as_such() {
    let mock = Mock::start(vec![("GET /jobs", reply(200, json!({ "items": [], "next": null })))]);
    let run = User::new().wh(&mock, &["queue"]).succeeded();
    assert_eq!((run.out.as_str(), run.err.contains("nothing waits")), ("", true), "{run:?}");
}

#[test]
fn the_latest_deployment_is_moved_to_the_front_unless_another_is_named() {
    let app = json!({ "slug": "hello", "deployment": { "id": "d-2", "number": 2, "state": "queued" } });
    let deployment = |id: &str, number: i64| {
        json!({ "id": id, "app": { "id": "a", "slug": "hello" }, "number": number, "state": "queued",
                "queue_position": 1, "created_at": "2026-01-01T00:00:00Z" })
    };
    let all = json!({ "items": [deployment("d-2", 2), deployment("d-1", 1)], "next": null });
    let mock = Mock::start(vec![
        ("GET /apps/hello", reply(200, app)),
        ("GET /deployments/d-2", reply(200, deployment("d-2", 2))),
        ("GET /apps/hello/deployments", reply(200, all)),
        ("POST /deployments/d-2/front", reply(200, deployment("d-2", 2))),
        (
            "POST /deployments/d-1/front",
            reply(409, json!({ "code": "not_queued", "message": "it does not wait" })),
        ),
    ]);
    let run = User::new().wh(&mock, &["queue", "front", "--app", "hello"]).succeeded();
    assert!(run.err.contains("deployment 2 of hello moved to the front, at place 1"), "{run:?}");
    User::new().wh(&mock, &["queue", "front", "1", "--app", "hello"]).failed(5);
}
