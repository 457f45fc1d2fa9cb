//! What people see of certificates, and what they may ask for.

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::http::permission::MemberRole;
use crate::testing::{Client, TestApp};

const HOST: &str = "hello.route.example.com";

async fn test_app(pool: PgPool) -> TestApp {
    let directory = "https://ca.example.com/dir".parse().expect("url");
    TestApp::with(pool, |config| {
        config.acme = Some(crate::config::Acme::at(directory));
    })
    .await
}

/// `hello` of the organization `acme`, with a certificate that ends in so many days.
async fn with_certificate(test: &TestApp, days: i32) -> Client {
    let owner = test.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    sqlx::query(
        "insert into certificates (host, state, chain_pem, key_pem, issuer, not_before, not_after, names, challenge)
         values ($1, 'issued', 'CHAIN', '', 'Test CA', now() - interval '30 days', now() + $2 * interval '1 day' + interval '1 hour',
                 array[$1, '*.wild.example.com'], 'http-01')",
    )
    .bind(HOST)
    .bind(days)
    .execute(&test.app.db)
    .await
    .expect("certificate");
    owner
}

async fn attempt(test: &TestApp, outcome: &str, minutes_ago: i32, problem: Option<&str>) {
    sqlx::query(
        "insert into certificate_attempts
             (id, host, names, domain, directory, staging, kind, challenge, outcome, code, problem, hint, node_name, at, finished_at)
         values (gen_random_uuid(), $1, array[$1], 'example.com', 'https://acme-v02.api.letsencrypt.org/directory', false,
                 'renewal', 'http-01', $2, 'acme_caa', $4, 'the hint', 'p1',
                 now() - $3 * interval '1 minute' - interval '3 seconds', now() - $3 * interval '1 minute')",
    )
    .bind(HOST)
    .bind(outcome)
    .bind(minutes_ago)
    .bind(problem)
    .execute(&test.app.db)
    .await
    .expect("attempt");
}

fn hosts(page: &Value) -> Vec<&str> {
    page["items"].as_array().expect("items").iter().map(|item| item["host"].as_str().expect("host")).collect()
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_certificates_of_an_organizations_hosts_are_listed_and_no_others(pool: PgPool) {
    let test = test_app(pool).await;
    let owner = with_certificate(&test, 60).await;
    sqlx::query(
        "insert into domains (id, app_id, hostname, token, state, created_by)
         select gen_random_uuid(), id, name, name, state, 'ann' from apps,
                (values ('shop.wild.example.com', 'verified'), ('claimed.wild.example.com', 'pending')) as d (name, state)",
    )
    .execute(&test.app.db)
    .await
    .expect("domains");
    let page = owner.get("/api/v1/certificates").await.expect(200);
    // One is covered by the wildcard of the other.
    assert_eq!(hosts(&page), [HOST, "shop.wild.example.com"]);
    for item in page["items"].as_array().expect("items") {
        assert_eq!((&item["standing"], &item["days_left"]), (&json!("issued"), &json!(60)), "{item}");
        assert_eq!(item["names"], json!([HOST, "*.wild.example.com"]));
        assert!(item["next"]["what"].as_str().expect("next").contains("two thirds"), "{item}");
    }
    let stranger = test.member("other", MemberRole::Owner).await;
    assert_eq!(hosts(&stranger.get("/api/v1/certificates").await.expect(200)), [""; 0]);
    let path = format!("/api/v1/certificates/{HOST}");
    stranger.get(&path).await.expect(404);
    stranger.get(&format!("{path}/chain")).await.expect(404);
    stranger.post(&format!("{path}/reissue"), json!({})).await.expect(404);
    let chain = owner.get(&format!("{path}/chain")).await;
    assert_eq!(chain.headers["content-type"], "application/pem-certificate-chain");
    assert_eq!(chain.expect(200), json!("CHAIN"));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_wildcard_takes_the_place_of_what_a_name_failed_to_get(pool: PgPool) {
    let test = test_app(pool).await;
    let owner = with_certificate(&test, 60).await;
    sqlx::query(
        "with failed as (update certificates set state = 'failed', chain_pem = null, failures = 3, error = 'x' returning host)
         insert into certificates (host, state, chain_pem, issuer, not_before, not_after, names)
         select '*.route.example.com', 'issued', 'WILD', 'Test CA', now(), now() + interval '20 days 1 hour',
                array['*.route.example.com'] from failed",
    )
    .execute(&test.app.db)
    .await
    .expect("wildcard");
    let path = format!("/api/v1/certificates/{HOST}");
    let shown = owner.get(&path).await.expect(200);
    assert_eq!((&shown["standing"], &shown["names"]), (&json!("issued"), &json!(["*.route.example.com"])));
    assert_eq!((&shown["days_left"], &shown["failures"]), (&json!(20), &json!(0)));
    assert_eq!(owner.get(&format!("{path}/chain")).await.expect(200), json!("WILD"));

    sqlx::query("update certificates set not_after = now() - interval '1 day' where host like '*%'")
        .execute(&test.app.db)
        .await
        .expect("ended");
    assert_eq!(owner.get(&path).await.expect(200)["failures"], 3);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_last_orders_are_shown_with_the_problem_the_remedy_and_the_proxy(pool: PgPool) {
    let test = test_app(pool).await;
    let owner = with_certificate(&test, 60).await;
    sqlx::query("update certificates set failures = 2, error = 'x', retry_at = now() + interval '1 hour'")
        .execute(&test.app.db)
        .await
        .expect("failing");
    attempt(&test, "issued", 5000, None).await;
    attempt(&test, "failed", 30, Some("A CAA record forbids it.")).await;
    let detail = owner.get(&format!("/api/v1/certificates/{HOST}")).await.expect(200);
    assert_eq!(detail["summary"], "Valid for 60 more days; the last 2 orders failed.");
    assert_eq!(detail["problem"]["message"], "A CAA record forbids it.");
    let hint = detail["problem"]["hint"].as_str().expect("hint");
    assert!(hint.contains("CAA 0 issue \"letsencrypt.org\""), "{hint}");
    let attempts = detail["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 2);
    assert_eq!((&attempts[0]["outcome"], &attempts[0]["proxy"]), (&json!("failed"), &json!("p1")));
    assert_eq!(attempts[1]["trouble"], Value::Null);
    assert_eq!(detail["reissue_at"], Value::Null);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_proxy_serves_what_is_stored_once_it_said_that_the_newest_table_is_in_force(pool: PgPool) {
    let test = test_app(pool).await;
    let owner = with_certificate(&test, 60).await;
    sqlx::query(
        "with made as (
             insert into nodes (id, name, roles, origin, mesh_address, public_key, status)
             values (gen_random_uuid(), 'p1', '{proxy}', 'declared', '10.50.0.3', 'k1', 'online'),
                    (gen_random_uuid(), 'p2', '{proxy}', 'declared', '10.50.0.4', 'k2', 'online') returning id, name
         )
         insert into agents (node_id, kind, connected_to, applied_generation)
         select id, 'proxy', gen_random_uuid(), case name when 'p1' then 9 else 8 end from made",
    )
    .execute(&test.app.db)
    .await
    .expect("proxies");
    sqlx::query(
        "insert into generations (consumer, generation) values ('routes', 9)
         on conflict (consumer) do update set generation = 9",
    )
    .execute(&test.app.db)
    .await
    .expect("generation");
    let detail = owner.get(&format!("/api/v1/certificates/{HOST}")).await.expect(200);
    assert_eq!(
        detail["proxies"],
        json!([{ "node": "p1", "connected": true, "generation": 9, "current": true },
               { "node": "p2", "connected": true, "generation": 8, "current": false }])
    );
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_new_one_is_ordered_on_demand_within_the_budget(pool: PgPool) {
    let test = test_app(pool).await;
    let owner = with_certificate(&test, 60).await;
    let path = format!("/api/v1/certificates/{HOST}/reissue");
    let asked = owner.post(&path, json!({})).await.expect(200);
    assert!(asked["next"]["what"].as_str().expect("next").contains("asked"), "{asked}");
    let on_its_way = owner.post(&path, json!({})).await.expect(409);
    assert_eq!(on_its_way["code"], "certificate_fixed");

    let done = async || {
        sqlx::query("update certificates set reissue = false").execute(&test.app.db).await.expect("done");
    };
    done().await;
    attempt(&test, "issued", 10, None).await;
    assert_eq!(owner.post(&path, json!({})).await.expect(409)["code"], "certificate_recent");
    owner.post(&path, json!({ "again": true })).await.expect(200);
    // Its order failed, and the next one is not due yet: nobody has to wait for that.
    sqlx::query("update certificates set failures = 1, retry_at = now() + interval '1 minute'")
        .execute(&test.app.db)
        .await
        .expect("failed");
    owner.post(&path, json!({ "again": true })).await.expect(200);
    done().await;
    for _ in 0..4 {
        attempt(&test, "failed", 20, Some("no")).await;
    }
    let refused = owner.post(&path, json!({ "again": true })).await.expect(409);
    assert_eq!(refused["code"], "certificate_budget");
    assert!(refused["hint"].as_str().expect("hint").starts_with("Try again from 20"), "{refused}");
    let events: Vec<String> =
        sqlx::query_scalar("select target from audit_events where action = 'certificate.reissue'")
            .fetch_all(&test.app.db)
            .await
            .expect("events");
    assert_eq!(events, vec![format!("certificate:{HOST}"); 3]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_dashboards_own_is_shown_to_all_and_renewed_by_admins(pool: PgPool) {
    let test = test_app(pool).await;
    sqlx::query("delete from fronts").execute(&test.app.db).await.expect("no front");
    sqlx::query(
        "with front as (insert into fronts (host, upstream) values ('wh.example.com', '10.50.0.1:8082'))
         insert into certificates (host) values ('wh.example.com')",
    )
    .execute(&test.app.db)
    .await
    .expect("front");
    let developer = test.member("acme", MemberRole::Developer).await;
    let admin = test.member("other", MemberRole::Admin).await;
    let page = developer.get("/api/v1/certificates").await.expect(200);
    assert_eq!((hosts(&page), &page["items"][0]["app"]), (vec!["wh.example.com"], &Value::Null));
    assert_eq!(page["items"][0]["summary"], "Ordered as soon as a proxy is free.");
    let path = "/api/v1/certificates/wh.example.com/reissue";
    developer.post(path, json!({})).await.expect(403);
    admin.post(path, json!({})).await.expect(200);
}
