use axum::http::Method;
use protocol::ids::DomainId;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::db::MIGRATIONS;
use crate::generations::{self, Consumer};
use crate::testing::{Answer, Client, TestApp};

const ROUTES: &str = "/api/v1/apps/hello/routes";
const OF_DOMAIN: &str = "/api/v1/apps/hello/domains/www.example.com/routes";

async fn hello(pool: PgPool) -> (TestApp, Client) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    (app, owner)
}

async fn add_domain(app: &TestApp, hostname: &str, state: &str) {
    sqlx::query(
        "insert into domains (id, app_id, hostname, token, state, created_by)
         select $1, id, $2, '', $3, 'ada' from apps",
    )
    .bind(DomainId::new())
    .bind(hostname)
    .bind(state)
    .execute(&app.app.db)
    .await
    .expect("domain");
}

async fn put(client: &Client, path: &str, body: Value) -> Answer {
    client.send(Method::PUT, path, Some(body)).await
}

async fn generation(app: &TestApp) -> i64 {
    let mut conn = app.app.db.acquire().await.expect("connection");
    generations::current(&mut conn, Consumer::Routes).await.expect("generation")
}

async fn stored(app: &TestApp) -> Value {
    sqlx::query_scalar("select route_options from apps").fetch_one(&app.app.db).await.expect("options")
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn options_change_one_by_one_and_reach_the_proxies(pool: PgPool) {
    let (app, owner) = hello(pool).await;
    let view = owner.get(ROUTES).await.expect(200);
    assert_eq!(
        view,
        json!({ "own": {}, "effective": {}, "origins": {}, "hosts": ["hello.route.example.com"] })
    );
    let before = generation(&app).await;
    let set = json!({ "set": { "compress": true, "timeout_s": 5, "allow": ["10.1.2.3/8"] } });
    let view = owner.patch(ROUTES, set).await.expect(200);
    assert_eq!(view["own"], json!({ "compress": true, "timeout_s": 5, "allow": ["10.0.0.0/8"] }));
    assert_eq!(view["origins"]["compress"], "app");
    assert_eq!(generation(&app).await, before + 1);
    let view = owner.patch(ROUTES, json!({ "unset": ["timeout_s"], "set": { "allow": null } })).await;
    assert_eq!(view.expect(200)["own"], json!({ "compress": true }));
    // Nothing changes, so nothing is told.
    owner.patch(ROUTES, json!({ "set": { "compress": true } })).await.expect(200);
    assert_eq!(generation(&app).await, before + 2);
    put(&owner, ROUTES, json!({ "sticky": true })).await.expect(200);
    assert_eq!(stored(&app).await, json!({ "sticky": true }));
    let events = owner.get("/api/v1/audit").await.expect(200);
    assert_eq!(events["items"][0]["action"], "routes.update");
    assert_eq!(events["items"][0]["detail"]["after"], json!({ "sticky": true }));
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn what_cannot_hold_changes_nothing(pool: PgPool) {
    let (app, owner) = hello(pool).await;
    for (body, field) in [
        (json!({ "set": { "timeout_s": 0 } }), "timeout_s"),
        (json!({ "set": { "compres": true } }), "compres"),
        (json!({ "unset": ["compres"] }), "compres"),
        (json!({ "set": { "canonical_host": "other.test" } }), "canonical_host"),
        (json!({ "set": { "redirects": [{ "from": "/a", "to": "/a/*" }] } }), "redirects.0.to"),
        (json!({ "set": { "basic_auth": { "users": {} } } }), "basic_auth.users"),
    ] {
        let refused = owner.patch(ROUTES, body).await.expect(422);
        assert_eq!(refused["field"], field, "{refused}");
        assert!(refused["hint"].is_string() || field == "timeout_s", "{refused}");
    }
    assert_eq!(stored(&app).await, json!({}));
    owner.get("/api/v1/apps/none/routes").await.expect(404);
    owner.get(OF_DOMAIN).await.expect(404);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn passwords_are_kept_as_hashes_and_never_told(pool: PgPool) {
    let (app, owner) = hello(pool).await;
    let secret = "correct horse battery";
    let set = |users: Value| json!({ "set": { "basic_auth": { "users": users } } });
    let view = owner.patch(ROUTES, set(json!({ "ann": { "password": secret } }))).await.expect(200);
    assert_eq!(view["own"]["basic_auth"]["users"], json!({ "ann": null }));
    let hash = stored(&app).await["basic_auth"]["users"]["ann"].clone();
    assert!(bcrypt::verify(secret, hash.as_str().expect("text")).expect("a hash"));
    let both = set(json!({ "ann": null, "bob": { "password": "another password" } }));
    let view = owner.patch(ROUTES, both).await.expect(200);
    let users = stored(&app).await["basic_auth"]["users"].clone();
    assert_eq!((&users["ann"], users["bob"].is_string()), (&hash, true));
    let told = [view, owner.get(ROUTES).await.expect(200), owner.get("/api/v1/audit").await.expect(200)];
    for answer in told.map(|answer| answer.to_string()) {
        assert!(!answer.contains("$2b$") && !answer.contains("password\""), "{answer}");
    }
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_domain_takes_its_apps_options_and_changes_some(pool: PgPool) {
    let (app, owner) = hello(pool).await;
    add_domain(&app, "www.example.com", "verified").await;
    add_domain(&app, "pending.example.com", "pending").await;
    add_domain(&app, "*.example.com", "verified").await;
    let users = json!({ "ann": { "password": "correct horse" } });
    let set = json!({ "set": { "compress": true, "sticky": true, "basic_auth": { "users": users } } });
    owner.patch(ROUTES, set).await.expect(200);
    let set = json!({ "set": { "sticky": false, "basic_auth": null, "timeout_s": 9 } });
    let view = owner.patch(OF_DOMAIN, set).await.expect(200);
    assert_eq!(view["own"], json!({ "sticky": false, "basic_auth": null, "timeout_s": 9 }));
    assert_eq!(view["effective"], json!({ "compress": true, "sticky": false, "timeout_s": 9 }));
    assert_eq!(view["origins"], json!({ "compress": "app", "sticky": "domain", "timeout_s": "domain" }));
    assert_eq!(view["hosts"], json!(["hello.route.example.com", "www.example.com"]));
    let view = owner.patch(OF_DOMAIN, json!({ "unset": ["sticky", "basic_auth"] })).await.expect(200);
    assert_eq!(view["effective"]["sticky"], true);
    assert_eq!(view["effective"]["basic_auth"]["users"], json!({ "ann": null }));
    assert_eq!(put(&owner, OF_DOMAIN, json!({})).await.expect(200)["own"], json!({}));

    let to = |host: &str| json!({ "set": { "canonical_host": host } });
    owner.patch(ROUTES, to("pending.example.com")).await.expect(422);
    owner.patch(ROUTES, to("www.example.com")).await.expect(200);
    let circle = owner.patch(OF_DOMAIN, to("hello.route.example.com")).await.expect(422);
    sqlx::query("update domains set state = 'lapsed'").execute(&app.app.db).await.expect("lapsed");
    owner.patch(ROUTES, json!({ "set": { "maintenance": {} } })).await.expect(200);
    assert!(circle["message"].as_str().is_some_and(|message| message.contains("circle")), "{circle}");
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn everybody_who_sees_the_app_reads_what_was_done(pool: PgPool) {
    let (app, owner) = hello(pool).await;
    add_domain(&app, "www.example.com", "verified").await;
    owner.patch(ROUTES, json!({ "set": { "maintenance": {} } })).await.expect(200);
    owner.patch(ROUTES, json!({ "unset": ["maintenance"], "set": { "compress": true } })).await.expect(200);
    owner.patch(OF_DOMAIN, json!({ "set": { "sticky": true, "timeout_s": 3 } })).await.expect(200);
    let activity = owner.get("/api/v1/apps/hello/activity").await.expect(200);
    let said: Vec<&str> = activity["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|line| line["text"].as_str())
        .collect();
    let ends = [
        "changed the routing at www.example.com: sticky, timeout_s",
        "ended the maintenance; changed the routing: compress",
        "closed the app for maintenance",
    ];
    for (line, end) in said.iter().zip(ends) {
        assert!(line.ends_with(end), "{said:?}");
    }
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn an_app_of_the_same_project_may_be_asked_and_no_other(pool: PgPool) {
    let (app, owner) = hello(pool).await;
    for slug in ["door", "stranger"] {
        owner.post("/api/v1/apps", json!({ "slug": slug })).await.expect(201);
    }
    for statement in [
        "insert into projects (id, organization_id, slug, name)
         select gen_random_uuid(), organization_id, 'other', 'Other' from projects",
        "insert into environments (id, project_id, slug)
         select gen_random_uuid(), id, 'production' from projects where slug = 'other'",
        "update apps set environment_id = environments.id from environments
         join projects on projects.id = project_id where projects.slug = 'other' and apps.slug = 'stranger'",
    ] {
        sqlx::query(statement).execute(&app.app.db).await.expect(statement);
    }
    let asks = |url: &str| json!({ "set": { "forward_auth": { "url": url, "skip": ["/health"] } } });
    for (url, word) in [
        ("app:stranger/verify", "no app `stranger` in this app's project"),
        ("app:nobody/verify", "no app `nobody`"),
        ("http://10.50.0.1:8081/", "no public address"),
        ("https://hello.route.example.com/verify", "one of the app's own"),
    ] {
        let refused = owner.patch(ROUTES, asks(url)).await.expect(422);
        assert_eq!(refused["field"], "forward_auth.url", "{refused}");
        assert!(refused["message"].as_str().is_some_and(|message| message.contains(word)), "{refused}");
        assert!(refused["hint"].is_string(), "{refused}");
    }
    let kept: Value = sqlx::query_scalar("select route_options from apps where slug = 'hello'")
        .fetch_one(&app.app.db)
        .await
        .expect("options");
    assert_eq!(kept, json!({}));
    let view = owner.patch(ROUTES, asks("app:door/verify")).await.expect(200);
    assert_eq!(view["own"]["forward_auth"], json!({ "url": "app:door/verify", "skip": ["/health"] }));
    owner.patch(ROUTES, asks("https://hello.route.example.com/health")).await.expect(200);
    owner.patch(ROUTES, asks("app:door/verify")).await.expect(200);

    // An app that leaves the project, or another one that takes its name, is not asked any more.
    let mut conn = app.app.db.acquire().await.expect("connection");
    let hello: protocol::ids::AppId = sqlx::query_scalar("select id from apps where slug = 'hello'")
        .fetch_one(&mut *conn)
        .await
        .expect("id");
    let named = [(hello, "door".to_owned()), (hello, "stranger".to_owned())];
    let found = crate::routes::store::guards(&mut conn, &named).await.expect("guards");
    assert_eq!(found.keys().collect::<Vec<_>>(), [&named[0]]);
    let leave = "update apps set environment_id = (select environment_id from apps where slug = 'stranger')
                 where slug = 'door'";
    sqlx::query(leave).execute(&mut *conn).await.expect(leave);
    assert!(crate::routes::store::guards(&mut conn, &named).await.expect("guards").is_empty());
    // What is there already keeps nobody from changing something else.
    owner.patch(ROUTES, json!({ "set": { "compress": true } })).await.expect(200);
}
