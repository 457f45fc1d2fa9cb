//! Adding nodes, changing their keys, shutting them out.

use serde_json::{Value, json};

use crate::User;
use crate::mock::{Mock, json as reply};

const LINE: &str = "printf '%s\\n' 'whj_0a1b' | sudo wisehosting-mesh join";

fn made() -> Value {
    json!({
        "id": "0197aaaa-0000-7000-8000-00000000beef", "token": "whj_0a1b", "roles": ["worker"], "name": "w2",
        "expires_at": "2999-01-01T00:00:00Z", "command": LINE, "nixos": "{ wisehosting, ... }:\n{\n}\n",
    })
}

fn token(used_by: Value, refusal: Value) -> Value {
    json!({
        "id": made()["id"], "roles": ["worker"], "expires_at": "2999-01-01T00:00:00Z", "used_by": used_by,
        "used_at": if used_by.is_null() { Value::Null } else { json!("2026-01-01T10:11:12Z") },
        "refusal": refusal, "refused_at": if refusal.is_null() { Value::Null } else { json!("2026-01-01T10:11:12Z") },
    })
}

fn node(connected: &[&str], status: &str) -> Value {
    let agents: Vec<Value> =
        connected.iter().map(|kind| json!({ "kind": kind, "connected": true })).collect();
    json!({
        "name": "w2", "roles": ["worker"], "status": status, "mesh_address": "10.50.0.12", "agents": agents,
        "warnings": ["its clock is 40 s behind"],
        "capabilities": [
            { "name": "podman", "label": "Podman 5.2.1", "state": "good", "problem": null, "hint": null },
            { "name": "cgroups", "label": "cgroup v1", "state": "limited",
              "problem": "pressure is not measured", "hint": "Boot with the unified hierarchy" },
        ],
        "host": { "enforced": { "memory": { "by": "cgroups v1" }, "disk": { "why_not": "extfs has no quota" } } },
    })
}

const TOKEN: &str = "GET /node-tokens/0197aaaa-0000-7000-8000-00000000beef";

/// A host that is refused first, then comes in step by step.
fn coming() -> Mock {
    Mock::start(vec![
        ("POST /node-tokens", reply(201, made())),
        (TOKEN, reply(200, token(Value::Null, json!("this join token is for a host named w2")))),
        (TOKEN, reply(200, token(json!("w2"), Value::Null))),
        ("GET /nodes/w2", reply(200, node(&[], "joining"))),
        ("GET /nodes/w2", reply(200, node(&["mesh"], "online"))),
        ("GET /nodes/w2", reply(200, node(&["mesh", "worker"], "online"))),
    ])
}

#[test]
fn a_node_is_followed_from_its_token_until_it_is_online() {
    let mock = coming();
    let words = ["node", "add", "w2", "--label", "disk=nvme", "--zone", "de.example.com", "--expires", "2h"];
    let run = User::new().wh(&mock, &words).succeeded();
    assert_eq!(run.out, format!("{LINE}\n"), "the line and nothing else");
    let asked = mock.one("POST /node-tokens").json();
    assert_eq!(
        asked,
        json!({ "roles": ["worker"], "name": "w2", "labels": { "disk": "nvme" }, "zone": "de.example.com", "expires_in_s": 7200 })
    );
    let mut rest = run.err.as_str();
    for step in [
        "a host was refused at 10:11:12: this join token is for a host named w2",
        "the token was used by w2",
        "w2 is in the mesh at 10.50.0.12",
        "its worker agent is connected",
        "w2 is online",
        "has Podman 5.2.1",
        "limited cgroup v1: pressure is not measured. Boot with the unified hierarchy",
        "enforces memory",
        "not enforced disk: extfs has no quota",
        "its clock is 40 s behind",
    ] {
        let at = rest.find(step).unwrap_or_else(|| panic!("{step:?} is not next in {}", run.err));
        rest = &rest[at + step.len()..];
    }
    assert_eq!(run.err.matches("the token was used").count(), 1, "each step is told once: {}", run.err);
}

#[test]
fn for_programs_each_step_is_a_line_of_json() {
    let run = User::new().wh(&coming(), &["node", "add", "w2", "--json"]).succeeded();
    let lines: Vec<Value> = run.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let events: Vec<&str> = lines.iter().filter_map(|line| line["event"].as_str()).collect();
    assert_eq!(events, ["token", "step", "step", "step", "step", "node"]);
    assert_eq!(lines[0]["token"]["token"], "whj_0a1b");
    assert_eq!(lines[5]["node"]["name"], "w2");
}

#[test]
fn who_does_not_wait_or_waits_too_long_is_told_that_the_token_stays_valid() {
    let mock = Mock::start(vec![
        ("POST /node-tokens", reply(201, made())),
        (TOKEN, reply(200, token(Value::Null, Value::Null))),
    ]);
    let user = User::new();
    let run =
        user.wh(&mock, &["node", "add", "--role", "worker", "--role", "proxy", "--no-wait"]).succeeded();
    assert_eq!(run.out, format!("{LINE}\n"));
    assert_eq!(mock.one("POST /node-tokens").json()["roles"], json!(["worker", "proxy"]));
    let late = user.wh(&mock, &["node", "add", "--wait", "1s"]).failed(7);
    assert!(late.err.contains("the token stays valid until 2999-01-01 00:00 UTC"), "{}", late.err);
}

#[test]
fn a_node_that_is_only_half_there_is_told_by_what_is_missing() {
    let mock = Mock::start(vec![
        ("POST /node-tokens", reply(201, made())),
        (TOKEN, reply(200, token(json!("w2"), Value::Null))),
        ("GET /nodes/w2", reply(200, node(&["mesh"], "online"))),
    ]);
    let late = User::new().wh(&mock, &["node", "add", "--wait", "1s"]).failed(7);
    assert!(late.err.contains("not connected: worker") && late.err.contains("journalctl"), "{}", late.err);
}

#[test]
fn a_token_that_is_withdrawn_or_a_label_that_is_none_ends_it() {
    let mock = Mock::start(vec![
        ("POST /node-tokens", reply(201, made())),
        (TOKEN, reply(404, json!({ "code": "not_found", "message": "there is no node token" }))),
    ]);
    let user = User::new();
    assert!(user.wh(&mock, &["node", "add"]).failed(5).err.contains("withdrawn"));
    user.wh(&mock, &["node", "add", "--label", "disk-"]).failed(2);
    user.wh(&mock, &["node", "add", "--role", "control-plane"]).failed(2);
}

#[test]
fn a_host_is_entered_by_hand_and_the_answer_is_the_line_to_run_there() {
    let line = "printf '%s\\n' '{}' | sudo wisehosting-mesh join --joined";
    let taken = json!({ "code": "name_taken", "message": "the node w1 has this public key", "field": "public_key", "hint": "Enter another one" });
    let mock = Mock::start(vec![
        ("POST /nodes", reply(201, json!({ "node": node(&[], "joining"), "joined": "{}", "command": line }))),
        ("POST /nodes", reply(409, taken)),
    ]);
    let user = User::new();
    let words = [
        "node",
        "register",
        "w2",
        "--role",
        "proxy",
        "--public-key",
        "KEY=",
        "--endpoint",
        "198.51.100.20:51821",
    ];
    assert_eq!(user.wh(&mock, &words).succeeded().out, format!("{line}\n"));
    assert_eq!(
        mock.one("POST /nodes").json(),
        json!({ "name": "w2", "roles": ["proxy"], "labels": {}, "zone": null, "public_key": "KEY=", "endpoint": "198.51.100.20:51821" })
    );
    let refused = user.wh(&mock, &words).failed(5);
    assert!(refused.err.contains("has this public key") && refused.err.contains("Enter another one"));
    user.wh(&mock, &["node", "register", "w2", "--public-key", "K", "--endpoint", "nowhere"]).failed(2);
}

#[test]
fn a_change_of_keys_is_followed_to_its_end() {
    let asked = |at: Value| json!({ "name": "w1", "key": { "rotation_asked_at": at } });
    let now = json!("2026-01-01T10:11:12Z");
    let mock = Mock::start(vec![
        ("POST /nodes/w1/rotate-key", reply(202, asked(now.clone()))),
        ("GET /nodes/w1", reply(200, asked(now))),
        ("GET /nodes/w1", reply(200, asked(Value::Null))),
    ]);
    let run = User::new().wh(&mock, &["node", "rotate-key", "w1"]).succeeded();
    assert!(run.err.contains("signs in with another key"), "{}", run.err);
    let detached = User::new().wh(&mock, &["node", "rotate-key", "w1", "--detach"]).succeeded();
    assert!(detached.err.contains("asked w1"), "{}", detached.err);
}

#[test]
fn a_node_is_revoked_only_by_who_says_its_name_twice() {
    let revoked = json!({ "name": "w1", "instances": 2, "key": { "revoked_at": "2026-01-01T10:11:12Z" } });
    let mock = Mock::start(vec![("POST /nodes/w1/revoke", reply(200, revoked))]);
    let user = User::new();
    assert!(user.wh(&mock, &["node", "revoke", "w1"]).failed(2).err.contains("--confirm w1"));
    user.wh(&mock, &["node", "revoke", "w1", "--confirm", "w2"]).failed(2);
    assert!(mock.asked().is_empty(), "nothing was asked of the server");
    let run = user.wh(&mock, &["node", "revoke", "w1", "--confirm", "w1"]).succeeded();
    assert_eq!(mock.one("POST /nodes/w1/revoke").json(), json!({ "confirm": "w1" }));
    assert!(run.err.contains("2 instances should still run there"), "{}", run.err);
}

#[test]
fn a_node_with_instances_is_not_forgotten_and_the_drain_is_named() {
    let refused = json!({ "code": "node_has_instances", "message": "2 instances still run on w1",
                          "hint": "Move them to other nodes first: `wh node drain w1`" });
    let mock = Mock::start(vec![("DELETE /nodes/w1", reply(409, refused))]);
    let run = User::new().wh(&mock, &["node", "rm", "w1"]).failed(5);
    assert!(run.err.contains("wh node drain w1"), "{}", run.err);
}
