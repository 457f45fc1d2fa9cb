use axum::body::Body;
use axum::http::Request;
use protocol::identity::AgentKind;
use protocol::ids::JobId;
use protocol::job::{Job, Preset, Recipe, Stage, Work};
use protocol::message::FromAgent;
use protocol::report::JobProgress;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::http::permission::MemberRole;
use crate::hub::tests::{Mesh, hello, nothing};
use crate::testing::{Client, TestApp};
use crate::vault::Purpose;

const GIT: &str = "https://git.example.com/hello.git";

pub(crate) async fn with_app(pool: PgPool) -> (TestApp, Client) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    (app, owner)
}

pub(crate) async fn deploy(client: &Client) -> Value {
    let body = json!({ "source": { "type": "git", "url": GIT, "ref": "main" }, "message": "first" });
    client.post("/api/v1/apps/hello/deployments", body).await.expect(202)
}

fn path_of(deployment: &Value) -> String {
    format!("/api/v1/deployments/{}", deployment["id"].as_str().expect("id"))
}

/// What the workers and the roll-out do: makes a release and lets it serve.
pub(crate) async fn make_live(app: &TestApp, deployment: &Value) {
    let mut tx = app.app.db.begin().await.expect("transaction");
    let id: uuid::Uuid = deployment["id"].as_str().expect("id").parse().expect("uuid");
    sqlx::query("update deployments set state = 'superseded' where state = 'live'")
        .execute(&mut *tx)
        .await
        .expect("supersede");
    let row: (
        uuid::Uuid,
        sqlx::types::Json<crate::apps::Settings>,
        Vec<u8>,
        Option<uuid::Uuid>,
        Vec<String>,
    ) = sqlx::query_as(
        "select app_id, settings, variables, release_id, coalesce(build_variables, '{}')
             from deployments where id = $1",
    )
    .bind(id)
    .fetch_one(&mut *tx)
    .await
    .expect("deployment");
    let release = if let Some(release) = row.3 {
        release
    } else {
        let (vault, app_id) = (&app.app.vault, protocol::ids::AppId(row.0));
        let all = crate::variables::open(vault, app_id, &row.2).expect("variables");
        let built_with = crate::variables::seal(vault, app_id, &crate::variables::only(&all, &row.4));
        let settings = crate::apps::Settings { port: Some(8080), ..row.1.0 };
        let new = crate::releases::store::NewRelease {
            app_id,
            image_id: "sha256:aa",
            image_reference: "localhost/wisehosting/hello:1",
            image_size_bytes: 7,
            image_node_id: None,
            source: None,
            commit_id: Some("abc"),
            settings: &settings,
            variables: &row.2,
            built_with: Some(&built_with),
        };
        crate::releases::store::create(&mut tx, new).await.expect("release").0.0
    };
    sqlx::query("update deployments set state = 'live', release_id = $2, finished_at = now() where id = $1")
        .bind(id)
        .bind(release)
        .execute(&mut *tx)
        .await
        .expect("live");
    tx.commit().await.expect("commit");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_deployment_queues_a_sealed_job_and_says_what_it_waits_for(pool: PgPool) {
    let (app, owner) = with_app(pool).await;
    let made = deploy(&owner).await;
    assert_eq!(
        (&made["number"], &made["kind"], &made["state"]),
        (&json!(1), &json!("build"), &json!("queued"))
    );
    assert_eq!(
        (&made["waiting_for"], &made["queue_position"]),
        (&json!("a worker to come online"), &json!(1))
    );
    assert_eq!(made["stages"].as_array().expect("stages").len(), 7);
    assert_eq!(
        (&made["stages"][0]["stage"], &made["stages"][0]["state"]),
        (&json!("queue"), &json!("running"))
    );
    assert_eq!(made["app"]["slug"], "hello");
    assert_eq!(owner.get(&path_of(&made)).await.expect(200), made);

    let (id, payload): (JobId, Vec<u8>) =
        sqlx::query_as("select id, payload from jobs").fetch_one(&app.app.db).await.expect("job");
    assert!(!payload.windows(5).any(|bytes| bytes == b"hello"), "sealed");
    let plain = app.app.vault.open(Purpose::JobPayload, &format!("job:{id}"), &payload).expect("opens");
    let Job { work: Work::Build(build), .. } =
        (Job { id, work: serde_json::from_slice(&plain).expect("work") })
    else {
        panic!("a build")
    };
    assert_eq!(build.tag, "localhost/wisehosting/hello:1");

    let second = deploy(&owner).await;
    assert_eq!((&second["number"], &second["waiting_for"]), (&json!(2), &json!("deployment 1 of this app")));
    assert_eq!(second["queue_position"], 2);
    assert_eq!(owner.get("/api/v1/apps/hello").await.expect(200)["status"], "deploying");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_source_that_no_tool_should_see_is_refused_by_field(pool: PgPool) {
    let (_app, owner) = with_app(pool).await;
    let archive = "0198c0de-0000-7000-8000-000000000000";
    for (source, field) in [
        (json!({ "type": "git", "url": "--upload-pack=x", "ref": "main" }), "source.url"),
        (json!({ "type": "git", "url": "file:///etc", "ref": "main" }), "source.url"),
        (json!({ "type": "git", "url": GIT, "ref": "-b" }), "source.ref"),
        (json!({ "type": "git", "url": GIT, "ref": "" }), "source.ref"),
        (json!({ "type": "image", "reference": "-v" }), "source.reference"),
        (json!({ "type": "archive", "archive_id": archive }), "source.archive_id"),
    ] {
        let answer =
            owner.post("/api/v1/apps/hello/deployments", json!({ "source": source })).await.expect(422);
        assert_eq!((&answer["code"], &answer["field"]), (&json!("source_invalid"), &json!(field)));
    }
    let body = json!({ "source": { "type": "image", "reference": "nginx" }, "settings": { "replicas": 0 } });
    let answer = owner.post("/api/v1/apps/hello/deployments", body).await.expect(422);
    assert_eq!(answer["field"], "settings.replicas");
    let list = owner.get("/api/v1/apps/hello/deployments").await.expect(200);
    assert_eq!(list["items"], json!([]), "nothing is left of a refused one");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_queued_deployment_is_cancelled_at_once_and_only_once(pool: PgPool) {
    let (app, owner) = with_app(pool).await;
    let made = deploy(&owner).await;
    let path = format!("{}/cancel", path_of(&made));
    let cancelled = owner.post(&path, json!({})).await.expect(202);
    assert_eq!(cancelled["state"], "cancelled");
    assert!(cancelled["finished_at"].is_string());
    let job: String = sqlx::query_scalar("select state from jobs").fetch_one(&app.app.db).await.expect("job");
    assert_eq!(job, "cancelled");
    assert_eq!(owner.post(&path, json!({})).await.expect(409)["code"], "not_running");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn cancelling_a_build_asks_its_worker(pool: PgPool) {
    let (app, owner) = with_app(pool).await;
    let made = deploy(&owner).await;
    for sql in ["update deployments set state = 'building'", "update jobs set state = 'running'"] {
        sqlx::query(sql).execute(&app.app.db).await.expect("update");
    }
    let answer = owner.post(&format!("{}/cancel", path_of(&made)), json!({})).await.expect(202);
    assert_eq!(answer["state"], "building");
    let asked: bool =
        sqlx::query_scalar("select cancel_requested from jobs").fetch_one(&app.app.db).await.expect("job");
    assert!(asked);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_rollback_runs_the_release_before_without_building(pool: PgPool) {
    let (app, owner) = with_app(pool).await;
    let nothing = owner.post("/api/v1/apps/hello/rollback", json!({})).await.expect(409);
    assert_eq!(nothing["code"], "nothing_to_roll_back");
    for _ in 0..2 {
        let made = deploy(&owner).await;
        make_live(&app, &made).await;
    }
    let unknown = owner.post("/api/v1/apps/hello/rollback", json!({ "release": 9 })).await.expect(404);
    assert_eq!(unknown["code"], "release_unknown");
    owner.post("/api/v1/apps/hello/rollback", json!({ "release": 2 })).await.expect(409);
    let made = owner.post("/api/v1/apps/hello/rollback", json!({})).await.expect(202);
    assert_eq!((&made["kind"], &made["release"]), (&json!("rollback"), &json!(1)));
    assert_eq!(made["stages"][2]["state"], "skipped");
    make_live(&app, &made).await;
    let releases = owner.get("/api/v1/apps/hello/releases").await.expect(200);
    assert_eq!(
        (&releases["items"][0]["number"], &releases["items"][0]["current"]),
        (&json!(2), &json!(false))
    );
    assert_eq!(
        (&releases["items"][1]["number"], &releases["items"][1]["current"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(releases["items"][1]["commit"], "abc");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn scaling_leaves_nothing_pending_and_a_rollback_keeps_the_number(pool: PgPool) {
    let (app, owner) = with_app(pool).await;
    for _ in 0..2 {
        make_live(&app, &deploy(&owner).await).await;
    }
    let scaled = owner.post("/api/v1/apps/hello/scale", json!({ "replicas": 3 })).await.expect(202);
    assert_eq!(
        (&scaled["deployment"]["kind"], &scaled["deployment"]["release"]),
        (&json!("scale"), &json!(2))
    );
    assert_eq!(owner.get("/api/v1/apps/hello/env").await.expect(200)["pending"], true, "not live yet");
    make_live(&app, &scaled["deployment"]).await;
    assert_eq!(owner.get("/api/v1/apps/hello/env").await.expect(200)["pending"], false);
    let back = owner.post("/api/v1/apps/hello/rollback", json!({ "release": 1 })).await.expect(202);
    make_live(&app, &back).await;
    let shown = owner.get("/api/v1/apps/hello").await.expect(200);
    assert_eq!((&shown["release"]["number"], &shown["instances"]["wanted"]), (&json!(1), &json!(3)));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn who_did_it_and_why_is_told_of_deployments_and_releases(pool: PgPool) {
    let (app, owner) = with_app(pool).await;
    for _ in 0..2 {
        make_live(&app, &deploy(&owner).await).await;
    }
    let why = json!({ "message": "2 is slow" });
    let back = owner.post("/api/v1/apps/hello/rollback", why).await.expect(202);
    assert_eq!(
        (&back["message"], &back["from_release"], &back["release"]),
        (&json!("2 is slow"), &json!(2), &json!(1))
    );
    assert_eq!((&back["commit"], &back["image_size_bytes"]), (&json!("abc"), &json!(7)));
    make_live(&app, &back).await;
    let ended = owner.get(&path_of(&back)).await.expect(200);
    assert!(ended["duration_ms"].as_i64().is_some_and(|took| (0..60_000).contains(&took)), "{ended}");

    let releases = owner.get("/api/v1/apps/hello/releases").await.expect(200);
    let [newer, older] = [&releases["items"][0], &releases["items"][1]];
    assert_eq!((&older["rolled_back_from"], &newer["rolled_back_from"]), (&json!(2), &json!(null)));
    let origin = &newer["origin"];
    assert_eq!(
        (&origin["number"], &origin["kind"], &origin["message"]),
        (&json!(2), &json!("build"), &json!("first"))
    );
    assert_eq!((&origin["from_release"], &origin["created_by"]), (&json!(1), &back["created_by"]));

    let scaled = owner.post("/api/v1/apps/hello/scale", json!({ "replicas": 2 })).await.expect(202);
    assert_eq!(scaled["deployment"]["message"], "replicas: 1 → 2");
    make_live(&app, &scaled["deployment"]).await;
    let set = json!({ "set": { "TOKEN": "hunter2" }, "deploy": true });
    let set = owner.patch("/api/v1/apps/hello/env", set).await.expect(200);
    assert_eq!(set["deployment"]["message"], "set TOKEN");
    make_live(&app, &set["deployment"]).await;
    let again = owner.post("/api/v1/apps/hello/rollback", json!({ "release": 2 })).await.expect(202);
    assert_eq!(again["message"], "back from release 3 to 2");
    let long = json!({ "message": "x".repeat(501) });
    let refused = owner.post("/api/v1/apps/hello/rollback", long).await.expect(422);
    assert_eq!(refused["field"], "message");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn new_variables_deploy_the_image_that_serves(pool: PgPool) {
    let (app, owner) = with_app(pool).await;
    let body = json!({ "set": { "A": "1" }, "deploy": true });
    let answer = owner.patch("/api/v1/apps/hello/env", body.clone()).await.expect(200);
    assert_eq!(answer["deployment"], json!(null), "nothing is deployed yet");
    make_live(&app, &deploy(&owner).await).await;
    assert_eq!(owner.get("/api/v1/apps/hello/env").await.expect(200)["pending"], false);
    let body = json!({ "set": { "A": "2" } });
    assert_eq!(owner.patch("/api/v1/apps/hello/env", body).await.expect(200)["pending"], true);
    let answer = owner.patch("/api/v1/apps/hello/env", json!({ "deploy": true })).await.expect(200);
    assert_eq!(
        (&answer["deployment"]["kind"], &answer["deployment"]["release"]),
        (&json!("settings"), &json!(2))
    );
    let busy = owner.patch("/api/v1/apps/hello/env", json!({ "deploy": true })).await.expect(409);
    assert_eq!(busy["code"], "deployment_running");
    make_live(&app, &answer["deployment"]).await;
    assert_eq!(owner.get("/api/v1/apps/hello/env").await.expect(200)["pending"], false);
    owner.patch("/api/v1/apps/hello", json!({ "replicas": 2 })).await.expect(200);
    assert_eq!(owner.get("/api/v1/apps/hello/env").await.expect(200)["pending"], true);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_finished_deployment_is_told_whole_and_its_log_resumes(pool: PgPool) {
    let (app, owner) = with_app(pool).await;
    let made = deploy(&owner).await;
    let id: uuid::Uuid = made["id"].as_str().expect("id").parse().expect("uuid");
    sqlx::query(
        "insert into deployment_log (deployment_id, seq, at, stream, text)
         select $1, n, now(), 'stdout', 'line ' || n from generate_series(1, 600) n",
    )
    .bind(id)
    .execute(&app.app.db)
    .await
    .expect("log");
    make_live(&app, &made).await;
    let log = owner.get(&format!("{}/log?after=598", path_of(&made))).await.expect(200);
    assert_eq!((log["lines"].as_array().expect("lines").len(), &log["next"]), (2, &json!(600)));
    let events = owner.get(&format!("{}/events?after=10", path_of(&made))).await.expect(200);
    let text = events.as_str().expect("events");
    assert!(text.starts_with("event: deployment\n"), "{}", &text[..80]);
    assert_eq!(text.matches("event: log\n").count(), 590);
    assert!(text.contains("id: 600\n") && !text.contains("id: 10\n"));
    assert_eq!(text.matches("event: end\n").count(), 1);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn another_organizations_deployment_does_not_exist(pool: PgPool) {
    let (app, owner) = with_app(pool).await;
    let path = path_of(&deploy(&owner).await);
    let other = app.member("other", MemberRole::Owner).await;
    for suffix in ["", "/log", "/events"] {
        other.get(&format!("{path}{suffix}")).await.expect(404);
    }
    other.post(&format!("{path}/cancel"), json!({})).await.expect(404);
    for path in ["deployments", "releases", "env", "logs"] {
        other.get(&format!("/api/v1/apps/hello/{path}")).await.expect(404);
    }
    other.post("/api/v1/apps/hello/rollback", json!({})).await.expect(404);
    other.patch("/api/v1/apps/hello/env", json!({})).await.expect(404);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_build_says_by_which_preset_before_it_ends(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("w1", &["worker"]).await;
    let mut link = mesh.dial(&joined, AgentKind::Worker, hello(Vec::new())).await;
    link.settle(&nothing()).await;
    let (_, deployment, job_id) = mesh.queue_build("hello").await;
    crate::jobs::dispatch::claim_all(&mesh.test.app).await.expect("claim");
    let recipe = Recipe {
        preset: Preset::Static,
        because: vec!["index.html".to_owned()],
        others: Vec::new(),
        port: 8080,
        containerfile: "FROM busybox\n".to_owned(),
        ignore: String::new(),
    };
    let step = |recipe| JobProgress { job_id, stage: Stage::Build, at: chrono::Utc::now(), recipe };
    let read = async || {
        let owner = mesh.test.owner().await;
        owner.get(&format!("/api/v1/deployments/{deployment}")).await.expect(200)
    };
    link.settle(&FromAgent::JobProgress(step(None))).await;
    assert_eq!(read().await["recipe"], Value::Null);
    link.settle(&FromAgent::JobProgress(step(Some(Box::new(recipe.clone()))))).await;
    let shown = read().await;
    assert_eq!(shown["recipe"], json!(recipe));
    assert_eq!(shown["state"], "building");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn another_value_for_builds_makes_every_step_anew(pool: PgPool) {
    let (app, owner) = with_app(pool).await;
    let work = async |made: &Value| {
        let number = made["number"].as_i64().expect("number");
        let (id, payload): (JobId, Vec<u8>) = sqlx::query_as(
            "select jobs.id, payload from jobs join deployments on deployments.id = deployment_id where number = $1",
        )
        .bind(number)
        .fetch_one(&app.app.db)
        .await
        .expect("job");
        let plain = app.app.vault.open(Purpose::JobPayload, &format!("job:{id}"), &payload).expect("opens");
        serde_json::from_slice::<Value>(&plain).expect("work")["no_cache"] == true
    };
    let token = |value: &str| json!({ "set": { "TOKEN": value }, "build_time": { "TOKEN": true } });
    owner.patch("/api/v1/apps/hello/env", token("1")).await.expect(200);
    for (value, anew) in [("1", false), ("1", false), ("2", true), ("2", false)] {
        owner.patch("/api/v1/apps/hello/env", token(value)).await.expect(200);
        let made = deploy(&owner).await;
        assert_eq!(work(&made).await, anew, "{value} as deployment {}", made["number"]);
        make_live(&app, &made).await;
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_build_without_cache_and_by_a_chosen_preset_is_told_to_the_worker(pool: PgPool) {
    let (app, owner) = with_app(pool).await;
    let source = json!({ "type": "git", "url": GIT, "ref": "main" });
    let settings = json!({ "containerfile": { "preset": "vite", "folder": "web" } });
    let body = json!({ "source": source, "settings": settings, "no_cache": true });
    owner.post("/api/v1/apps/hello/deployments", body).await.expect(202);
    let (id, payload): (JobId, Vec<u8>) =
        sqlx::query_as("select id, payload from jobs").fetch_one(&app.app.db).await.expect("job");
    let plain = app.app.vault.open(Purpose::JobPayload, &format!("job:{id}"), &payload).expect("opens");
    let work: Value = serde_json::from_slice(&plain).expect("work");
    assert_eq!((&work["no_cache"], &work["containerfile"]["preset"]), (&json!(true), &json!("vite")));
    let settings = json!({ "containerfile": { "preset": "cobol" } });
    owner
        .post("/api/v1/apps/hello/deployments", json!({ "source": source, "settings": settings }))
        .await
        .expect(422);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_request_that_comes_again_is_answered_with_the_deployment_it_made(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    owner.post("/api/v1/apps", json!({ "slug": "other" })).await.expect(201);
    let ask = async |slug: &str, key: &str, image: &str| {
        let body = json!({ "source": { "type": "image", "reference": image } });
        let request = Request::post(format!("/api/v1/apps/{slug}/deployments"))
            .header("authorization", format!("Bearer {}", owner.token.as_deref().expect("token")))
            .header("content-type", "application/json")
            .header("idempotency-key", key);
        owner.raw(request.body(Body::from(body.to_string())).expect("request")).await
    };
    let first = ask("hello", "key-of-one-request", "nginx").await.expect(202);
    assert_eq!(ask("hello", "key-of-one-request", "nginx").await.expect(202)["id"], first["id"]);
    let other = ask("hello", "key-of-one-request", "caddy").await.expect(422);
    assert_eq!(other["field"], "Idempotency-Key");
    assert_ne!(ask("hello", "key-of-another", "nginx").await.expect(202)["id"], first["id"]);
    assert_ne!(ask("other", "key-of-one-request", "nginx").await.expect(202)["id"], first["id"]);
    for bad in ["short", "with a space", &"k".repeat(129)] {
        assert_eq!(ask("hello", bad, "nginx").await.expect(422)["field"], "Idempotency-Key");
    }
}
