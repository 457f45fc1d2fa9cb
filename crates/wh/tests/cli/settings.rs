//! Settings in the words of the project file, from the command line and from the file.

use serde_json::{Value, json};

use crate::User;
use crate::mock::{Mock, Reply, events, json as reply};

fn app(memory: u32, port: Value) -> Reply {
    let settings = json!({
        "port": port, "replicas": 1, "command": null, "containerfile": null,
        "deploy": { "strategy": "blue-green", "pre_command": null, "post_command": null },
        "probe": { "check": { "type": "tcp" }, "interval_s": 1, "timeout_s": 5, "start_within_s": 30, "failures": 3 },
        "resources": { "memory_mb": memory, "cpu_millis": 1000, "pids": 512 },
        "crash_guard": { "restarts": 5, "calm_s": 300 },
    });
    reply(200, json!({ "slug": "a", "settings": settings }))
}

fn pending(changes: Value) -> Reply {
    let applicable = changes != json!([]);
    reply(
        200,
        json!({ "release": 3, "deployment": null, "applicable": applicable, "changes": changes, "impact": "containers" }),
    )
}

fn memory() -> Value {
    json!([{ "field": "resources.memory_mb", "label": "memory", "kind": "changed", "before": "512 MiB",
             "after": "256 MiB", "impact": "containers" }])
}

fn deployment(state: &str) -> Value {
    json!({ "id": "d-1", "app": { "id": "a", "slug": "a" }, "number": 12, "kind": "settings", "state": state,
            "stages": [], "release": 4, "url": "https://a.example", "created_at": "2026-01-01T00:00:00Z" })
}

#[test]
fn settings_are_shown_in_the_words_of_the_file() {
    let mock = Mock::start(vec![("GET /apps/a", app(512, json!(8080)))]);
    let run = User::new().wh(&mock, &["settings", "a"]).succeeded();
    assert!(run.out.contains("run.port              8080\n"), "{run:#?}");
    assert!(run.out.contains("probe.type            tcp\n") && !run.out.contains("build."), "{run:#?}");
    let json = User::new().wh(&mock, &["settings", "--app", "a", "--json"]).succeeded().json();
    assert_eq!((&json["resources.memory_mb"], &json["run.port"]), (&json!(512), &json!(8080)));
}

#[test]
fn a_resize_waits_until_it_is_applied() {
    let end = format!("event: end\ndata: {}\n\n", deployment("live"));
    let mock = Mock::start(vec![
        ("GET /apps/a", app(512, Value::Null)),
        ("PATCH /apps/a", app(256, Value::Null)),
        ("GET /apps/a/pending", pending(memory())),
        ("POST /apps/a/apply", reply(202, deployment("queued"))),
        ("GET /deployments/d-1/events", events(&end)),
    ]);
    let user = User::new();
    let run = user.wh(&mock, &["resize", "a", "--memory", "256M"]).succeeded();
    assert!(run.out.is_empty() && run.err.contains("✓ resources.memory_mb 512 → 256\n"), "{run:#?}");
    assert!(run.err.contains("see `wh plan`, then `wh apply`"), "{run:#?}");
    assert_eq!(
        mock.one("PATCH /apps/a").json(),
        json!({ "resources": { "memory_mb": 256, "cpu_millis": 1000, "pids": 512 } })
    );
    let run = user.wh(&mock, &["resize", "a", "--cpu", "0.5", "--apply", "-m", "less"]).succeeded();
    assert_eq!(run.out, "https://a.example\n");
    assert_eq!(mock.one("POST /apps/a/apply").json(), json!({ "message": "less" }));
    user.wh(&mock, &["resize", "a"]).failed(2);
    user.wh(&mock, &["resize", "a", "--cpu", "half"]).failed(2);
}

#[test]
fn what_is_set_says_when_it_holds_and_what_is_unknown_is_named() {
    let build = json!([{ "field": "containerfile.target", "label": "build target", "kind": "added", "after": "run",
                         "impact": "build" }]);
    let waits = json!({ "release": 3, "applicable": false, "changes": build, "impact": "build" });
    let mock = Mock::start(vec![
        ("GET /apps/a", app(512, Value::Null)),
        ("PATCH /apps/a", app(512, Value::Null)),
        ("GET /apps/a/pending", pending(json!([]))),
        ("GET /apps/a/pending", reply(200, waits)),
        ("GET /apps/a/pending", pending(json!([]))),
    ]);
    let user = User::new();
    let set = |args: &[&str]| user.wh(&mock, &[&["settings", "set", "--app", "a"], args].concat());
    let run = set(&["deploy.strategy=rolling"]).succeeded();
    assert!(run.err.contains("holds from the next deployment on"), "{run:#?}");
    let run = set(&["build.target=run", "--apply"]).succeeded();
    assert!(run.err.contains("`wh deploy` builds it"), "{run:#?}");
    let sent = mock.asked().len();
    let run = set(&["run.replicas=1"]).succeeded();
    assert!(run.err.contains("nothing changes"), "{run:#?}");
    let run = set(&["resources.memory=64"]).failed(2);
    assert!(run.err.contains("did you mean `resources.memory_mb`?"), "{run:#?}");
    let changed = mock.lines()[sent..].iter().any(|line| line.starts_with("PATCH"));
    assert!(!changed, "{:?}", mock.lines());
}

const FILE: &str =
    "app = \"a\"\n[run]\nport = 3000\n[build]\ntarget = \"run\"\n[resources]\nmemory_mb = 256\n";

#[test]
fn a_plan_tells_what_the_file_says_and_the_app_has_not() {
    let mock = Mock::start(vec![
        ("GET /apps/a/pending", pending(json!([]))),
        ("GET /apps/a", app(512, json!(8080))),
        ("GET /apps/b/pending", pending(json!([]))),
    ]);
    let user = User::with_files(&[("wisehosting.toml", FILE)]);
    let run = user.wh(&mock, &["plan"]).succeeded();
    assert_eq!(
        run.out,
        "wisehosting.toml: run.port 8080 → 3000\nwisehosting.toml: resources.memory_mb 512 → 256\n\
         wisehosting.toml: build.target – → run  (`wh deploy` builds it)\n"
    );
    assert!(run.err.contains("`wh apply` takes over") && run.err.contains("`wh deploy` all"), "{run:#?}");
    let json = user.wh(&mock, &["plan", "--json"]).succeeded().json();
    assert_eq!(json["local"][0]["field"], "run.port");
    // The file is not about another app.
    assert!(user.wh(&mock, &["plan", "--app", "b"]).succeeded().err.contains("nothing waits"));
}

#[test]
fn applying_sends_what_the_file_says_and_names_what_needs_a_build() {
    let end = format!("event: end\ndata: {}\n\n", deployment("live"));
    let mock = Mock::start(vec![
        ("GET /apps/a/pending", pending(json!([]))),
        ("GET /apps/a/pending", pending(memory())),
        ("GET /apps/a", app(512, json!(3000))),
        ("PATCH /apps/a", app(256, json!(3000))),
        ("POST /apps/a/apply", reply(202, deployment("queued"))),
        ("GET /deployments/d-1/events", events(&end)),
    ]);
    let run = User::with_files(&[("wisehosting.toml", FILE)]).wh(&mock, &["apply"]).succeeded();
    assert!(
        run.err.contains("resources.memory_mb 512 → 256") && run.err.contains("waits for `wh deploy`"),
        "{run:#?}"
    );
    assert_eq!(
        mock.one("PATCH /apps/a").json(),
        json!({ "resources": { "memory_mb": 256, "cpu_millis": 1000, "pids": 512 } })
    );
    mock.one("POST /apps/a/apply");
}

#[test]
fn nothing_is_sent_while_a_deployment_is_under_way() {
    let busy =
        json!({ "release": 3, "deployment": 7, "applicable": false, "changes": [], "impact": "nothing" });
    let mock =
        Mock::start(vec![("GET /apps/a/pending", reply(200, busy)), ("GET /apps/a", app(512, json!(3000)))]);
    let run = User::with_files(&[("wisehosting.toml", FILE)]).wh(&mock, &["apply"]).failed(5);
    assert!(run.err.contains("deployment 7 is under way"), "{run:#?}");
    assert_eq!(mock.lines(), ["GET /apps/a/pending", "GET /apps/a"]);
}
