//! What waits, deploying it, and releases side by side.

use serde_json::{Value, json};

use crate::User;
use crate::mock::{Mock, events, json as reply};

fn change(label: &str, kind: &str, before: Value, after: Value, impact: &str) -> Value {
    json!({ "field": label, "label": label, "kind": kind, "before": before, "after": after, "impact": impact })
}

fn pending(deployment: Value, applicable: bool, changes: Value) -> Value {
    json!({ "release": 3, "deployment": deployment, "applicable": applicable, "changes": changes,
            "impact": "containers" })
}

fn two_changes() -> Value {
    json!([
        change("memory", "changed", json!("512 MiB"), json!("1024 MiB"), "containers"),
        change("variable TOKEN", "added", Value::Null, Value::Null, "containers"),
    ])
}

fn deployment(state: &str) -> Value {
    json!({ "id": "d-1", "app": { "id": "a", "slug": "a" }, "number": 12, "kind": "settings", "state": state,
            "stages": [], "release": 4, "url": "https://a.example", "created_at": "2026-01-01T00:00:00Z" })
}

#[test]
fn a_plan_shows_what_waits_and_what_it_takes() {
    let build = json!([change("build target", "added", Value::Null, json!("run"), "build")]);
    let mock = Mock::start(vec![
        ("GET /apps/a/pending", reply(200, pending(Value::Null, true, two_changes()))),
        ("GET /apps/a/pending", reply(200, pending(Value::Null, false, build))),
        ("GET /apps/a/pending", reply(200, pending(json!(12), false, two_changes()))),
        ("GET /apps/a/pending", reply(200, pending(Value::Null, false, json!([])))),
    ]);
    let user = User::new();
    let plan = || user.wh(&mock, &["plan", "--app", "a"]).succeeded();
    let run = plan();
    assert_eq!(run.out, "~ memory: 512 MiB → 1024 MiB\n+ variable TOKEN\n");
    assert!(run.err.contains("no build") && run.err.contains("`wh apply`"), "{run:#?}");
    let run = plan();
    assert_eq!(run.out, "+ build target: run  (with the next build)\n");
    assert!(run.err.contains("`wh deploy`") && !run.err.contains("`wh apply`"), "{run:#?}");
    assert!(plan().err.contains("deployment 12 is under way"));
    let run = plan();
    assert!(run.out.is_empty() && run.err.contains("nothing waits"), "{run:#?}");
    let run = user.wh(&mock, &["plan", "--app", "a", "--json"]).succeeded();
    assert_eq!(run.json(), pending(Value::Null, false, json!([])));
}

#[test]
fn what_waits_is_shown_and_deployed() {
    let end = format!("event: end\ndata: {}\n\n", deployment("live"));
    let mock = Mock::start(vec![
        ("GET /apps/a/pending", reply(200, pending(Value::Null, true, two_changes()))),
        ("POST /apps/a/apply", reply(202, deployment("queued"))),
        ("GET /deployments/d-1/events", events(&end)),
    ]);
    let user = User::new();
    let run = user.wh(&mock, &["apply", "--app", "a", "-m", "more memory"]).succeeded();
    assert_eq!(run.out, "https://a.example\n");
    assert!(run.err.contains("+ variable TOKEN") && run.err.contains("deployment 12"), "{run:#?}");
    assert_eq!(mock.one("POST /apps/a/apply").json(), json!({ "message": "more memory" }));
}

#[test]
fn what_will_happen_is_told_before_it_does() {
    let preview = json!({ "downtime": false, "because": "the old ones serve", "steps": ["start an instance on w1", "go live"] });
    let mut waits = pending(Value::Null, true, two_changes());
    waits["preview"] = preview.clone();
    let mock = Mock::start(vec![
        ("GET /apps/a/pending", reply(200, waits.clone())),
        ("POST /apps/a/apply", reply(202, deployment("queued"))),
        ("GET /apps/a/scale/preview", reply(200, preview)),
    ]);
    let user = User::new();
    let told = "downtime none: the old ones serve\n  1. start an instance on w1\n  2. go live\n";
    let run = user.wh(&mock, &["plan", "--app", "a"]).succeeded();
    assert!(run.err.ends_with(told) && !run.out.contains("w1"), "{run:#?}");
    assert_eq!(user.wh(&mock, &["plan", "--app", "a", "--json"]).succeeded().json(), waits);
    let run = user.wh(&mock, &["apply", "--app", "a", "--detach"]).succeeded();
    assert!(run.err.contains(told), "{run:#?}");
    let run = user.wh(&mock, &["scale", "3", "--plan", "--app", "a"]).succeeded();
    assert_eq!(run.out, told);
    assert!(mock.lines().contains(&"GET /apps/a/scale/preview?replicas=3".to_owned()));
    assert!(!mock.lines().iter().any(|line| line.starts_with("POST /apps/a/scale")), "{:?}", mock.lines());
}

#[test]
fn who_did_it_and_why_is_shown() {
    let mut back = deployment("live");
    for (name, value) in [
        ("kind", json!("rollback")),
        ("release", json!(2)),
        ("from_release", json!(3)),
        ("message", json!("3 is slow")),
        ("commit", json!("8c41f02be6d7a903")),
        ("image_size_bytes", json!(84_120_000)),
        ("created_by", json!("bo@example.com")),
        ("finished_at", json!("2026-01-01T00:00:04Z")),
    ] {
        back[name] = value;
    }
    let origin = json!({ "number": 5, "kind": "build", "created_by": "ada@example.com", "message": "faster", "duration_ms": 61_000 });
    let mut release =
        json!({ "number": 2, "image": { "id": "sha256:aa" }, "current": true, "rolled_back_from": 3 });
    release["origin"] = origin;
    let mock = Mock::start(vec![
        ("GET /apps/a/deployments", reply(200, json!({ "items": [back], "next": null }))),
        ("GET /apps/a/releases", reply(200, json!({ "items": [release], "next": null }))),
        ("POST /apps/a/rollback", reply(202, back.clone())),
    ]);
    let user = User::new();
    let list = user.wh(&mock, &["deployments", "--app", "a"]).succeeded().out;
    assert!(list.contains("2 (from 3)  bo@example.com") && list.ends_with("4.0 s  3 is slow\n"), "{list}");
    let one = user.wh(&mock, &["deployments", "show", "12", "--app", "a"]).succeeded().out;
    for part in ["8c41f02be6d7a903", "80 MiB", "2 (from 3)", "3 is slow", "4.0 s"] {
        assert!(one.contains(part), "{part} in {one}");
    }
    let list = user.wh(&mock, &["releases", "--app", "a"]).succeeded().out;
    assert!(list.ends_with("ada@example.com  1m 01s  live, back from 3  faster\n"), "{list}");
    user.wh(&mock, &["rollback", "2", "-m", "3 is slow", "--detach", "--app", "a"]).succeeded();
    let sent = mock.one("POST /apps/a/rollback").json();
    assert_eq!(sent, json!({ "release": 2, "message": "3 is slow" }));
}

#[test]
fn applying_nothing_is_no_error_and_a_build_is_not_applied() {
    let refusal = json!({ "code": "nothing_pending", "message": "all that waits is for the next build" });
    let build = json!([change("build target", "added", Value::Null, json!("run"), "build")]);
    let mock = Mock::start(vec![
        ("GET /apps/a/pending", reply(200, pending(Value::Null, false, json!([])))),
        ("GET /apps/a/pending", reply(200, pending(Value::Null, false, build))),
        ("POST /apps/a/apply", reply(409, refusal)),
    ]);
    let user = User::new();
    let run = user.wh(&mock, &["apply", "--app", "a"]).succeeded();
    assert!(run.err.contains("nothing waits"), "{run:#?}");
    assert_eq!(mock.lines(), ["GET /apps/a/pending"]);
    let run = user.wh(&mock, &["apply", "--app", "a"]).failed(5);
    assert!(run.err.contains("next build"), "{run:#?}");
}

#[test]
fn a_release_is_compared_with_another_or_with_the_one_that_serves() {
    let compared = |before: u32, after: u32, changes: Value| {
        reply(200, json!({ "before": before, "after": after, "changes": changes, "impact": "containers" }))
    };
    let app = json!({ "slug": "a", "release": { "number": 3 } });
    let mock = Mock::start(vec![
        ("GET /apps/a/releases/1/diff/2", compared(1, 2, two_changes())),
        ("GET /apps/a/releases/2/diff/3", compared(2, 3, json!([]))),
        ("GET /apps/a", reply(200, app)),
        ("GET /apps/b", reply(200, json!({ "slug": "b", "release": null }))),
    ]);
    let user = User::new();
    let run = user.wh(&mock, &["releases", "diff", "1", "2", "--app", "a"]).succeeded();
    assert_eq!(run.out, "~ memory: 512 MiB → 1024 MiB\n+ variable TOKEN\n");
    let run = user.wh(&mock, &["releases", "diff", "2", "--app", "a"]).succeeded();
    assert!(run.out.is_empty() && run.err.contains("2 and 3 do not differ"), "{run:#?}");
    user.wh(&mock, &["releases", "diff", "2", "--app", "b"]).failed(4);
}

#[test]
fn a_release_whose_image_is_gone_is_marked_and_one_of_an_older_server_is_not() {
    let release = |number: i64| json!({ "number": number, "image": { "id": "sha256:aa" } });
    let mut gone = release(1);
    gone["kept"] = json!(false);
    let items = json!({ "items": [release(2), gone], "next": null });
    let mock = Mock::start(vec![("GET /apps/a/releases", reply(200, items))]);
    let shown = User::new().wh(&mock, &["releases", "--app", "a"]).succeeded().out;
    let marked: Vec<_> = shown.lines().filter(|line| line.contains("not kept")).collect();
    assert_eq!((marked.len(), marked[0].starts_with('1')), (1, true), "{shown}");
}
