//! `wh init`, `wh deploy` and what follows a deployment.

use std::io::Read as _;

use serde_json::{Value, json};

use crate::User;
use crate::mock::{Asked, Mock, Reply, breaks, events, json as reply};

const PROJECT: &str =
    "app = \"hello\"\n[run]\nport = 8080\n[build]\ntarget = \"run\"\n[env]\nrequired = [\"DATABASE_URL\"]\n";

fn deployment(state: &str, stages: Value, failure: Value) -> Value {
    json!({
        "id": "d-1", "app": { "id": "a", "slug": "hello" }, "number": 12, "kind": "build", "source": null,
        "state": state, "waiting_for": null, "stages": stages, "failure": failure,
        "release": (state == "live").then_some(7), "url": "https://hello.route.wise.test", "created_by": "ann",
        "created_at": "2026-01-01T00:00:00Z",
        "finished_at": (state != "queued").then_some("2026-01-01T00:00:27Z"),
    })
}

fn queued() -> Value {
    deployment("queued", json!([{ "stage": "queue", "state": "running" }]), Value::Null)
}

fn live() -> Value {
    let stage = |name: &str, end: u32| {
        json!({ "stage": name, "state": "done", "started_at": "2026-01-01T00:00:00Z",
                "finished_at": format!("2026-01-01T00:00:{end}Z") })
    };
    deployment("live", json!([stage("queue", 10), stage("build", 25)]), Value::Null)
}

fn log(seq: u32, text: &str) -> String {
    let line = json!({ "seq": seq, "at": "2026-01-01T00:00:01Z", "stream": "stdout", "text": text });
    format!("event: log\nid: {seq}\ndata: {line}\n\n")
}

fn app() -> Reply {
    reply(200, json!({ "id": "a", "slug": "hello", "project": { "id": "p", "slug": "default" } }))
}

fn end(deployment: &Value) -> Reply {
    events(&format!("event: deployment\ndata: {deployment}\n\nevent: end\ndata: {deployment}\n\n"))
}

/// An app, and a deployment that ends as told.
fn server(ended: &Value) -> Mock {
    Mock::start(vec![
        ("GET /apps/hello", app()),
        ("POST /apps/hello/archives", reply(201, json!({ "id": "arc-1", "sha256": "00", "size_bytes": 1 }))),
        ("POST /apps/hello/deployments", reply(202, queued())),
        ("GET /deployments/d-1/events", end(ended)),
    ])
}

fn entries(asked: &Asked) -> Vec<String> {
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(asked.body.as_slice()).read_to_end(&mut tar).expect("gzip");
    let mut archive = tar::Archive::new(tar.as_slice());
    let entries = archive.entries().expect("tar");
    entries.map(|entry| entry.expect("entry").path().expect("path").display().to_string()).collect()
}

#[test]
fn a_folder_is_packed_uploaded_deployed_and_watched() {
    let missing = reply(404, json!({ "code": "app_unknown", "message": "no app hello" }));
    let mock = Mock::start(vec![
        ("GET /apps/hello", missing),
        ("POST /apps", reply(201, json!({ "slug": "hello", "project": { "id": "p", "slug": "default" } }))),
        ("GET /apps/hello/env", reply(200, json!({ "variables": [{ "name": "DATABASE_URL" }] }))),
        ("POST /apps/hello/archives", reply(201, json!({ "id": "arc-1", "sha256": "00", "size_bytes": 1 }))),
        ("POST /apps/hello/deployments", reply(202, queued())),
        (
            "GET /deployments/d-1/events",
            events(&format!("{}event: end\ndata: {}\n\n", log(1, "STEP 1"), live())),
        ),
    ]);
    let user = User::with_files(&[
        ("wisehosting.toml", PROJECT),
        ("Containerfile", "FROM scratch"),
        (".gitignore", "target"),
        ("target/x", ""),
        ("src/a", "a"),
    ]);
    let run = user.wh(&mock, &["deploy", "-m", "first"]).succeeded();
    assert_eq!(run.out, "https://hello.route.wise.test\n");
    assert_eq!(
        run.err,
        "✓ created app hello in project default\n\
         hello deployment 12 · upload of 4 files, 108 B\n  │ STEP 1\n  ✓ queue   10 s\n  ✓ build   25 s\n\
         ✓ hello is live (release 7, 27 s)\n"
    );
    assert_eq!(mock.one("POST /apps").json(), json!({ "slug": "hello", "port": 8080 }));
    let archive = mock.one("POST /apps/hello/archives");
    assert_eq!(archive.header("content-type"), "application/gzip");
    assert_eq!(archive.header("authorization"), "Bearer wht_test");
    assert_eq!(entries(&archive), [".gitignore", "Containerfile", "src/a", "wisehosting.toml"]);
    assert_eq!(
        mock.one("POST /apps/hello/deployments").json(),
        json!({ "source": { "type": "archive", "archive_id": "arc-1" }, "message": "first",
                "settings": { "port": 8080, "containerfile": { "target": "run" } } })
    );
}

#[test]
fn nothing_is_uploaded_while_a_required_variable_is_absent() {
    let mock = Mock::start(vec![
        ("GET /apps/hello", app()),
        ("GET /apps/hello/env", reply(200, json!({ "variables": [{ "name": "OTHER" }] }))),
    ]);
    let user = User::with_files(&[("wisehosting.toml", PROJECT), ("Containerfile", "FROM scratch")]);
    let run = user.wh(&mock, &["deploy"]).failed(2);
    assert!(run.err.contains("requires DATABASE_URL"), "{run:#?}");
    assert!(run.err.contains("wh env set --app hello DATABASE_URL=-"), "{run:#?}");
    assert_eq!(mock.lines(), ["GET /apps/hello", "GET /apps/hello/env"]);
}

#[test]
fn a_lost_stream_goes_on_after_the_last_line() {
    let first =
        events(&format!("event: deployment\ndata: {}\n\n{}{}", queued(), log(1, "one"), log(2, "two")));
    let second = events(&format!(": still here\n\n{}event: end\ndata: {}\n\n", log(3, "three"), live()));
    let unavailable = reply(503, json!({ "code": "unavailable", "message": "restarting" }));
    let mock = Mock::start(vec![
        ("GET /apps/hello", app()),
        ("POST /apps/hello/deployments", reply(202, queued())),
        ("GET /deployments/d-1/events", first),
        ("GET /deployments/d-1/events", unavailable),
        ("GET /deployments/d-1/events", second),
    ]);
    let run = User::new().wh(&mock, &["deploy", "--app", "hello", "--image", "docker.io/x"]).succeeded();
    let lines: Vec<&str> = run.err.lines().filter(|line| line.contains('│')).collect();
    assert_eq!(lines, ["  │ one", "  │ two", "  │ three"]);
    let followed: Vec<_> = mock.asked().into_iter().filter(|asked| asked.line.contains("/events")).collect();
    assert_eq!(followed.len(), 3);
    assert_eq!((followed[0].header("last-event-id"), followed[2].header("last-event-id")), ("", "2"));
    assert_eq!(followed[2].line, "GET /deployments/d-1/events?after=2");
}

#[test]
fn a_deployment_whose_answer_is_lost_is_asked_for_again_under_the_same_key() {
    let mock = Mock::start(vec![
        ("GET /apps/hello", app()),
        ("POST /apps/hello/deployments", breaks()),
        ("POST /apps/hello/deployments", reply(202, queued())),
        ("GET /deployments/d-1/events", end(&live())),
    ]);
    User::new().wh(&mock, &["deploy", "--app", "hello", "--image", "x"]).succeeded();
    let asked = mock.asked();
    let keys: Vec<_> = asked.iter().filter(|asked| asked.line == "POST /apps/hello/deployments").collect();
    assert_eq!(keys.len(), 2, "{:?}", mock.lines());
    assert_eq!(keys[0].header("idempotency-key"), keys[1].header("idempotency-key"));
    assert!(keys[0].header("idempotency-key").len() >= 8);
}

#[test]
fn a_failed_deployment_shows_its_evidence_and_exits_with_6() {
    let failure = json!({
        "code": "never_healthy", "message": "the app never answered its probe", "hint": "does it listen on 8080?",
        "stage": "probe", "exit_code": 137, "out_of_memory": true, "last_lines": ["starting", "\u{1b}[2Jboom"],
        "probe": { "at": "2026-01-01T00:00:00Z", "target": "GET http://10.50.0.11:20001/up", "attempts": 24,
                   "outcome": "connection refused", "body": null },
    });
    let mock = server(&deployment("failed", json!([]), failure));
    let args = ["deploy", "--app", "hello", "--image", "x"];
    let run = User::new().wh(&mock, &args).failed(6);
    assert_eq!(run.out, "");
    assert_eq!(
        run.err,
        "hello deployment 12 · image x\n\
         error: deployment 12 of hello failed in stage probe: the app never answered its probe (never_healthy)\n  \
         exit code  137\n  memory     exhausted: the kernel ended it\n  \
         probe      GET http://10.50.0.11:20001/up → connection refused (24 attempts)\n  last lines\n  │ starting\n  │ boom\n\
         hint: does it listen on 8080?\n"
    );
    let run = User::new().wh(&mock, &[&args[..], &["--json"]].concat()).failed(6);
    assert_eq!(run.json()["state"], "failed");
    assert_eq!(run.error()["failure"]["probe"]["attempts"], 24);
    assert_eq!(run.error()["deployment"]["number"], 12);
}

#[test]
fn other_ends_are_told_apart() {
    for (state, code) in [("cancelled", 6), ("superseded", 5)] {
        let mock = server(&deployment(state, json!([]), Value::Null));
        let run = User::new().wh(&mock, &["deploy", "--app", "hello", "--image", "x"]).failed(code);
        assert!(run.err.contains(state), "{run:?}");
    }
}

#[test]
fn images_and_repositories_need_no_folder() {
    let user = User::with_files(&[("wisehosting.toml", "app = \"hello\"\n[build]\ntarget = \"run\"\n")]);
    let mock = server(&live());
    user.wh(&mock, &["deploy", "--image", "docker.io/library/nginx:1", "--detach"]).succeeded();
    assert_eq!(
        mock.one("POST /apps/hello/deployments").json(),
        json!({ "source": { "type": "image", "reference": "docker.io/library/nginx:1" } })
    );
    let mock = server(&live());
    user.wh(&mock, &["deploy", "--git", "https://git.example/x.git", "--ref", "v1", "--detach"]).succeeded();
    assert_eq!(
        mock.one("POST /apps/hello/deployments").json(),
        json!({ "source": { "type": "git", "url": "https://git.example/x.git", "ref": "v1" },
                "settings": { "containerfile": { "target": "run" } } })
    );
    assert!(!mock.lines().iter().any(|line| line.contains("events")), "detached");
}

#[test]
fn an_archive_that_is_too_large_is_taken_apart_for_the_user() {
    let too_large = reply(413, json!({ "code": "archive_too_large", "message": "more than 100 MiB" }));
    let mock = Mock::start(vec![("GET /apps/hello", app()), ("POST /apps/hello/archives", too_large)]);
    let user =
        User::with_files(&[("Containerfile", "FROM x"), ("data/big", &"x".repeat(4096)), ("small", "x")]);
    let run = user.wh(&mock, &["deploy", "--app", "hello"]).failed(1);
    assert!(run.err.contains("4.0 KiB  data/\n") && run.err.contains(".whignore"), "{run:?}");
    let run = user.wh(&mock, &["deploy", "--app", "hello", "--json"]).failed(1);
    assert_eq!(run.error()["largest"][0], json!({ "name": "data/", "size_bytes": 4096 }));
}

#[test]
fn what_cannot_be_deployed_is_refused_before_anything_is_sent() {
    let mock = server(&live());
    let user = User::with_files(&[("wisehosting.toml", "app = \"hello\"\n[run]\nports = 1\n")]);
    let run = user.wh(&mock, &["deploy"]).failed(2);
    assert!(run.err.contains("wisehosting.toml line 3: unknown key `ports`"), "{run:?}");
    assert!(run.err.contains("did you mean `port`?"), "{run:?}");
    assert_eq!(mock.lines(), Vec::<String>::new());
    let user = User::with_files(&[("notes.md", "x"), ("web/index.html", "x")]);
    let run = user.wh(&mock, &["deploy", "--app", "hello"]).failed(2);
    assert!(run.err.contains("no preset fits: it has web/, notes.md"), "{run:?}");
    assert!(run.err.contains("`web` (static files): name its folder with `folder` in [build]"), "{run:?}");
    assert_eq!(mock.lines(), ["GET /apps/hello"]);
}

#[test]
fn init_explains_what_it_found_and_never_overwrites() {
    let user = User::with_files(&[("package.json", r#"{"scripts":{"start":"node ."}}"#)]);
    let run = user.bare(&["init", "--app", "hello"], &[], "").succeeded();
    assert!(run.err.contains("package.json (script `start`)"), "{run:?}");
    assert!(run.err.contains("preset node, port 3000"), "{run:?}");
    assert!(user.file("wisehosting.toml").contains("app = \"hello\"\n\n[run]\nport = 3000\n"));
    let before = user.file("wisehosting.toml");
    user.bare(&["init", "--app", "other"], &[], "").failed(5);
    assert_eq!(user.file("wisehosting.toml"), before);
    user.bare(&["init", "--app", "other", "--force"], &[], "").succeeded();
    assert!(user.file("wisehosting.toml").contains("app = \"other\""));
    user.bare(&["init", "--app", "Not A Name", "--force"], &[], "").failed(2);
}

#[test]
fn a_preset_is_named_before_the_upload_and_can_be_ejected() {
    let mock = server(&live());
    let user = User::with_files(&[
        ("wisehosting.toml", "app = \"hello\"\n[build]\nfolder = \"web\"\n"),
        ("web/index.html", "<h1>"),
    ]);
    let run = user.wh(&mock, &["deploy", "--no-cache", "--detach"]).succeeded();
    assert!(run.err.starts_with("  preset static · index.html\n"), "{run:?}");
    assert_eq!(
        mock.one("POST /apps/hello/deployments").json(),
        json!({ "source": { "type": "archive", "archive_id": "arc-1" }, "no_cache": true,
                "settings": { "containerfile": { "folder": "web" } } })
    );
    let before = user.file("wisehosting.toml");
    let run = user.bare(&["init", "--eject", "--json"], &[], "").succeeded();
    assert_eq!(run.json()["wrote"], json!(["Containerfile", ".dockerignore"]));
    assert_eq!(user.file("wisehosting.toml"), before);
    assert!(user.file("web/Containerfile").contains("\nCOPY . /www\n"));
    assert!(user.file("web/.dockerignore").contains("**/.env\n"));
    user.bare(&["init", "--eject"], &[], "").failed(5);
}

#[test]
fn what_a_preset_wrote_can_be_read_later() {
    let mut built = live();
    built["recipe"] = json!({ "preset": "static", "because": ["index.html"], "others": [], "port": 8080,
                              "containerfile": "FROM busybox\n", "ignore": "" });
    let latest = json!({ "slug": "hello", "deployment": { "id": "d-1", "number": 12, "state": "live" } });
    let mock = Mock::start(vec![
        ("GET /apps/hello", reply(200, latest)),
        ("GET /deployments/d-1", reply(200, built)),
    ]);
    let user = User::new();
    let run = user.wh(&mock, &["deployments", "show", "--app", "hello"]).succeeded();
    assert!(run.out.contains("static · index.html"), "{run:?}");
    let run = user.wh(&mock, &["deployments", "show", "--containerfile", "--app", "hello"]).succeeded();
    assert_eq!(run.out.trim_end(), "FROM busybox");
}

#[test]
fn a_rollback_is_watched_and_a_running_deployment_can_be_cancelled() {
    let running =
        json!({ "slug": "hello", "deployment": { "id": "d-1", "number": 12, "state": "building" } });
    let mock = Mock::start(vec![
        ("POST /apps/hello/rollback", reply(202, queued())),
        ("GET /deployments/d-1/events", end(&live())),
        ("GET /apps/hello", reply(200, running)),
        ("GET /deployments/d-1", reply(200, queued())),
        ("POST /deployments/d-1/cancel", reply(202, queued())),
    ]);
    let user = User::new();
    user.wh(&mock, &["rollback", "5", "--app", "hello"]).succeeded();
    assert_eq!(mock.one("POST /apps/hello/rollback").json(), json!({ "release": 5 }));
    user.wh(&mock, &["cancel", "--app", "hello"]).succeeded();
    mock.one("POST /deployments/d-1/cancel");
}
