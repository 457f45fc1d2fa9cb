//! `wh mesh`.

use serde_json::{Value, json};

use crate::User;
use crate::mock::{Mock, Reply, json as reply};

fn node(name: &str, reaches: u32) -> Value {
    json!({
        "id": format!("id-{name}"), "name": name, "mesh_address": "10.50.0.2", "public_key": "k",
        "endpoint": null, "status": "online", "wireguard": "userspace", "mtu": 1420,
        "key_since": chrono::Utc::now(), "reported_at": chrono::Utc::now(), "reaches": reaches,
    })
}

fn link(from: &str, to: &str, state: &str, rtt_ms: Value) -> Value {
    json!({
        "from": from, "to": to, "state": state, "endpoint": "203.0.113.9:51821", "handshake_age_s": 65,
        "received_bytes": 2048, "sent_bytes": 10, "rtt_ms": rtt_ms, "loss": 25.0, "mtu": 1380,
    })
}

fn mesh(findings: &[Value]) -> Reply {
    let links = [
        link("w1", "w2", "direct", json!(1.5)),
        link("w2", "w1", "direct", json!(1.4)),
        link("w1", "w3", "silent", json!(0.9)),
        link("w3", "w1", "unknown", Value::Null),
    ];
    reply(
        200,
        json!({
            "cidr": "10.50.0.0/24", "nodes": [node("w1", 1), node("w2", 1), node("w3", 0)], "links": links,
            "links_left_out": 0, "findings": findings,
        }),
    )
}

fn finding(level: &str) -> Value {
    json!({
        "level": level, "problem": "port-closed", "nodes": ["w1", "w3"],
        "summary": "w1 and w3 do not reach each other", "fix": "Let UDP in",
    })
}

fn words(out: &str) -> Vec<Vec<&str>> {
    out.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[test]
fn the_mesh_is_shown_by_node_by_peer_and_as_a_matrix() {
    let mock = Mock::start(vec![("GET /mesh", mesh(&[finding("problem")]))]);
    let user = User::new();
    let run = user.wh(&mock, &["mesh"]).succeeded();
    assert_eq!(
        words(&run.out)[1],
        ["w1", "online", "10.50.0.2", "–", "1", "of", "2", "userspace", "1420", "now", "now"]
    );
    assert!(run.err.contains("wh mesh doctor"), "{run:?}");
    let run = user.wh(&mock, &["mesh", "peers", "w1"]).succeeded();
    let lines = words(&run.out);
    assert_eq!(lines[0], ["PEER", "WAY", "ENDPOINT", "HANDSHAKE", "RTT", "LOSS", "MTU", "RECEIVED", "SENT"]);
    assert_eq!((lines[1][..3].to_vec(), lines.len()), (vec!["w2", "direct", "203.0.113.9:51821"], 3));
    assert!(run.out.contains("1.5 ms  25 %  1380  2.0 KiB"), "{}", run.out);
    let run = user.wh(&mock, &["mesh", "rtt"]).succeeded();
    assert_eq!(
        words(&run.out),
        [
            vec!["FROM", "w1", "w2", "w3"],
            vec!["w1", "·", "1.5", "ms", "silent"],
            vec!["w2", "1.4", "ms", "·", "·"],
            vec!["w3", "unknown", "·", "·"],
        ]
    );
    assert_eq!(mock.lines(), ["GET /mesh", "GET /mesh?node=w1", "GET /mesh"]);
}

#[test]
fn a_relayed_peer_is_shown_with_its_relay() {
    let relayed = |from, to| {
        let mut link = link(from, to, "relayed", json!(7));
        link["via"] = json!("cp");
        link
    };
    let body = json!({
        "cidr": "10.50.0.0/24", "nodes": [node("w1", 1), node("w2", 1)],
        "links": [relayed("w1", "w2"), relayed("w2", "w1")],
    });
    let mock = Mock::start(vec![("GET /mesh", reply(200, body))]);
    let user = User::new();
    let run = user.wh(&mock, &["mesh", "peers", "w1"]).succeeded();
    assert_eq!(words(&run.out)[1][..4], ["w2", "relayed", "via", "cp"]);
    let run = user.wh(&mock, &["mesh", "rtt"]).succeeded();
    assert!(words(&run.out)[1].ends_with(&["ms", "relayed"]), "{}", run.out);
}

#[test]
fn the_doctor_tells_what_is_wrong_and_fails_for_problems_alone() {
    let user = User::new();
    let mock = Mock::start(vec![("GET /mesh", mesh(&[finding("problem")]))]);
    let run = user.wh(&mock, &["mesh", "doctor"]).failed(1);
    assert!(run.out.contains("✗ w1 and w3 do not reach each other\n  → Let UDP in"), "{run:?}");
    let mock = Mock::start(vec![("GET /mesh", mesh(&[finding("warning")]))]);
    let run = user.wh(&mock, &["mesh", "doctor", "w1", "--json"]).succeeded();
    assert_eq!(run.json()[0]["problem"], "port-closed");
    let mock = Mock::start(vec![("GET /mesh", mesh(&[]))]);
    let run = user.wh(&mock, &["mesh", "doctor"]).succeeded();
    assert!(run.err.contains("every node reaches every other"), "{run:?}");
}

/// Of w1, which is asked for another key and waits for these.
fn changing(waits_for: &[&str]) -> Reply {
    let mut one = node("w1", 1);
    one["rotation"] = json!({ "asked_at": chrono::Utc::now(), "stage": "announced", "waits_for": waits_for });
    reply(200, json!({ "cidr": "10.50.0.0/24", "nodes": [one, node("w2", 1)], "links": [] }))
}

#[test]
fn keys_of_tunnels_are_changed_and_waited_for() {
    let mock = Mock::start(vec![
        ("POST /mesh/rotations", reply(202, json!({ "nodes": ["w1"] }))),
        ("GET /mesh", changing(&["w2"])),
        ("GET /mesh", mesh(&[])),
    ]);
    let run = User::new().wh(&mock, &["mesh", "rotate", "w1"]).succeeded();
    assert!(run.err.contains("the tunnel of w1 uses another key"), "{run:?}");
    let lines = mock.lines();
    assert_eq!(
        (lines[0].as_str(), lines.last().map(String::as_str)),
        ("POST /mesh/rotations", Some("GET /mesh"))
    );

    let mock = Mock::start(vec![
        ("POST /mesh/rotations", reply(202, json!({ "nodes": ["w1", "w2"] }))),
        ("GET /mesh", changing(&["w2"])),
        ("DELETE /mesh/rotations/w1", reply(204, Value::Null)),
    ]);
    let user = User::new();
    let run = user.wh(&mock, &["mesh", "rotate", "--all", "--detach"]).succeeded();
    assert!(run.err.contains("asked 2 nodes"), "{run:?}");
    let run = user.wh(&mock, &["mesh"]).succeeded();
    assert!(run.out.contains("changing (announced)"), "{run:?}");
    let run = user.wh(&mock, &["mesh", "rotate", "w1", "--cancel"]).succeeded();
    assert!(run.err.contains("w1 keeps its key"), "{run:?}");
    user.wh(&mock, &["mesh", "rotate"]).failed(2);
}
