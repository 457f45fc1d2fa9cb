use serde_json::{Value, json};
use sqlx::PgPool;

use crate::deployments::tests::{deploy, make_live, with_app};
use crate::http::permission::MemberRole;
use crate::testing::{Client, TestApp};

async fn with_release(pool: PgPool) -> (TestApp, Client) {
    let (app, owner) = with_app(pool).await;
    owner.patch("/api/v1/apps/hello/env", json!({ "set": { "TOKEN": "hunter2" } })).await.expect(200);
    make_live(&app, &deploy(&owner).await).await;
    (app, owner)
}

async fn pending(client: &Client) -> Value {
    client.get("/api/v1/apps/hello/pending").await.expect(200)
}

fn fields(difference: &Value) -> Vec<&str> {
    let changes = difference["changes"].as_array().expect("changes");
    changes.iter().map(|change| change["field"].as_str().expect("field")).collect()
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn nothing_waits_before_the_first_release_or_after_a_deployment(pool: PgPool) {
    let (app, owner) = with_app(pool).await;
    owner.patch("/api/v1/apps/hello", json!({ "replicas": 2 })).await.expect(200);
    let nothing = json!({ "release": null, "deployment": null, "applicable": false, "changes": [],
                          "impact": "nothing", "preview": null });
    assert_eq!(pending(&owner).await, nothing);
    let refused = owner.post("/api/v1/apps/hello/apply", json!({})).await.expect(409);
    assert_eq!(refused["code"], "nothing_deployed");

    make_live(&app, &deploy(&owner).await).await;
    let waits = pending(&owner).await;
    assert_eq!((&waits["release"], &waits["changes"]), (&json!(1), &json!([])));
    let refused = owner.post("/api/v1/apps/hello/apply", json!({})).await.expect(409);
    assert_eq!(refused["code"], "nothing_pending");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn what_waits_is_told_without_values_and_applied_without_a_build(pool: PgPool) {
    let (app, owner) = with_release(pool).await;
    let body = json!({ "set": { "TOKEN": "swordfish", "NEW": "tomato" } });
    owner.patch("/api/v1/apps/hello/env", body).await.expect(200);
    owner.patch("/api/v1/apps/hello", json!({ "resources": { "memory_mb": 1024 } })).await.expect(200);
    let waits = pending(&owner).await;
    assert_eq!(fields(&waits), ["resources.memory_mb", "variables.NEW", "variables.TOKEN"]);
    assert_eq!((&waits["impact"], &waits["applicable"]), (&json!("containers"), &json!(true)));
    assert_eq!(
        waits["changes"][0],
        json!({ "field": "resources.memory_mb", "label": "memory", "kind": "changed", "before": "512 MiB",
                "after": "1024 MiB", "impact": "containers" })
    );

    let made = owner.post("/api/v1/apps/hello/apply", json!({})).await.expect(202);
    assert_eq!((&made["kind"], &made["release"]), (&json!("settings"), &json!(2)));
    assert_eq!(made["message"], "memory: 512 MiB → 1024 MiB; variable NEW added; variable TOKEN changed");
    let jobs: i64 =
        sqlx::query_scalar("select count(*) from jobs").fetch_one(&app.app.db).await.expect("count");
    assert_eq!(jobs, 1, "only the first deployment has anything to build");

    let waits = pending(&owner).await;
    assert_eq!((&waits["deployment"], &waits["applicable"]), (&made["number"], &json!(false)));
    let busy = owner.post("/api/v1/apps/hello/apply", json!({})).await.expect(409);
    assert_eq!(busy["code"], "deployment_running");
    make_live(&app, &made).await;
    assert_eq!(pending(&owner).await["changes"], json!([]));

    let compared = owner.get("/api/v1/apps/hello/releases/1/diff/2").await.expect(200);
    assert_eq!((&compared["before"], &compared["after"]), (&json!(1), &json!(2)));
    assert_eq!(fields(&compared), ["resources.memory_mb", "variables.NEW", "variables.TOKEN"]);
    let back = owner.get("/api/v1/apps/hello/releases/2/diff/1").await.expect(200);
    assert_eq!(back["changes"][1]["kind"], "removed");
    let audit = owner.get("/api/v1/audit").await.expect(200);
    for told in [&waits, &made, &compared, &back, &audit] {
        for secret in ["hunter2", "swordfish", "tomato"] {
            assert!(!told.to_string().contains(secret), "{told}");
        }
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_build_setting_waits_for_the_next_build(pool: PgPool) {
    let (_app, owner) = with_release(pool).await;
    let target = json!({ "containerfile": { "target": "run" } });
    owner.patch("/api/v1/apps/hello", target).await.expect(200);
    let waits = pending(&owner).await;
    assert_eq!(fields(&waits), ["containerfile.target"]);
    assert_eq!((&waits["impact"], &waits["applicable"]), (&json!("build"), &json!(false)));
    let refused = owner.post("/api/v1/apps/hello/apply", json!({})).await.expect(409);
    assert_eq!((&refused["code"], refused["hint"].is_string()), (&json!("nothing_pending"), true));

    owner.patch("/api/v1/apps/hello", json!({ "replicas": 2 })).await.expect(200);
    let message = json!({ "message": "for the sale" });
    let made = owner.post("/api/v1/apps/hello/apply", message).await.expect(202);
    assert_eq!((&made["kind"], &made["message"]), (&json!("settings"), &json!("for the sale")));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_variable_for_builds_waits_for_the_next_build(pool: PgPool) {
    let (app, owner) = with_release(pool).await;
    let path = "/api/v1/apps/hello/env";
    owner.patch(path, json!({ "build_time": { "TOKEN": true } })).await.expect(200);
    let waits = pending(&owner).await;
    assert_eq!(fields(&waits), ["build_variables.TOKEN"]);
    assert_eq!((&waits["impact"], &waits["applicable"]), (&json!("build"), &json!(false)));

    owner.patch(path, json!({ "set": { "TOKEN": "swordfish" } })).await.expect(200);
    assert_eq!(fields(&pending(&owner).await), ["build_variables.TOKEN", "variables.TOKEN"]);
    make_live(&app, &owner.post("/api/v1/apps/hello/apply", json!({})).await.expect(202)).await;
    assert_eq!(fields(&pending(&owner).await), ["build_variables.TOKEN"], "the image is the same");
    make_live(&app, &deploy(&owner).await).await;
    assert_eq!(pending(&owner).await["changes"], json!([]));

    owner.patch(path, json!({ "set": { "TOKEN": "tomato" } })).await.expect(200);
    assert_eq!(pending(&owner).await["changes"][0]["kind"], "changed");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn after_a_rollback_the_newer_settings_wait(pool: PgPool) {
    let (app, owner) = with_release(pool).await;
    owner.patch("/api/v1/apps/hello", json!({ "resources": { "pids": 256 } })).await.expect(200);
    make_live(&app, &owner.post("/api/v1/apps/hello/apply", json!({})).await.expect(202)).await;
    make_live(&app, &owner.post("/api/v1/apps/hello/rollback", json!({})).await.expect(202)).await;
    let waits = pending(&owner).await;
    assert_eq!((&waits["release"], fields(&waits)), (&json!(1), vec!["resources.pids"]));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn who_may_not_deploy_may_look_and_others_see_nothing(pool: PgPool) {
    let (app, owner) = with_release(pool).await;
    owner.patch("/api/v1/apps/hello", json!({ "replicas": 3 })).await.expect(200);
    let viewer = app.member("acme", MemberRole::Viewer).await;
    assert_eq!(fields(&pending(&viewer).await), ["replicas"]);
    viewer.get("/api/v1/apps/hello/releases/1/diff/1").await.expect(200);
    viewer.post("/api/v1/apps/hello/apply", json!({})).await.expect(403);

    let unknown = owner.get("/api/v1/apps/hello/releases/1/diff/9").await.expect(404);
    assert_eq!(unknown["code"], "release_unknown");
    let other = app.member("other", MemberRole::Owner).await;
    for path in ["pending", "releases/1/diff/1"] {
        other.get(&format!("/api/v1/apps/hello/{path}")).await.expect(404);
    }
    other.post("/api/v1/apps/hello/apply", json!({})).await.expect(404);
}
