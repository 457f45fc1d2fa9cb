//! Stop, start, restart, scale, and deletion.

use serde_json::{Value, json};

use crate::User;
use crate::mock::{Mock, events, json as reply};

const ID: &str = "01900000-0000-7000-8000-0000deadbeef";

fn deployment(state: &str) -> Value {
    json!({ "id": ID, "app": { "id": "a", "slug": "hello" }, "number": 4, "kind": "scale", "state": state,
            "created_at": "2026-01-01T00:00:00Z", "release": 3, "url": "https://hello.example" })
}

fn changed(deployment: Value) -> Value {
    json!({ "app": { "slug": "hello", "status": "stopped" }, "deployment": deployment })
}

#[test]
fn stopping_says_how_to_start_again() {
    let mock = Mock::start(vec![("POST /apps/hello/stop", reply(202, changed(Value::Null)))]);
    let run = User::new().wh(&mock, &["stop", "--app", "hello"]).succeeded();
    assert!(run.err.contains("hello is stopped; `wh start`"), "{}", run.err);
    let run = User::new().wh(&mock, &["stop", "--app", "hello", "--json"]).succeeded();
    assert_eq!(run.json()["app"]["status"], "stopped");
}

#[test]
fn scaling_follows_its_deployment_to_the_end() {
    let end = format!("event: end\ndata: {}\n\n", deployment("live"));
    let mock = Mock::start(vec![
        ("POST /apps/hello/scale", reply(202, changed(deployment("queued")))),
        (&format!("GET /deployments/{ID}/events"), events(&end)),
    ]);
    let run = User::new().wh(&mock, &["scale", "3", "--app", "hello"]).succeeded();
    assert_eq!(mock.one("POST /apps/hello/scale").json(), json!({ "replicas": 3 }));
    assert_eq!(run.out, "https://hello.example\n");
    assert!(run.err.contains("hello is live"), "{}", run.err);
    User::new().wh(&mock, &["scale", "0", "--app", "hello"]).failed(2);
}

#[test]
fn a_deployment_under_way_is_a_conflict_that_names_it() {
    let busy =
        json!({ "code": "deployment_running", "message": "deployment 7 of this app is still under way" });
    let mock = Mock::start(vec![
        ("POST /apps/hello/restart", reply(409, busy.clone())),
        ("POST /apps/hello/start", reply(202, changed(deployment("queued")))),
    ]);
    let run = User::new().wh(&mock, &["restart", "--app", "hello"]).failed(5);
    assert!(run.err.contains("deployment 7"), "{}", run.err);
    let run = User::new().wh(&mock, &["start", "--detach", "--app", "hello"]).succeeded();
    assert!(run.err.contains("wh deployments watch 4"), "{}", run.err);
}

#[test]
fn deleting_needs_the_name_twice_and_says_how_to_undo() {
    let tombstone = json!({ "id": ID, "slug": "hello", "deleted_at": "2026-01-01T00:00:00Z",
                            "deleted_by": "a@example.com", "gone_at": "2026-01-08T00:00:00Z",
                            "pieces": { "containers": 2, "variables": 1, "releases": 3, "uploads": 0, "git_access": 1 } });
    let mock = Mock::start(vec![
        ("DELETE /apps/hello", reply(200, tombstone.clone())),
        ("GET /tombstones", reply(200, json!({ "items": [tombstone], "next": null }))),
        ("POST /apps/hello/undelete", reply(202, changed(Value::Null))),
    ]);
    let user = User::new();
    assert!(user.wh(&mock, &["apps", "rm", "hello"]).failed(2).err.contains("--confirm hello"));
    user.wh(&mock, &["apps", "rm", "hello", "--confirm", "hell"]).failed(2);
    assert_eq!(mock.lines(), [] as [&str; 0], "nothing is asked for");
    let run = user.wh(&mock, &["apps", "rm", "hello", "--confirm", "hello"]).succeeded();
    assert!(run.err.contains("`wh apps undelete hello` until 2026-01-08"), "{}", run.err);
    assert!(run.err.contains("stops 2 containers"), "{}", run.err);
    assert!(run.err.contains("keeps access to its repository, 3 releases, 1 variable"), "{}", run.err);
    assert_eq!(mock.lines(), ["DELETE /apps/hello?confirm=hello"]);
    let list = user.wh(&mock, &["apps", "ls", "--deleted"]).succeeded().out;
    assert!(list.contains("hello") && list.contains("2026-01-08"), "{list}");
    let run = user.wh(&mock, &["apps", "undelete", "hello"]).succeeded();
    assert!(run.err.contains("hello is back as it was"), "{}", run.err);
}

#[test]
fn one_instance_is_restarted_by_the_end_of_its_id() {
    let instance = |id: &str| {
        json!({ "id": id, "node": { "id": "n", "name": "w1" }, "release": 3, "state": "healthy", "wanted": true,
                "in_rotation": true, "restarts": 0 })
    };
    let other = "01900000-0000-7000-8000-0000cafecafe";
    let all = json!({ "items": [instance(ID), instance(other)], "next": null });
    let line = format!("POST /apps/hello/instances/{ID}/restart");
    let mock = Mock::start(vec![
        ("GET /apps/hello/instances", reply(200, all)),
        (&line, reply(202, changed(deployment("queued")))),
    ]);
    let args = |id| ["restart", "--instance", id, "--detach", "--app", "hello"];
    let run = User::new().wh(&mock, &args("deadbeef")).succeeded();
    assert!(run.err.contains("restart of instance deadbeef"), "{}", run.err);
    assert_eq!(mock.one(&line).json(), json!({}));
    let run = User::new().wh(&mock, &args("00000000")).failed(4);
    assert!(run.err.contains("wh ps"), "{}", run.err);
}
