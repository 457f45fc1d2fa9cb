//! The file that declares the hosts.

use serde_json::json;

use crate::User;
use crate::mock::{Mock, json as reply};

#[test]
fn the_keys_of_a_fleet_are_printed_as_nix_in_the_order_of_addresses() {
    let node = |name: &str, address: &str| json!({ "name": name, "mesh_address": address, "public_key": format!("{name}=") });
    let nodes = [node("w10", "10.50.0.20"), node("9w", "10.50.0.11"), node("cp", "10.50.0.1")];
    let mock = Mock::start(vec![("GET /nodes", reply(200, json!({ "items": nodes, "next": null })))]);
    assert_eq!(
        User::new().wh(&mock, &["fleet", "pin"]).succeeded().out,
        "cp.publicKey = \"cp=\"; # 10.50.0.1\n\"9w\".publicKey = \"9w=\"; # 10.50.0.11\nw10.publicKey = \"w10=\"; # 10.50.0.20\n"
    );
    let pins = User::new().wh(&mock, &["fleet", "pin", "--json"]).succeeded().json();
    assert_eq!(pins[1], json!({ "name": "9w", "public_key": "9w=", "mesh_address": "10.50.0.11" }));
}

#[test]
fn a_node_shows_what_its_images_take_and_what_stands_in_the_way() {
    let images = json!({ "count": 12, "size_bytes": 3_221_225_472_u64, "reclaimable_bytes": 1_048_576,
                         "cache_bytes": 0, "copies_waiting": 2, "problems": ["remove sha256:aa: a container uses it"] });
    let mock = Mock::start(vec![
        ("GET /nodes/w1", reply(200, json!({ "name": "w1", "images": images }))),
        ("GET /nodes/p1", reply(200, json!({ "name": "p1", "images": null }))),
    ]);
    let user = User::new();
    let shown = user.wh(&mock, &["node", "show", "w1"]).succeeded().out;
    for line in ["12, 3.0 GiB, 1.0 MiB no longer needed", "to fetch", "remove sha256:aa: a container uses it"]
    {
        assert!(shown.contains(line), "{shown}");
    }
    assert!(!shown.contains("build cache"), "{shown}");
    assert!(!user.wh(&mock, &["node", "show", "p1"]).succeeded().out.contains("images"));
}

#[test]
fn labels_are_set_removed_and_listed() {
    let node =
        json!({ "name": "w1", "labels": { "disk": "nvme", "rack": "3" }, "declared_labels": ["rack"] });
    let mock =
        Mock::start(vec![("PATCH /nodes/w1", reply(200, node.clone())), ("GET /nodes/w1", reply(200, node))]);
    let user = User::new();
    let set = user.wh(&mock, &["node", "label", "w1", "disk=nvme", "note=a=b", "old-key-"]).succeeded();
    assert_eq!(set.out, "disk=nvme\nrack=3\n");
    assert_eq!(
        mock.one("PATCH /nodes/w1").json(),
        json!({ "labels": { "disk": "nvme", "note": "a=b", "old-key": null } })
    );
    assert_eq!(user.wh(&mock, &["node", "label", "w1"]).succeeded().out, set.out);
    let shown = user.wh(&mock, &["node", "show", "w1"]).succeeded().out;
    assert!(shown.contains("disk=nvme, rack=3 (declared)"), "{shown}");
    for bad in ["disk", "=x", "-"] {
        user.wh(&mock, &["node", "label", "w1", "--", bad]).failed(2);
    }
}

/// A node that nobody has heard of for a while, as the API tells it.
fn silent() -> serde_json::Value {
    let ago = |seconds: i64| (chrono::Utc::now() - chrono::TimeDelta::seconds(seconds)).to_rfc3339();
    json!({
        "name": "w1", "status": "offline", "status_since": ago(245),
        "health": {
            "missing_since": ago(605), "failures": 4, "checked_at": ago(65), "next_check_at": ago(-130),
            "error": "no answer from 10.50.0.11:8090 within 5 s", "clock_offset_ms": -370_000, "clock_measured_at": ago(605),
        },
        "warnings": ["its worker agent is refused: envelope `ts` is -370000 ms away"],
    })
}

#[test]
fn a_node_that_is_gone_tells_how_often_it_was_asked_and_when_it_is_next() {
    let mock = Mock::start(vec![
        ("GET /nodes", reply(200, json!({ "items": [silent()], "next": null }))),
        ("GET /nodes/w1", reply(200, silent())),
    ]);
    let user = User::new();
    let list = user.wh(&mock, &["node", "ls"]).succeeded().out;
    assert!(list.contains("offline  4m ago  4 failed, next in 2m"), "{list}");
    let shown = user.wh(&mock, &["node", "show", "w1"]).succeeded().out;
    for line in [
        "no agent is connected since 10m ago",
        "last 1m ago, 4 failed, next in 2m",
        "no answer from 10.50.0.11:8090 within 5 s",
        "370 s behind, measured 10m ago",
        "its worker agent is refused",
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
}

#[test]
fn a_check_succeeds_when_the_node_answers_and_fails_with_the_reason() {
    let answers = json!({ "name": "w2", "status": "online", "health": { "error": null } });
    let mock = Mock::start(vec![
        ("POST /nodes/w1/check", reply(200, silent())),
        ("POST /nodes/w2/check", reply(200, answers)),
    ]);
    let user = User::new();
    let failed = user.wh(&mock, &["node", "check", "w1"]).failed(1);
    assert!(
        failed.err.contains("w1 does not answer: no answer from 10.50.0.11:8090 within 5 s (4 failed"),
        "{failed:?}"
    );
    let answered = user.wh(&mock, &["node", "check", "w2"]).succeeded();
    assert!(answered.err.contains("w2 answers: online"), "{answered:?}");
    let told = user.wh(&mock, &["node", "check", "w1", "--json"]).failed(1);
    assert_eq!(told.json()["health"]["failures"], 4);
}

#[test]
fn a_node_says_which_limits_it_enforces_and_why_not_the_others() {
    let enforced = json!({ "memory": { "by": "cgroups v2" }, "bandwidth": { "by": "tc (tbf)" },
                           "user_namespaces": { "why_not": "/etc/subuid has 0 numbers" } });
    let node = json!({ "name": "w1", "roles": ["proxy"], "host": { "cpus": 2, "enforced": enforced } });
    let mock = Mock::start(vec![("GET /nodes/w1", reply(200, node))]);
    let shown = User::new().wh(&mock, &["node", "show", "w1"]).succeeded().out;
    let has = |name: &str, value: &str| {
        shown.lines().any(|line| line.starts_with(name) && line.trim_end().ends_with(value))
    };
    assert!(has("enforces", "  bandwidth, memory"), "{shown}");
    assert!(has("not enforced", "  user namespaces: /etc/subuid has 0 numbers"), "{shown}");
}

#[test]
fn the_history_of_a_node_is_listed_with_the_reasons() {
    let one = |from: &str, to: &str, reason: &str| json!({ "id": "x", "at": "2026-11-22T04:31:10Z", "from": from, "to": to, "reason": reason });
    let items =
        [one("offline", "online", "its worker agent is connected"), one("online", "offline", "no answer")];
    let mock = Mock::start(vec![
        ("GET /nodes/w1/history", reply(200, json!({ "items": items, "next": null }))),
        ("GET /nodes/w2/history", reply(200, json!({ "items": [], "next": null }))),
    ]);
    let user = User::new();
    let shown = user.wh(&mock, &["node", "history", "w1"]).succeeded().out;
    let lines: Vec<&str> = shown.lines().collect();
    assert!(
        lines[1].contains("2026-11-22 04:31:10 UTC  online   offline  its worker agent is connected"),
        "{shown}"
    );
    assert!(lines[2].contains("offline  online   no answer"), "{shown}");
    assert_eq!(user.wh(&mock, &["node", "history", "w1", "--json"]).succeeded().json()[1]["to"], "offline");
    assert!(user.wh(&mock, &["node", "history", "w2"]).succeeded().err.contains("as it is"));
}

fn room(changes: &serde_json::Value) -> serde_json::Value {
    let mut node = json!({
        "id": "n", "name": "w1", "online": true, "takes_apps": true, "takes_builds": true, "max_instances": null,
        "cordoned_at": null, "capacity": { "cpu_millis": 39_000, "memory_mb": 7936 },
        "reserved": { "cpu_millis": 1500, "memory_mb": 1024 }, "instances": 2
    });
    for (key, value) in changes.as_object().expect("changes") {
        node[key] = value.clone();
    }
    node
}

#[test]
fn workers_show_what_they_have_to_give_and_what_they_take() {
    let told = [
        room(&json!({})),
        room(&json!({ "name": "w2", "takes_builds": false, "max_instances": 5 })),
        room(&json!({ "name": "w3", "cordoned_at": "2026-01-01T00:00:00Z", "capacity": null })),
    ];
    let mock = Mock::start(vec![
        ("GET /placement/nodes", reply(200, json!({ "items": told, "next": null }))),
        ("GET /nodes/w1", reply(200, json!({ "name": "w1", "roles": ["worker"] }))),
        ("GET /nodes/w1/placement", reply(200, room(&json!({})))),
    ]);
    let user = User::new();
    let list = user.wh(&mock, &["node", "capacity"]).succeeded().out;
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines[1], "w1    2          1024 of 7936 MiB  1.5 of 39.0 cores  apps and builds");
    assert_eq!(lines[2], "w2    2 of 5     1024 of 7936 MiB  1.5 of 39.0 cores  apps");
    assert!(
        lines[3].starts_with("w3    2          1024 MiB          1.5 cores          nothing new (cordoned"),
        "{list}"
    );
    let shown = user.wh(&mock, &["node", "show", "w1"]).succeeded().out;
    assert!(shown.contains("reserved memory") && shown.contains("1024 of 7936 MiB"), "{shown}");
}

#[test]
fn what_a_worker_takes_is_set() {
    let cordoned = room(&json!({ "cordoned_at": "2026-01-01T00:00:00Z" }));
    let mock = Mock::start(vec![
        ("PATCH /nodes/w1/placement", reply(200, room(&json!({ "takes_apps": false })))),
        ("POST /nodes/w1/cordon", reply(200, cordoned)),
        ("POST /nodes/w1/uncordon", reply(200, room(&json!({})))),
    ]);
    let user = User::new();
    let args = ["node", "settings", "w1", "--apps", "no", "--max-instances", "none"];
    assert!(user.wh(&mock, &args).succeeded().out.contains("takes            builds\n"));
    let sent = mock.one("PATCH /nodes/w1/placement").json();
    assert_eq!(sent, json!({ "takes_apps": false, "max_instances": null }));
    user.wh(&mock, &["node", "settings", "w1", "--builds", "maybe"]).failed(2);
    let run = user.wh(&mock, &["node", "cordon", "w1"]).succeeded();
    assert!(run.err.contains("w1 takes nothing new; 2 instances run on"), "{run:#?}");
    let run = user.wh(&mock, &["node", "uncordon", "w1"]).succeeded();
    assert!(run.err.contains("w1 takes apps and builds"), "{run:#?}");
}

#[test]
fn a_drain_is_followed_until_the_node_is_empty() {
    let left = |stage: &str, problem: serde_json::Value| json!([{ "instance": "0198-abcdef12", "app": "shop", "stage": stage, "deployment": 7, "problem": problem }]);
    let drain = |left: serde_json::Value, finished: serde_json::Value| {
        reply(200, json!({ "instances": 1, "left": left, "finished_at": finished }))
    };
    let waits = json!("no worker can take it (w1: cordoned; w2: 512 MiB of memory short)");
    let mock = Mock::start(vec![
        ("POST /nodes/w1/drain", drain(left("waiting", waits), json!(null))),
        ("GET /nodes/w1/drain", drain(left("moving", json!(null)), json!(null))),
        ("GET /nodes/w1/drain", drain(json!([]), json!("2026-01-01T00:00:00Z"))),
        ("POST /nodes/w2/drain", drain(left("waiting", json!(null)), json!(null))),
        ("GET /nodes/w2/drain", reply(404, json!({ "code": "not_found", "message": "no drain of w2" }))),
    ]);
    let user = User::new();
    let run = user.wh(&mock, &["node", "drain", "w1"]).succeeded();
    for line in ["w2: 512 MiB of memory short", "another starts in its place (deployment 7)", "w1 is empty"] {
        assert!(run.err.contains(line), "{run:#?}");
    }
    let run = user.wh(&mock, &["node", "drain", "w2"]).failed(5);
    assert!(run.err.contains("was ended before it was empty"), "{run:#?}");
    let run = user.wh(&mock, &["node", "drain", "w2", "--detach"]).succeeded();
    assert!(run.err.contains("1 to go"), "{run:#?}");
}

fn planned(to: Option<&str>, reason: &str) -> serde_json::Value {
    json!({ "instance": "0198-abcdef12", "app": "shop", "from": "w1", "to": to, "reason": reason })
}

#[test]
fn what_a_drain_would_do_is_told_before() {
    let moves = [planned(Some("w2"), "w1 is drained"), planned(None, "w2: cordoned")];
    let mock = Mock::start(vec![(
        "GET /nodes/w1/drain/preview",
        reply(200, json!({ "items": moves, "next": null })),
    )]);
    let out = User::new().wh(&mock, &["node", "drain", "w1", "--plan"]).succeeded().out;
    assert!(out.contains("w2       w1 is drained") && out.contains("nowhere  w2: cordoned"), "{out}");
}

#[test]
fn a_rebalance_is_shown_first_and_carried_out_as_shown() {
    let moves = json!({ "items": [planned(Some("w2"), "w1 is 90 % reserved")], "next": null });
    let of = |state: &str, problem: serde_json::Value| {
        let one = json!({ "instance": "0198-abcdef12", "app": "shop", "from": "w1", "to": "w2", "state": state,
                          "problem": problem });
        reply(200, json!({ "items": [one], "next": null }))
    };
    let mock = Mock::start(vec![
        ("GET /rebalance/preview", reply(200, moves)),
        ("POST /rebalance", reply(202, json!({ "items": [], "next": null }))),
        ("GET /moves", of("moving", json!(null))),
        ("GET /moves", of("done", json!(null))),
        ("GET /moves", of("failed", json!("deployment 7: Nothing listens."))),
    ]);
    let user = User::new();
    let run = user.wh(&mock, &["rebalance"]).succeeded();
    assert!(run.out.contains("w1 is 90 % reserved") && run.err.contains("--apply"), "{run:#?}");
    assert!(!mock.lines().iter().any(|line| line.starts_with("POST")), "{:?}", mock.lines());
    let run = user.wh(&mock, &["rebalance", "--apply"]).succeeded();
    assert!(run.err.contains("shop w1 → w2 done") && run.err.contains("moved 1 instances"), "{run:#?}");
    assert_eq!(
        mock.one("POST /rebalance").json(),
        json!({ "moves": [{ "instance": "0198-abcdef12", "to": "w2", "reason": "w1 is 90 % reserved" }] })
    );
    let run = user.wh(&mock, &["rebalance", "--apply"]).failed(1);
    assert!(run.err.contains("deployment 7: Nothing listens."), "{run:#?}");
}

fn space(used: u64) -> serde_json::Value {
    json!({ "used_bytes": used << 30, "total_bytes": 100_u64 << 30 })
}

fn now() -> serde_json::Value {
    json!({ "at": "2026-01-01T00:00:00Z", "cpu_percent": 38.4, "load": 1.5, "memory": space(71), "swap": space(1),
            "root": space(20), "containers": space(93), "received_per_s": 1024, "sent_per_s": 2048, "uptime_s": 7200 })
}

#[test]
fn nodes_are_listed_with_how_full_they_are_and_whether_they_take_anything_new() {
    let nodes = json!([
        { "name": "w1", "status": "online", "instances": 4, "apps": 2, "rtt_ms": 1.4, "numbers": now(),
          "cordoned_at": "2026-01-01T00:00:00Z" },
        { "name": "w2", "status": "offline", "numbers": null },
    ]);
    let mock = Mock::start(vec![
        ("GET /nodes", reply(200, json!({ "items": nodes, "next": null }))),
        ("GET /nodes/w1", reply(200, nodes[0].clone())),
    ]);
    let user = User::new();
    let out = user.wh(&mock, &["node", "ls"]).succeeded().out;
    for words in ["online, cordoned", "38%", "71%", "93%", "1.4 ms"] {
        assert!(out.contains(words), "{words}: {out}");
    }
    assert!(!out.contains("offline, cordoned"), "{out}");
    let shown = user.wh(&mock, &["node", "show", "w1"]).succeeded().out;
    for words in ["4 of 2 apps", "71 GiB of 100 GiB (71%)", "1.0 KiB/s in, 2.0 KiB/s out", "2h 00m"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

#[test]
fn numbers_of_a_node_are_told_for_a_range() {
    let point = json!({ "at": "2026-01-01T00:00:00Z", "cpu_percent": 12.0, "cpu_most_percent": 80.0, "load": 0.5,
                        "memory": space(50), "root": space(20), "received_bytes": 2048, "sent_bytes": 1024 });
    let series = |points: serde_json::Value, now: serde_json::Value| {
        json!({ "range": "6h", "step_s": 120, "from": "2026-01-01T00:00:00Z", "until": "2026-01-01T06:00:00Z",
                "now": now, "points": points })
    };
    let mock = Mock::start(vec![
        ("GET /nodes/w1/numbers", reply(200, series(json!([point]), now()))),
        ("GET /nodes/w2/numbers", reply(200, series(json!([]), json!(null)))),
    ]);
    let user = User::new();
    let out = user.wh(&mock, &["node", "stats", "w1", "--range", "6h"]).succeeded().out;
    for words in ["12%", "80%", "50%", "2.0 KiB", "38%, load 1.50"] {
        assert!(out.contains(words), "{words}: {out}");
    }
    assert_eq!(mock.lines(), ["GET /nodes/w1/numbers?range=6h"]);
    let silent = user.wh(&mock, &["node", "stats", "w2"]).succeeded();
    assert!(silent.err.contains("has told nothing"), "{silent:#?}");
}

#[test]
fn a_clean_up_removes_what_it_showed_and_only_when_somebody_is_sure() {
    let image = json!({ "id": "sha256:aabbccddeeff0011", "names": ["docker.io/library/node:18"],
                        "made_at": "2026-01-01T00:00:00Z", "frees_bytes": 1_048_576, "reason": "nothing needs it" });
    let cleanup = |state: &str, removed: serde_json::Value| {
        json!({ "id": "c-1", "started_by": "ann@example.com", "at": "2026-01-01T00:00:00Z", "state": state, "images": 1,
                "removed": removed, "freed_bytes": 1_048_576, "left": [], "problem": null })
    };
    let done = cleanup("done", json!([image]));
    let mock = Mock::start(vec![
        ("GET /nodes/w1/gc/preview", reply(200, json!({ "images": [image], "frees_bytes": 1_048_576 }))),
        ("POST /nodes/w1/gc", reply(202, cleanup("running", json!([])))),
        ("GET /nodes/w1/gc", reply(200, json!({ "items": [done], "next": null }))),
        ("GET /nodes/w2/gc/preview", reply(200, json!({ "images": [], "frees_bytes": 0 }))),
    ]);
    let user = User::new();
    let run = user.wh(&mock, &["node", "gc", "w1", "--dry-run"]).succeeded();
    assert!(run.out.contains("docker.io/library/node:18") && run.out.contains("aabbccddeeff"), "{run:#?}");
    let run = user.wh(&mock, &["node", "gc", "w1"]).failed(2);
    assert!(run.err.contains("--yes"), "{run:#?}");
    assert!(!mock.lines().iter().any(|line| line.starts_with("POST")), "{:?}", mock.lines());
    let run = user.wh(&mock, &["node", "gc", "w1", "--yes"]).succeeded();
    assert!(run.err.contains("removed 1 images from w1, about 1.0 MiB"), "{run:#?}");
    assert_eq!(mock.one("POST /nodes/w1/gc").json(), json!({ "images": ["sha256:aabbccddeeff0011"] }));
    let run = user.wh(&mock, &["node", "gc", "w1", "--history"]).succeeded();
    assert!(run.out.contains("1 of 1") && run.out.contains("ann@example.com"), "{run:#?}");
    let run = user.wh(&mock, &["node", "gc", "w2"]).succeeded();
    assert!(run.err.contains("nothing that can go"), "{run:#?}");
}

#[test]
fn lines_of_an_agent_are_asked_for_by_agent_and_level() {
    let line = json!({ "seq": 3, "at": "2026-01-01T00:00:00Z", "level": "warn", "target": "node::link",
                       "text": "no connection \u{1b}[2J" });
    let log = json!({ "agent": "mesh", "lines": [line], "place": "7-3" });
    let mock = Mock::start(vec![("GET /nodes/w1/agent-log", reply(200, log))]);
    let words = ["node", "logs", "w1", "--agent", "mesh", "--level", "warn", "-n", "5"];
    let out = User::new().wh(&mock, &words).succeeded().out;
    assert_eq!(mock.lines(), ["GET /nodes/w1/agent-log?level=warn&lines=5&agent=mesh"]);
    assert!(out.contains("WARN node::link no connection"), "{out}");
    assert!(!out.contains('\u{1b}'), "{out:?}");
}

#[test]
fn what_is_on_a_node_is_listed_and_what_is_of_others_counted() {
    let instance = json!({ "id": "0198-abcdef12", "app": "shop", "release": 4, "state": "healthy", "restarts": 2,
                           "stats": { "cpu_millis": 140, "memory_bytes": 1_048_576 } });
    let storage = json!({ "reported_at": "2026-01-01T00:00:00Z", "container_count": 1, "volume_count": 1,
        "containers": [{ "name": "postgres", "image": "docker.io/library/postgres:17", "state": "running" }],
        "volumes": [{ "name": "data", "size_bytes": 1_048_576, "containers": 1 }] });
    let mock = Mock::start(vec![
        ("GET /nodes/w1/instances", reply(200, json!({ "items": [instance], "others": 3 }))),
        ("GET /nodes/w1/storage", reply(200, storage)),
    ]);
    let user = User::new();
    let run = user.wh(&mock, &["node", "ps", "w1"]).succeeded();
    assert!(
        run.out.contains("shop") && run.out.contains("140m") && run.err.contains("3 of other"),
        "{run:#?}"
    );
    let run = user.wh(&mock, &["node", "storage", "w1"]).succeeded();
    assert!(run.out.contains("postgres:17") && run.out.contains("1.0 MiB"), "{run:#?}");
}

#[test]
fn a_rebalance_that_waits_is_taken_back() {
    let one = json!({ "id": "0198-0000-abcdef12", "instance": "i", "app": "shop", "state": "waiting" });
    let mock = Mock::start(vec![
        ("POST /rebalance/cancel", reply(200, json!({ "items": [], "others": 0 }))),
        ("GET /moves", reply(200, json!({ "items": [one], "others": 0 }))),
        ("DELETE /moves/0198-0000-abcdef12", reply(204, json!(null))),
    ]);
    let user = User::new();
    let run = user.wh(&mock, &["rebalance", "cancel"]).succeeded();
    assert!(run.err.contains("stays where it is"), "{run:#?}");
    user.wh(&mock, &["rebalance", "cancel", "abcdef12"]).succeeded();
}
