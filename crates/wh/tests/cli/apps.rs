//! Apps, their instances, logs and variables; nodes.

use chrono::Utc;
use serde_json::{Value, json};

use crate::User;
use crate::mock::{Mock, events, json as reply};

const ID: &str = "01900000-0000-7000-8000-0000deadbeef";

#[test]
fn lists_are_read_to_their_last_page() {
    let app = |slug: &str| {
        json!({ "slug": slug, "project": { "id": "p", "slug": "default" }, "status": "running", "url": "https://x",
                "instances": { "wanted": 2, "healthy": 1 }, "release": { "number": 3 } })
    };
    let mock = Mock::start(vec![
        ("GET /apps", reply(200, json!({ "items": [app("one")], "next": "a b" }))),
        ("GET /apps", reply(200, json!({ "items": [app("two")], "next": null }))),
    ]);
    let run = User::new().wh(&mock, &["apps", "ls", "--project", "default"]).succeeded();
    assert_eq!(
        run.out,
        "APP  PROJECT  STATUS   HEALTHY  RELEASE  DEPLOYED  URL\n\
         one  default  running  1/2      3        –         https://x\n\
         two  default  running  1/2      3        –         https://x\n"
    );
    assert_eq!(mock.lines(), ["GET /apps?project=default", "GET /apps?project=default&cursor=a%20b"]);
}

#[test]
fn the_app_comes_from_flag_environment_or_project_file() {
    let mock = Mock::start(vec![]);
    let user = User::with_files(&[("wisehosting.toml", "app = \"file\"")]);
    user.wh(&mock, &["releases"]).failed(4);
    user.wh(&mock, &["releases", "--app", "flag"]).failed(4);
    user.bare(&["releases"], &[("WH_URL", &mock.url), ("WH_TOKEN", "t"), ("WH_APP", "env")], "").failed(4);
    assert_eq!(
        mock.lines(),
        ["GET /apps/file/releases", "GET /apps/flag/releases", "GET /apps/env/releases"]
    );
}

/// One that was seen at `seen`, and of which nobody has heard since if it is `unknown`.
fn instance(seen: &str, state: &str, unknown: bool) -> Value {
    json!({ "id": ID, "node": { "id": "n", "name": "w1" }, "release": 3, "wanted": true, "in_rotation": true,
            "state": state, "restarts": 0, "exit_code": null, "started_at": null, "observed_at": seen, "unknown_since": unknown.then_some(seen),
            "probe": { "target": "GET http://10.50.0.11:1/", "attempts": 3, "outcome": "HTTP 503 in 1 ms" },
            "stats": { "id": ID, "cpu_millis": 12, "memory_bytes": 5_242_880 } })
}

#[test]
fn the_use_of_instances_is_shown_beside_their_limits_and_what_nothing_enforces_is_named() {
    let mut limited = instance(&Utc::now().to_rfc3339(), "healthy", false);
    limited["resources"] = json!({ "memory_mb": 512, "cpu_millis": 1000, "pids": 512 });
    limited["isolation"] = json!({ "disk_mb": 50, "egress_mbit": 16, "ingress_mbit": null });
    limited["unenforced"] = json!([{ "setting": "isolation.disk_mb", "why": "extfs has no quota" }]);
    limited["stats"]["pids"] = json!(7);
    limited["stats"]["disk_bytes"] = json!(1_048_576);
    limited["stats"]["send_rate"] = json!(1_900_000);
    limited["stats"]["receive_rate"] = json!(0);
    let items = json!({ "items": [limited], "next": null });
    let mock = Mock::start(vec![
        ("GET /apps/a/instances", reply(200, items.clone())),
        ("GET /apps/a/instances", reply(200, items)),
    ]);
    let run = User::new().wh(&mock, &["ps", "--use", "--app", "a"]).succeeded();
    let words: Vec<&str> = run.out.lines().nth(1).expect("a row").split("  ").map(str::trim).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let expected = [
        "deadbeef",
        "w1",
        "0.01 of 1.00",
        "5.0 MiB of 512 MiB",
        "7 of 512",
        "1.0 MiB of 50 MiB",
        "0.00 Mbit/s",
        "15.20 of 16 Mbit/s",
    ];
    assert_eq!(words, expected, "{run:#?}");
    let told = "  isolation.disk_mb is not enforced on w1: extfs has no quota\n";
    assert_eq!(run.err, told);
    assert_eq!(User::new().wh(&mock, &["ps", "--app", "a"]).succeeded().err, told);
}

#[test]
fn instances_are_shown_with_evidence_and_old_news_is_a_partial_answer() {
    let now = Utc::now().to_rfc3339();
    let mock = Mock::start(vec![
        (
            "GET /apps/a/instances",
            reply(200, json!({ "items": [instance(&now, "unhealthy", false)], "next": null })),
        ),
        (
            "GET /apps/a/instances",
            reply(200, json!({ "items": [instance("2026-01-01T00:00:00Z", "healthy", true)] })),
        ),
    ]);
    let run = User::new().wh(&mock, &["ps", "--app", "a"]).succeeded();
    assert!(
        run.out.contains("deadbeef  w1    3        unhealthy  yes      0         1.2 %  5.0 MiB"),
        "{run:#?}"
    );
    assert_eq!(run.err, "  deadbeef  GET http://10.50.0.11:1/ → HTTP 503 in 1 ms (3 attempts)\n");
    let run = User::new().wh(&mock, &["ps", "--app", "a"]).failed(8);
    assert!(run.out.contains("deadbeef  w1    3        unknown "), "{run:#?}");
    assert!(run.err.contains("then it was healthy") && run.err.contains("instances on w1"), "{run:#?}");
}

#[test]
fn an_app_that_was_stopped_by_the_crash_guard_says_why() {
    let failure = json!({ "code": "crash_looping", "stage": "start", "message": "the app ended 6 times in a row",
                          "hint": "raise the limit", "exit_code": 137, "out_of_memory": true,
                          "last_lines": ["allocating"] });
    let counted = json!({ "wanted": 2, "healthy": 0, "unknown": 1, "unknown_since": "2026-01-01T00:00:00Z" });
    let app = json!({ "slug": "a", "status": "crash-looping", "instances": counted, "failure": failure });
    let mock = Mock::start(vec![("GET /apps/a", reply(200, app))]);
    let run = User::new().wh(&mock, &["apps", "info", "a"]).succeeded();
    assert!(
        run.out.contains("crash-looping") && run.out.contains("0 of 2 healthy, 1 unknown since"),
        "{run:#?}"
    );
    let card = "the app ended 6 times in a row\n  raise the limit\n  exit code  137\n  memory     exhausted";
    assert!(run.out.contains(card) && run.out.contains("│ allocating"), "{run:#?}");
}

fn line(id: &str, text: &str) -> Value {
    json!({ "id": id, "at": "2026-01-01T00:00:00Z", "stream": "stdout", "text": text, "instance_id": ID, "release": 3 })
}

#[test]
fn the_last_lines_of_one_instance_are_shown() {
    let mock = Mock::start(vec![
        (
            "GET /apps/a/instances",
            reply(200, json!({ "items": [instance("2026-01-01T00:00:00Z", "healthy", true)] })),
        ),
        (
            "GET /apps/a/logs",
            reply(200, json!({ "lines": [line("1", "one"), line("2", "two")], "next": "2" })),
        ),
    ]);
    let run = User::new().wh(&mock, &["logs", "--app", "a", "-n", "1", "--instance", "beef"]).succeeded();
    assert!(run.out.ends_with(" deadbeef two\n") && !run.out.contains("one"), "{run:#?}");
    assert_eq!(mock.lines()[1], format!("GET /apps/a/logs?tail=1&limit=1&instance={ID}"));
    User::new().wh(&mock, &["logs", "--app", "a", "--instance", "nope"]).failed(4);
    User::new().wh(&mock, &["logs", "--app", "a", "--release", "3", "--grep", "a b"]).succeeded();
    let asked = mock.lines().last().cloned();
    assert_eq!(asked.as_deref(), Some("GET /apps/a/logs?tail=100&limit=100&release=3&text=a%20b"));
}

#[test]
fn followed_lines_come_once_each_over_lost_connections() {
    let event = |id: &str, text: &str| format!("event: line\nid: {id}\ndata: {}\n\n", line(id, text));
    let gone = reply(404, json!({ "code": "app_unknown", "message": "the app is gone" }));
    let mock = Mock::start(vec![
        ("GET /apps/a/logs", events(&(event("01-a", "one") + &event("01-b", "two")))),
        ("GET /apps/a/logs", events(&event("01-c", "three"))),
        ("GET /apps/a/logs", gone),
    ]);
    let run = User::new().wh(&mock, &["logs", "-f", "--app", "a", "--tail", "5"]).failed(4);
    let texts: Vec<_> = run.out.lines().map(|line| line.rsplit(' ').next().expect("text")).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    assert_eq!(
        mock.lines(),
        ["GET /apps/a/logs?tail=5", "GET /apps/a/logs?after=01-b", "GET /apps/a/logs?after=01-c"]
    );
    assert_eq!(mock.asked()[1].header("last-event-id"), "01-b");
}

#[test]
fn a_secret_reaches_the_server_without_being_an_argument() {
    let answer = reply(200, json!({ "variables": [], "pending": true, "deployment": null }));
    let mock = Mock::start(vec![("PATCH /apps/a/env", answer)]);
    let user = User::new();
    let env = [("WH_URL", mock.url.as_str()), ("WH_TOKEN", "wht_test"), ("WH_APP", "a")];
    let run = user.bare(&["env", "set", "KEY=-", "MODE=a=b", "--stage"], &env, "s3cret\n").succeeded();
    assert!(!format!("{run:?}").contains("s3cret"));
    assert_eq!(
        mock.one("PATCH /apps/a/env").json(),
        json!({ "set": { "KEY": "s3cret", "MODE": "a=b" }, "unset": [], "deploy": false })
    );
    user.bare(&["env", "unset", "KEY"], &env, "").succeeded();
    assert_eq!(mock.asked()[1].json(), json!({ "set": {}, "unset": ["KEY"], "deploy": true }));
    user.bare(&["env", "set", "--build", "KEY=-"], &env, "s3cret\n").succeeded();
    assert_eq!(mock.asked()[2].json()["build_time"], json!({ "KEY": true }));
    let args = ["env", "set", "--required", "--locked", "--comment", "of the bank", "KEY", "B=1"];
    user.bare(&args, &env, "").succeeded();
    assert_eq!(
        mock.asked()[3].json(),
        json!({ "set": { "B": "1" }, "unset": [], "deploy": true, "required": { "B": true, "KEY": true },
                "locked": { "B": true, "KEY": true }, "comments": { "B": "of the bank", "KEY": "of the bank" } })
    );
    user.bare(&["env", "set", "--no-required", "KEY"], &env, "").succeeded();
    assert_eq!(
        mock.asked()[4].json(),
        json!({ "set": {}, "unset": [], "deploy": false, "required": { "KEY": false } })
    );
    user.bare(&["env", "set", "novalue"], &env, "").failed(2);
}

#[test]
fn values_are_hidden_until_asked_for() {
    let variable = |value: Value| json!({ "variables": [{ "name": "KEY", "value": value, "updated_at": null }], "pending": true });
    let mock = Mock::start(vec![
        ("GET /apps/a/env", reply(200, variable(Value::Null))),
        ("GET /apps/a/env", reply(200, variable(json!("s3cret")))),
    ]);
    let run = User::new().wh(&mock, &["env", "--app", "a"]).succeeded();
    assert_eq!(run.out, "NAME  VALUE   FOR  CHANGED\nKEY   ••••••  app  –\n");
    assert!(run.err.contains("wait for the next deployment"));
    assert!(
        User::new().wh(&mock, &["env", "ls", "--reveal", "--app", "a"]).succeeded().out.contains("s3cret")
    );
    assert_eq!(mock.lines(), ["GET /apps/a/env", "GET /apps/a/env?reveal=true"]);
}

#[test]
fn what_is_said_about_variables_is_listed() {
    let variables = json!([
        { "name": "KEY", "value": null, "build_time": true, "required": true, "locked": true, "comment": "of\nthe bank" },
        { "name": "MODE", "value": "a", "comment": "" },
    ]);
    let mock = Mock::start(vec![("GET /apps/a/env", reply(200, json!({ "variables": variables })))]);
    let run = User::new().wh(&mock, &["env", "ls", "--reveal", "--app", "a"]).succeeded();
    let lines: Vec<Vec<&str>> = run.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "VALUE", "FOR", "CHANGED", "COMMENT"]);
    assert_eq!(lines[1].join(" "), "KEY locked app, build, required – of the bank");
    assert_eq!(lines[2].join(" "), "MODE a app – –");
}

#[test]
fn variables_go_in_and_out_as_a_file() {
    let answer = json!({ "variables": [], "pending": true, "deployment": null });
    let file = json!({ "text": "# why\nA='b c'\n", "version": "v1", "locked": ["KEY"] });
    let wrong = json!({ "code": "invalid", "message": "line 2: has no `=`", "field": "text" });
    let mock = Mock::start(vec![
        ("PATCH /apps/a/env/file", reply(200, answer.clone())),
        ("PATCH /apps/a/env/file", reply(200, answer)),
        ("PATCH /apps/a/env/file", reply(422, wrong)),
        ("GET /apps/a/env/file", reply(200, file)),
    ]);
    let user = User::with_files(&[(".env", "A=s3cret\n")]);
    let run = user.wh(&mock, &["env", "import", ".env", "--app", "a"]).succeeded();
    assert!(run.err.contains("imported .env") && !run.err.contains("s3cret"), "{run:#?}");
    assert_eq!(mock.asked()[0].json(), json!({ "text": "A=s3cret\n", "keep": true, "deploy": true }));
    let env = [("WH_URL", mock.url.as_str()), ("WH_TOKEN", "wht_test"), ("WH_APP", "a")];
    user.bare(&["env", "import", "-", "--replace", "--stage"], &env, "B=1\n").succeeded();
    assert_eq!(mock.asked()[1].json(), json!({ "text": "B=1\n", "keep": false, "deploy": false }));
    let run = user.wh(&mock, &["env", "import", ".env", "--app", "a"]).failed(1);
    assert!(run.err.contains("line 2"), "{run:#?}");
    user.wh(&mock, &["env", "import", "none.env", "--app", "a"]).failed(2);
    let run = user.wh(&mock, &["env", "export", "--app", "a"]).succeeded();
    assert_eq!(run.out, "# why\nA='b c'\n");
    assert!(run.err.contains("left out: KEY"), "{run:#?}");
}

#[test]
fn what_the_platform_sets_is_listed() {
    let predefined = json!([{ "name": "WISEHOSTING_APP", "about": "the app's name", "value": "a" },
                            { "name": "WISEHOSTING_NODE", "about": "its node", "value": null }]);
    let answer = json!({ "variables": [], "pending": false, "predefined": predefined });
    let mock = Mock::start(vec![("GET /apps/a/env", reply(200, answer))]);
    let run = User::new().wh(&mock, &["env", "ls", "--predefined", "--app", "a"]).succeeded();
    assert_eq!(
        run.out,
        "NAME              VALUE  WHAT\nWISEHOSTING_APP   a      the app's name\nWISEHOSTING_NODE  –      its node\n"
    );
}

#[test]
fn an_address_that_is_no_web_address_is_not_opened() {
    let mock = Mock::start(vec![
        ("GET /apps/a", reply(200, json!({ "slug": "a", "url": "https://a.example" }))),
        ("GET /apps/a", reply(200, json!({ "slug": "a", "url": "file:///etc/passwd" }))),
    ]);
    assert_eq!(
        User::new().wh(&mock, &["open", "--print", "--app", "a"]).succeeded().out,
        "https://a.example\n"
    );
    User::new().wh(&mock, &["open", "--app", "a"]).failed(1);
}

#[test]
fn nodes_join_by_token_and_busy_ones_stay() {
    let token = json!({ "id": "t", "token": "whj_x", "roles": ["worker"], "expires_at": "2026-01-01T00:00:00Z",
                        "command": "wisehosting-mesh join whj_x" });
    let busy = json!({ "code": "node_has_instances", "message": "w1 runs 2 instances" });
    let mock = Mock::start(vec![
        ("POST /node-tokens", reply(201, token)),
        ("DELETE /nodes/w1", reply(409, busy)),
        (
            "GET /node-tokens",
            reply(200, json!({ "items": [{ "id": ID, "roles": ["worker"] }], "next": null })),
        ),
        (&format!("DELETE /node-tokens/{ID}"), reply(204, Value::Null)),
    ]);
    let user = User::new();
    let args =
        ["node", "token", "create", "--role", "worker", "--role", "proxy", "--name", "w9", "--expires", "2h"];
    assert_eq!(user.wh(&mock, &args).succeeded().out, "wisehosting-mesh join whj_x\n");
    assert_eq!(
        mock.one("POST /node-tokens").json(),
        json!({ "roles": ["worker", "proxy"], "name": "w9", "expires_in_s": 7200 })
    );
    user.wh(&mock, &["node", "rm", "w1"]).failed(5);
    user.wh(&mock, &["node", "token", "revoke", "deadbeef"]).succeeded();
    mock.one(&format!("DELETE /node-tokens/{ID}"));
}

#[test]
fn nodes_say_what_they_run_and_how_old_that_is() {
    let days = |days: i64| (chrono::Utc::now() - chrono::TimeDelta::hours(24 * days + 1)).to_rfc3339();
    let os = json!({ "name": "NixOS 26.05 (Yarara)", "build": "26.05.20261115.0a1b2c3", "generation": 41,
                     "boot_generation": 42, "activated_at": days(3), "packages_at": days(6), "reboot_needed": true });
    let node = json!({ "name": "w1", "host": { "cpus": 2, "os": os } });
    let mock = Mock::start(vec![
        ("GET /nodes", reply(200, json!({ "items": [node, { "name": "old" }], "next": null }))),
        ("GET /nodes/w1", reply(200, node)),
    ]);
    let user = User::new();
    let list = user.wh(&mock, &["node", "ls"]).succeeded().out;
    assert!(
        list.contains("NixOS 26.05 · generation 41, 42 at the next boot · 6 days old · reboot needed\n"),
        "{list}"
    );
    let one = user.wh(&mock, &["node", "show", "w1"]).succeeded().out;
    for part in [
        "NixOS 26.05 (Yarara), build 26.05.20261115.0a1b2c3",
        "activated 3d ago",
        "(6 days old)",
        "needed: another",
    ] {
        assert!(one.contains(part), "{part} in {one}");
    }
}
