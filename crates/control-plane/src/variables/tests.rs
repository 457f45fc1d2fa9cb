use serde_json::json;
use sqlx::PgPool;

use crate::deployments::tests::{deploy, make_live, with_app};
use crate::http::permission::MemberRole;
use crate::testing::TestApp;

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn values_are_sealed_and_shown_only_when_asked_for(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    let body = json!({ "set": { "B": "hunter2", "A": "1" } });
    let answer = owner.patch("/api/v1/apps/hello/env", body).await.expect(200);
    assert_eq!(answer["variables"][0]["name"], "A");
    assert!(!answer.to_string().contains("hunter2"));
    let stored: Vec<u8> = sqlx::query_scalar("select value from app_variables where name = 'B'")
        .fetch_one(&app.app.db)
        .await
        .expect("row");
    assert!(!stored.windows(7).any(|bytes| bytes == b"hunter2"));
    let shown = owner.get("/api/v1/apps/hello/env?reveal=true").await.expect(200);
    assert_eq!(shown["variables"][1]["value"], "hunter2");
    let audit = owner.get("/api/v1/audit").await.expect(200);
    assert_eq!(audit["items"][0]["action"], "env.reveal");
    assert!(!audit.to_string().contains("hunter2"));

    let viewer = app.member("acme", MemberRole::Viewer).await;
    viewer.get("/api/v1/apps/hello/env").await.expect(200);
    viewer.get("/api/v1/apps/hello/env?reveal=true").await.expect(403);

    let answer = owner.patch("/api/v1/apps/hello/env", json!({ "unset": ["A"] })).await.expect(200);
    assert_eq!(answer["variables"].as_array().expect("variables").len(), 1);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn what_cannot_be_a_variable_changes_nothing(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    for (body, code, field) in [
        (json!({ "set": { "GOOD": "1", "1A": "x" } }), "name_invalid", "set.1A"),
        (json!({ "set": { "WISEHOSTING_APP": "x" } }), "name_invalid", "set.WISEHOSTING_APP"),
        (json!({ "unset": ["A-B"] }), "name_invalid", "unset.A-B"),
        (json!({ "set": { "A": "x".repeat((32 << 10) + 1) } }), "invalid", "set.A"),
        (json!({ "set": { "A": "x\u{0}" } }), "invalid", "set.A"),
        (json!({ "set": { "A": "1" }, "unset": ["A"] }), "invalid", "unset.A"),
    ] {
        let answer = owner.patch("/api/v1/apps/hello/env", body).await.expect(422);
        assert_eq!((&answer["code"], &answer["field"]), (&json!(code), &json!(field)));
    }
    let env = owner.get("/api/v1/apps/hello/env").await.expect(200);
    assert_eq!(env["variables"], json!([]));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_variable_is_for_builds_only_once_it_is_flagged(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    let path = "/api/v1/apps/hello/env";
    let answer = owner.patch(path, json!({ "set": { "A": "1" } })).await.expect(200);
    assert_eq!(answer["variables"][0]["build_time"], false);
    owner.patch(path, json!({ "build_time": { "A": true } })).await.expect(200);
    // A new value keeps the flag.
    let answer = owner.patch(path, json!({ "set": { "A": "2" } })).await.expect(200);
    assert_eq!(answer["variables"][0]["build_time"], true);
    let answer = owner.patch(path, json!({ "build_time": { "A": false } })).await.expect(200);
    assert_eq!(answer["variables"][0]["build_time"], false);
    let refused = owner.patch(path, json!({ "build_time": { "B": true } })).await.expect(422);
    assert_eq!(refused["field"], "build_time.B");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn what_the_platform_sets_is_told_and_waits_for_nothing(pool: PgPool) {
    let (app, owner) = with_app(pool).await;
    let told = async || {
        let env = owner.get("/api/v1/apps/hello/env").await.expect(200);
        assert_eq!((&env["variables"], &env["pending"]), (&json!([]), &json!(false)));
        let all = env["predefined"].as_array().expect("predefined").clone();
        move |name: &str| all.iter().find(|one| one["name"] == name).expect("told")["value"].clone()
    };
    let before = told().await;
    assert_eq!(
        (before("WISEHOSTING_URL"), before("WISEHOSTING_RELEASE")),
        (json!("http://hello.route.example.com"), json!(null))
    );
    make_live(&app, &deploy(&owner).await).await;
    let live = told().await;
    assert_eq!((live("WISEHOSTING_RELEASE"), live("WISEHOSTING_COMMIT")), (json!("1"), json!("abc")));
    assert_eq!((live("PORT"), live("WISEHOSTING_NODE")), (json!("8080"), json!(null)));
}

const PATH: &str = "/api/v1/apps/hello/env";

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn nothing_is_deployed_without_a_required_value(pool: PgPool) {
    let (app, owner) = with_app(pool).await;
    make_live(&app, &deploy(&owner).await).await;
    let body = json!({ "set": { "A": "", "B": "1" }, "required": { "A": true, "B": true } });
    owner.patch(PATH, body).await.expect(200);
    let source = json!({ "source": { "type": "image", "reference": "docker.io/library/busybox" } });
    for (path, body) in [("deployments", source), ("apply", json!({}))] {
        let refused = owner.post(&format!("/api/v1/apps/hello/{path}"), body).await.expect(409);
        assert_eq!(
            (&refused["code"], &refused["field"]),
            (&json!("variables_missing"), &json!("variables.A"))
        );
    }
    let refused = owner.patch(PATH, json!({ "set": { "C": "1" }, "deploy": true })).await.expect(409);
    assert_eq!(refused["code"], "variables_missing");

    let refused = owner.patch(PATH, json!({ "unset": ["B"] })).await.expect(422);
    assert_eq!((&refused["field"], refused["hint"].is_string()), (&json!("unset.B"), true));
    owner.patch(PATH, json!({ "unset": ["B"], "required": { "B": false } })).await.expect(200);
    let env = owner.patch(PATH, json!({ "set": { "A": "1" }, "deploy": true })).await.expect(200);
    assert_eq!(env["variables"].as_array().expect("variables").len(), 1, "what was refused set nothing");
    assert_eq!(env["deployment"]["kind"], "settings");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_locked_value_is_never_shown_again(pool: PgPool) {
    let (app, owner) = with_app(pool).await;
    owner
        .patch(PATH, json!({ "set": { "A": "hunter2", "B": "open" }, "locked": { "A": true } }))
        .await
        .expect(200);
    let reveal = format!("{PATH}?reveal=true");
    let shown = owner.get(&reveal).await.expect(200);
    assert_eq!(
        (&shown["variables"][0]["value"], &shown["variables"][0]["locked"]),
        (&json!(null), &json!(true))
    );
    assert_eq!(shown["variables"][1]["value"], "open");

    let refused = owner.patch(PATH, json!({ "locked": { "A": false } })).await.expect(422);
    assert_eq!(refused["field"], "locked.A");
    owner.patch(PATH, json!({ "set": { "A": "swordfish" } })).await.expect(200);
    let shown = owner.get(&reveal).await.expect(200);
    assert!(!shown.to_string().contains("swordfish"), "a new value is locked as well: {shown}");
    let mut conn = app.app.db.acquire().await.expect("connection");
    let id = sqlx::query_scalar("select id from apps").fetch_one(&mut *conn).await.expect("app");
    let open = super::store::open(&mut conn, &app.app.vault, id).await.expect("open");
    assert_eq!(open.values["A"], "swordfish", "the app has it");

    owner.patch(PATH, json!({ "unset": ["A"] })).await.expect(200);
    owner.patch(PATH, json!({ "set": { "A": "1" } })).await.expect(200);
    assert_eq!(owner.get(&reveal).await.expect(200)["variables"][1]["value"], "1");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn variables_keep_their_order_comments_and_lines(pool: PgPool) {
    let (app, owner) = with_app(pool).await;
    let names = |env: &serde_json::Value| {
        let all = env["variables"].as_array().expect("variables").clone();
        all.iter().map(|one| one["name"].as_str().expect("name").to_owned()).collect::<Vec<_>>()
    };
    let key = "-----BEGIN KEY-----\n  abc\n-----END KEY-----\n";
    owner
        .patch(PATH, json!({ "set": { "KEY": key }, "comments": { "KEY": "of the bank" } }))
        .await
        .expect(200);
    owner.patch(PATH, json!({ "set": { "A": "1" } })).await.expect(200);
    let env = owner.patch(PATH, json!({ "set": { "KEY": key, "A": "2" } })).await.expect(200);
    assert_eq!(names(&env), ["KEY", "A"]);
    let shown = owner.get(&format!("{PATH}?reveal=true")).await.expect(200);
    assert_eq!(
        (&shown["variables"][0]["value"], &shown["variables"][0]["comment"]),
        (&json!(key), &json!("of the bank"))
    );

    let viewer = app.member("acme", MemberRole::Viewer).await;
    assert_eq!(viewer.get(PATH).await.expect(200)["variables"][0]["comment"], json!(null));
    let stored: Vec<u8> = sqlx::query_scalar("select above from app_variables where name = 'KEY'")
        .fetch_one(&app.app.db)
        .await
        .expect("row");
    assert!(!stored.windows(4).any(|bytes| bytes == b"bank"));
    for (body, field) in [
        (json!({ "comments": { "NONE": "x" } }), "comments.NONE"),
        (json!({ "comments": { "A": "\u{1}" } }), "comments.A"),
        (json!({ "required": { "NONE": true } }), "required.NONE"),
    ] {
        assert_eq!(owner.patch(PATH, body).await.expect(422)["field"], field);
    }
}
