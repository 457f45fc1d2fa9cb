//! From what is off to what people see, and its end.

use daemon::reconcile::Reconciler;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::http::permission::MemberRole;
use crate::reconcile::notices::Notices;
use crate::testing::{Client, TestApp};

async fn certificate_ends_in(test: &TestApp, days: i32) {
    sqlx::query(
        "insert into certificates (host, state, not_before, not_after)
         values ('hello.route.example.com', 'issued', now() - interval '80 days', now() + $1 * interval '1 day' + interval '1 hour')
         on conflict (host) do update set not_after = excluded.not_after",
    )
    .bind(days)
    .execute(&test.app.db)
    .await
    .expect("certificate");
    Notices(test.app.clone()).pass().await.expect("pass");
}

async fn seen(by: &Client, query: &str) -> Vec<Value> {
    let page = by.get(&format!("/api/v1/notices{query}")).await.expect(200);
    page["items"].as_array().expect("items").clone()
}

/// `hello`, which is answered for.
async fn routed(test: &TestApp) -> Client {
    let owner = test.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    sqlx::query(
        "insert into deployments (id, app_id, number, kind, state, settings, variables, created_by)
         select gen_random_uuid(), id, 1, 'image', 'live', settings, '', 'ann' from apps",
    )
    .execute(&test.app.db)
    .await
    .expect("deployment");
    owner
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_end_of_a_certificate_is_told_once_at_each_threshold_until_there_is_a_new_one(pool: PgPool) {
    let test = TestApp::new(pool).await;
    let owner = routed(&test).await;
    certificate_ends_in(&test, 20).await;
    assert_eq!(seen(&owner, "").await, [json!(null); 0]);
    certificate_ends_in(&test, 10).await;
    let [first] = &seen(&owner, "").await[..] else { panic!("one") };
    assert_eq!((&first["kind"], &first["severity"]), (&json!("certificate-ends"), &json!("warning")));
    assert!(first["text"].as_str().expect("text").contains("14 days"), "{first}");
    certificate_ends_in(&test, 10).await;
    assert_eq!(seen(&owner, "").await, std::slice::from_ref(first), "told once");
    certificate_ends_in(&test, 2).await;
    let [worse] = &seen(&owner, "").await[..] else { panic!("one") };
    assert_eq!((&worse["id"], &worse["severity"]), (&first["id"], &json!("critical")));
    assert!(
        worse["told_at"].as_str() > first["told_at"].as_str() && worse["first_seen"] == first["first_seen"]
    );

    certificate_ends_in(&test, 89).await;
    assert_eq!(seen(&owner, "").await, [json!(null); 0]);
    let [over] = &seen(&owner, "?resolved=true").await[..] else { panic!("one") };
    assert!(over["resolved_at"].is_string(), "{over}");
    certificate_ends_in(&test, 5).await;
    assert_ne!(seen(&owner, "").await[0]["id"], first["id"], "another time is another notice");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn notices_of_an_organization_are_its_own_and_those_of_the_installation_everybodys(pool: PgPool) {
    let test = TestApp::new(pool).await;
    let owner = routed(&test).await;
    let stranger = test.member("other", MemberRole::Viewer).await;
    certificate_ends_in(&test, 5).await;
    assert_eq!((seen(&owner, "").await.len(), seen(&stranger, "").await.len()), (1, 0));
    sqlx::query(
        "with front as (insert into fronts (host, upstream) values ('wh.example.com', '10.50.0.1:8082'))
         insert into certificates (host, not_before, not_after)
         values ('wh.example.com', now() - interval '90 days', now() - interval '2 days')",
    )
    .execute(&test.app.db)
    .await
    .expect("front");
    Notices(test.app.clone()).pass().await.expect("pass");
    let theirs = seen(&stranger, "").await;
    assert_eq!(theirs[0]["subject"], "certificate:wh.example.com");
    assert_eq!(seen(&owner, "").await[0], theirs[0], "the worst first");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_imported_certificate_that_ends_is_told_to_its_organization(pool: PgPool) {
    let test = TestApp::new(pool).await;
    let owner = routed(&test).await;
    let made =
        rcgen::generate_simple_self_signed(["hello.route.example.com".to_owned()]).expect("certificate");
    let body = json!({ "chain_pem": made.cert.pem(), "key_pem": made.signing_key.serialize_pem() });
    owner.post("/api/v1/certificates/imports", body).await.expect(201);
    sqlx::query(
        "update imported_certificates set not_before = now() - interval '1 year', not_after = now() + interval '6 days'",
    )
    .execute(&test.app.db)
    .await
    .expect("old");
    Notices(test.app.clone()).pass().await.expect("pass");
    let [told] = &seen(&owner, "").await[..] else { panic!("one") };
    assert!(told["hint"].as_str().expect("hint").contains("wh cert import"), "{told}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn orders_that_fail_for_a_day_are_told_with_the_reason(pool: PgPool) {
    let test = TestApp::new(pool).await;
    let owner = routed(&test).await;
    sqlx::query(
        "insert into certificates (host, state, failures, error) values ('hello.route.example.com', 'failed', 9, 'Open port 80.')",
    )
    .execute(&test.app.db)
    .await
    .expect("certificate");
    for hours in [80, 30, 1] {
        sqlx::query(
            "insert into certificate_attempts (id, host, names, domain, directory, staging, kind, challenge, outcome, at)
             values (gen_random_uuid(), 'hello.route.example.com', '{}', 'example.com', 'https://ca.test/', false, 'first',
                     'http-01', case when $1 = 80 then 'issued' else 'failed' end, now() - $1 * interval '1 hour')",
        )
        .bind(hours)
        .execute(&test.app.db)
        .await
        .expect("attempt");
    }
    Notices(test.app.clone()).pass().await.expect("pass");
    let [told] = &seen(&owner, "").await[..] else { panic!("one") };
    assert_eq!((&told["kind"], &told["severity"]), (&json!("certificate-fails"), &json!("critical")));
    assert_eq!(told["hint"], "Open port 80.");
}
