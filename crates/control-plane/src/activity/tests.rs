use chrono::Utc;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use super::sentence;
use super::store::Event;
use crate::apps::{Deploy, Settings, Strategy};
use crate::audit;
use crate::http::permission::MemberRole;
use crate::testing::{Client, TestApp};

fn event(actor: &str, name: Option<&str>, action: &str, detail: Value) -> Event {
    Event {
        id: Uuid::now_v7(),
        at: Utc::now(),
        actor: actor.to_owned(),
        name: name.map(str::to_owned),
        action: action.to_owned(),
        target: "app:hello".to_owned(),
        detail,
    }
}

fn of_anna(action: &str, detail: Value) -> String {
    sentence::of(&event("user:anna@example.com", Some("Anna"), action, detail))
}

#[test]
fn a_sentence_says_who_did_what() {
    let before = Settings::default();
    let after = Settings {
        port: Some(3000),
        deploy: Deploy { strategy: Strategy::Rolling, ..Deploy::default() },
        ..Settings::default()
    };
    let told = [
        of_anna("app.create", json!({ "project": "default" })),
        of_anna("app.update", json!({ "before": before, "after": after })),
        of_anna("app.update", json!({ "before": { "of": "another version" }, "after": {} })),
        of_anna("app.stop", json!({})),
        of_anna("app.start", json!({ "deployment": 6 })),
        of_anna("app.restart", json!({ "deployment": 7 })),
        of_anna("app.restart", json!({ "deployment": 7, "instance": "one", "node": "w1" })),
        of_anna("app.scale", json!({ "before": 1, "after": 3 })),
        of_anna("app.delete", json!({})),
        of_anna("app.undelete", json!({})),
        of_anna("env.update", json!({ "set": ["A"], "unset": [], "build_time": {} })),
        of_anna(
            "env.update",
            json!({ "set": ["A", "B"], "unset": ["C"], "build_time": { "A": true, "D": false } }),
        ),
        of_anna("env.reveal", json!({})),
        of_anna("git.access", json!({ "kind": "token", "host": "git.example.com" })),
        of_anna("git.forget", json!({ "host": "git.example.com" })),
        of_anna("exec.start", json!({ "node": "w1", "terminal": true })),
        of_anna("exec.start", json!({ "node": "w1", "terminal": false, "command": ["a", "secret"] })),
        of_anna("domain.of-a-later-version", json!({})),
    ];
    insta::assert_snapshot!(told.join("\n"), @r"
    Anna created the app
    Anna changed settings: port added: 3000; strategy: blue-green → rolling
    Anna changed settings
    Anna stopped the app
    Anna started the app with deployment 6
    Anna restarted the app with deployment 7
    Anna restarted an instance on w1 with deployment 7
    Anna scaled the app from 1 to 3 instances
    Anna deleted the app
    Anna brought the app back
    Anna set the variable A
    Anna set the variables A, B; removed the variable C; let builds mount the variable A; kept the variable D from builds
    Anna looked at the values of the variables
    Anna gave the app a token for git.example.com
    Anna took the app's access to git.example.com away
    Anna opened a terminal on w1
    Anna ran a program in an instance on w1
    Anna did domain.of-a-later-version
    ");
}

#[test]
fn a_deployment_says_what_it_is_to_bring_and_why() {
    let git = json!({ "type": "git", "url": "https://git.example.com/hello.git", "ref": "main" });
    let create = "deployment.create";
    let told = [
        of_anna(
            create,
            json!({ "number": 8, "kind": "build", "source": git, "message": "faster", "from": 6 }),
        ),
        of_anna(
            create,
            json!({ "number": 8, "kind": "build", "source": { "type": "archive" }, "message": "" }),
        ),
        of_anna(
            create,
            json!({ "number": 8, "kind": "image", "source": { "type": "image", "reference": "nginx" } }),
        ),
        of_anna(
            create,
            json!({ "number": 9, "kind": "settings", "release": 5, "message": "port: 80 → 3000" }),
        ),
        of_anna(create, json!({ "number": 9, "kind": "rollback", "release": 4, "from": 6 })),
        of_anna(create, json!({ "number": 9, "kind": "rollback", "release": 4, "from": null })),
        of_anna(create, json!({ "number": 9, "kind": "rollback" })),
        of_anna("deployment.cancel", json!({ "number": 9 })),
        of_anna("deployment.front", json!({ "number": 9 })),
    ];
    insta::assert_snapshot!(told.join("\n"), @r"
    Anna began deployment 8 of main of https://git.example.com/hello.git: faster
    Anna began deployment 8 of an upload
    Anna began deployment 8 of the image nginx
    Anna applied what was pending as release 5: port: 80 → 3000
    Anna rolled back to release 4 from release 6
    Anna rolled back to release 4
    Anna rolled back with deployment 9
    Anna cancelled deployment 9
    Anna moved deployment 9 to the front of the queue
    ");
}

#[test]
fn what_happens_by_itself_is_told_too() {
    let by = |actor: &str, action: &str, detail: Value| sentence::of(&event(actor, None, action, detail));
    let told = [
        by("system", "deployment.live", json!({ "number": 8, "release": 5 })),
        by("system", "deployment.fail", json!({ "number": 9, "message": "Nothing listens on port 3000." })),
        by(
            "node:w1",
            "app.crash-loop",
            json!({ "release": 4, "message": "The app ended 6 times in a row." }),
        ),
        by("node:w1", "secret.scrubbed", json!({ "variable": "TOKEN" })),
        by("node:w1", "git.trust-host", json!({ "host": "git.example.com", "fingerprint": "SHA256:abc" })),
        by("user:gone@example.com", "app.stop", json!({})),
    ];
    insta::assert_snapshot!(told.join("\n"), @r"
    Deployment 8 is live with release 5
    Deployment 9 failed: Nothing listens on port 3000.
    The crash guard stopped an instance of release 4 on w1: The app ended 6 times in a row.
    w1 took the value of the variable TOKEN out of the log
    w1 trusts git.example.com by its key SHA256:abc from now on
    gone@example.com stopped the app
    ");
}

async fn texts(by: &Client, query: &str) -> (Vec<String>, Value) {
    let page = by.get(&format!("/api/v1/apps/hello/activity{query}")).await.expect(200);
    let items = page["items"].as_array().expect("items").iter();
    (items.map(|event| event["text"].as_str().expect("text").to_owned()).collect(), page)
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_app_tells_what_happened_to_it_page_by_page_and_nothing_of_others(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    // Of an app that had the name before.
    sqlx::query(
        "insert into audit_events (id, organization_id, at, actor, action, target)
         select '01900000-0000-7000-8000-000000000001', id, now() - interval '9 days', 'system', 'app.remove',
                'app:hello' from organizations where slug = 'acme'",
    )
    .execute(&app.app.db)
    .await
    .expect("event");
    for slug in ["hello", "other"] {
        owner.post("/api/v1/apps", json!({ "slug": slug })).await.expect(201);
        let source = json!({ "type": "image", "reference": "nginx" });
        owner
            .post(&format!("/api/v1/apps/{slug}/deployments"), json!({ "source": source }))
            .await
            .expect(202);
    }
    owner.patch("/api/v1/apps/hello/env", json!({ "set": { "TOKEN": "hunter2" } })).await.expect(200);
    let all =
        ["Test set the variable TOKEN", "Test began deployment 1 of the image nginx", "Test created the app"];
    let (told, page) = texts(&owner, "").await;
    assert_eq!(told, all);
    assert!(page["items"][1]["deployment"].is_string() && page["items"][0]["deployment"].is_null(), "{page}");
    assert!(!page.to_string().contains("hunter2"));

    let (first, page) = texts(&owner, "?limit=2").await;
    let next = page["next"].as_str().expect("more");
    let (rest, page) = texts(&owner, &format!("?limit=2&cursor={next}")).await;
    assert_eq!((first.len(), [first, rest].concat()), (2, all.map(str::to_owned).to_vec()));
    assert!(page["next"].is_null());
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn who_may_see_the_app_sees_what_happened_and_nobody_else(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    let viewer = app.member("acme", MemberRole::Viewer).await;
    assert_eq!(texts(&viewer, "").await.0, ["Test created the app"]);
    let stranger = app.member("other", MemberRole::Owner).await;
    stranger.get("/api/v1/apps/hello/activity").await.expect(404);
    app.anonymous().get("/api/v1/apps/hello/activity").await.expect(401);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_deleted_app_that_came_back_tells_of_both(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    owner.delete("/api/v1/apps/hello?confirm=hello").await.expect(200);
    owner.get("/api/v1/apps/hello/activity").await.expect(404);
    owner.post("/api/v1/apps/hello/undelete", json!({})).await.expect(202);
    let told = texts(&owner, "").await.0;
    assert_eq!(told, ["Test brought the app back", "Test deleted the app", "Test created the app"]);
}

/// An event whose organization nobody knows is nobody's.
#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_event_of_the_whole_installation_is_of_no_app(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    let mut conn = app.app.db.acquire().await.expect("connection");
    audit::record_system(&mut conn, "system", "app.remove", "app:hello", json!({})).await.expect("recorded");
    assert_eq!(texts(&owner, "").await.0, ["Test created the app"]);
}
