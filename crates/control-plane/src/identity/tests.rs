use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::testing::{Answer, Client, TestApp};
use crate::{admin, digest};

const PASSWORD: &str = "correct horse battery";

fn setup_body(code: &str) -> Value {
    json!({ "code": code, "email": "ada@example.com", "name": "Ada", "password": PASSWORD, "organization": "Acme" })
}

async fn set_up(pool: PgPool) -> (TestApp, Client) {
    let app = TestApp::new(pool).await;
    let code = admin::setup_code(&app.app.db).await.expect("code");
    let client = app.anonymous();
    client.post("/api/v1/setup", setup_body(&code)).await.expect(201);
    (app, client)
}

async fn with_cookie(client: &Client, method: &str, path: &str, cookie: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header("cookie", cookie);
    client.raw(request.body(Body::empty()).expect("request")).await
}

fn cookie_of(answer: &Answer) -> String {
    let set = answer.headers["set-cookie"].to_str().expect("text");
    for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(set.contains(attribute), "{attribute} in {set}");
    }
    set.split(';').next().expect("pair").to_owned()
}

fn login() -> Value {
    json!({ "email": "ADA@example.com", "password": PASSWORD })
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn whoever_has_the_code_becomes_the_owner_and_is_signed_in(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let client = app.anonymous();
    assert_eq!(client.get("/api/v1/setup").await.expect(200), json!({ "needed": true }));
    let code = admin::setup_code(&app.app.db).await.expect("code");
    let answer = client.post("/api/v1/setup", setup_body(&code)).await;
    let cookie = cookie_of(&answer);
    let session = answer.expect(201);
    assert_eq!(session["organization"]["role"], "owner");
    assert_eq!(session["organization"]["slug"], "acme");
    assert_eq!(session["zone"], "route.example.com");
    let read = with_cookie(&client, "GET", "/api/v1/session", &cookie).await;
    assert_eq!(read.expect(200), session);
    let projects = with_cookie(&client, "GET", "/api/v1/projects", &cookie).await.expect(200);
    assert_eq!(projects["items"][0]["slug"], "default");
    assert_eq!(client.get("/api/v1/setup").await.expect(200), json!({ "needed": false }));
    assert_eq!(client.post("/api/v1/setup", setup_body(&code)).await.expect(409)["code"], "setup_closed");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn two_setups_that_race_make_one_owner(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let code = admin::setup_code(&app.app.db).await.expect("code");
    let (one, other) = (app.anonymous(), app.anonymous());
    let (one, other) = tokio::join!(
        one.post("/api/v1/setup", setup_body(&code)),
        other.post("/api/v1/setup", setup_body(&code))
    );
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    let users: i64 =
        sqlx::query_scalar("select count(*) from users").fetch_one(&app.app.db).await.expect("count");
    assert_eq!(users, 1);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn setup_names_the_field_that_is_wrong(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let client = app.anonymous();
    let wrong = client.post("/api/v1/setup", setup_body("0000")).await.expect(403);
    assert_eq!(wrong["code"], "setup_code_wrong");
    let code = admin::setup_code(&app.app.db).await.expect("code");
    for (field, value) in [("email", "ada"), ("name", " "), ("password", "too short"), ("organization", "")] {
        let mut body = setup_body(&code);
        body[field] = json!(value);
        let answer = client.post("/api/v1/setup", body).await.expect(422);
        assert_eq!(answer["field"], field, "{answer}");
    }
    client.post("/api/v1/setup", setup_body(&code)).await.expect(201);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn signing_in_gives_a_new_session_and_ends_the_browsers_old_one(pool: PgPool) {
    let (_app, client) = set_up(pool).await;
    let first = cookie_of(&client.post("/api/v1/session", login()).await);
    let request = Request::builder()
        .method("POST")
        .uri("/api/v1/session")
        .header("content-type", "application/json")
        .header("cookie", &first);
    let second = client.raw(request.body(Body::from(login().to_string())).expect("request")).await;
    let second = cookie_of(&second);
    assert_ne!(first, second);
    with_cookie(&client, "GET", "/api/v1/session", &first).await.expect(401);
    with_cookie(&client, "GET", "/api/v1/session", &second).await.expect(200);
    with_cookie(&client, "DELETE", "/api/v1/session", &second).await.expect(204);
    with_cookie(&client, "GET", "/api/v1/session", &second).await.expect(401);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_unknown_account_and_a_wrong_password_get_the_same_answer(pool: PgPool) {
    let (_app, client) = set_up(pool).await;
    let mut answers = Vec::new();
    for email in ["ada@example.com", "nobody@example.com"] {
        let body = json!({ "email": email, "password": "wrong password here" });
        let mut answer = client.post("/api/v1/session", body).await.expect(401);
        answer["request_id"] = Value::Null;
        answers.push(answer);
    }
    assert_eq!(answers[0]["code"], "credentials_wrong");
    assert_eq!(answers[0], answers[1]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn guessing_a_password_is_slowed_down(pool: PgPool) {
    let (_app, client) = set_up(pool).await;
    let body = json!({ "email": "ada@example.com", "password": "wrong password here" });
    let mut last = 0;
    for _ in 0..12 {
        last = client.post("/api/v1/session", body.clone()).await.status.as_u16();
    }
    assert_eq!(last, 429);
    let answer = client.post("/api/v1/session", login()).await.expect(429);
    assert_eq!(answer["code"], "too_many");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_cookie_does_not_work_from_another_site(pool: PgPool) {
    let (_app, client) = set_up(pool).await;
    let cookie = cookie_of(&client.post("/api/v1/session", login()).await);
    let request = Request::builder()
        .method("DELETE")
        .uri("/api/v1/session")
        .header("host", "cp.example.com")
        .header("origin", "https://evil.example.com")
        .header("cookie", &cookie);
    let answer = client.raw(request.body(Body::empty()).expect("request")).await;
    assert_eq!(answer.expect(403)["code"], "cross_site");
    with_cookie(&client, "GET", "/api/v1/session", &cookie).await.expect(200);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_token_is_made_by_password_shown_once_and_ended(pool: PgPool) {
    let (app, client) = set_up(pool).await;
    client.post("/api/v1/tokens", json!({ "name": "laptop" })).await.expect(401);
    let body =
        json!({ "name": "laptop", "email": "ada@example.com", "password": PASSWORD, "expires_in_days": 7 });
    let made = client.post("/api/v1/tokens", body).await.expect(201);
    let token = made["token"].as_str().expect("token").to_owned();
    assert!(token.starts_with("wht_"));
    let signed_in = app.with_token(&token);
    let list = signed_in.get("/api/v1/tokens").await.expect(200);
    assert_eq!(list["items"][0]["name"], "laptop");
    assert!(!list.to_string().contains(&token));
    let path = format!("/api/v1/tokens/{}", made["id"].as_str().expect("id"));
    signed_in.delete(&path).await.expect(204);
    signed_in.get("/api/v1/tokens").await.expect(401);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_expired_session_or_token_opens_nothing(pool: PgPool) {
    let (app, client) = set_up(pool).await;
    let cookie = cookie_of(&client.post("/api/v1/session", login()).await);
    sqlx::query("update sessions set expires_at = now()").execute(&app.app.db).await.expect("update");
    with_cookie(&client, "GET", "/api/v1/session", &cookie).await.expect(401);
    let token = digest::new_token("wht_");
    sqlx::query(
        "insert into api_tokens (id, user_id, name, token_digest, expires_at)
         select gen_random_uuid(), id, 'old', $1, now() from users",
    )
    .bind(digest::of_token(&token))
    .execute(&app.app.db)
    .await
    .expect("insert");
    app.with_token(&token).get("/api/v1/session").await.expect(401);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn one_users_tokens_are_nobody_elses(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let (ada, bob) = (app.owner().await, app.owner().await);
    let made = ada.post("/api/v1/tokens", json!({ "name": "laptop" })).await.expect(201);
    let path = format!("/api/v1/tokens/{}", made["id"].as_str().expect("id"));
    bob.delete(&path).await.expect(404);
    ada.delete(&path).await.expect(204);
}
