//! From the import to the table that serves it, and back.

use std::sync::Arc;

use daemon::reconcile::Reconciler;
use protocol::spec::{Certificate, ProxySpec};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::http::permission::MemberRole;
use crate::reconcile::dispatch_specs::proxy_spec;
use crate::reconcile::imported_certificates::ImportedCertificates;
use crate::testing::{Client, TestApp};
use crate::vault::Purpose;

const HOST: &str = "hello.route.example.com";
const PATH: &str = "/api/v1/certificates/imports";

/// A certificate for these names, as people have it.
fn made(names: &[&str]) -> Value {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("certificate");
    json!({ "chain_pem": made.cert.pem(), "key_pem": made.signing_key.serialize_pem() })
}

async fn import(by: &Client, names: &[&str]) -> Value {
    by.post(PATH, made(names)).await.expect(201)
}

async fn owner_of(test: &TestApp, app: &str, organization: &str) -> Client {
    let owner = test.member(organization, MemberRole::Owner).await;
    owner.post("/api/v1/apps", json!({ "slug": app })).await.expect(201);
    owner
}

/// The app's first deployment is live.
async fn deploy(test: &TestApp, app: &str) {
    sqlx::query(
        "insert into deployments (id, app_id, number, kind, settings, variables, created_by, state)
         select gen_random_uuid(), id, 1, 'build', '{}', '', '', 'live' from apps where slug = $1",
    )
    .bind(app)
    .execute(&test.app.db)
    .await
    .expect("deployment");
}

async fn table(test: &TestApp) -> ProxySpec {
    let mut conn = test.app.db.acquire().await.expect("connection");
    proxy_spec(&test.app, &mut conn).await.expect("spec")
}

async fn served(test: &TestApp) -> Vec<Arc<Certificate>> {
    table(test).await.certificates
}

fn hosts(certificates: &[Arc<Certificate>]) -> Vec<Vec<&str>> {
    certificates.iter().map(|certificate| certificate.hosts.iter().map(String::as_str).collect()).collect()
}

/// An ordered certificate for `HOST`.
async fn ordered(test: &TestApp) {
    sqlx::query(
        "insert into certificates (host, state, chain_pem, key_pem, not_before, not_after)
         values ($1, 'issued', 'ORDERED', $2, now(), now() + interval '80 days')",
    )
    .bind(HOST)
    .bind(test.app.vault.seal(Purpose::CertificateKey, &format!("certificate:{HOST}"), b"KEY"))
    .execute(&test.app.db)
    .await
    .expect("certificate");
}

async fn source(test: &TestApp, host: &str) -> String {
    let source = sqlx::query_scalar("select source from certificates where host = $1").bind(host);
    source.fetch_one(&test.app.db).await.expect("row")
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_imported_certificate_is_served_in_place_of_the_ordered_one_until_it_is_removed(pool: PgPool) {
    let test = TestApp::new(pool).await;
    let owner = owner_of(&test, "hello", "acme").await;
    ordered(&test).await;
    let generation = async || {
        let mut conn = test.app.db.acquire().await.expect("connection");
        crate::generations::current(&mut conn, crate::generations::Consumer::Routes)
            .await
            .expect("generation")
    };
    let before = generation().await;
    let request = made(&[HOST]);
    let imported = owner.post(PATH, request.clone()).await.expect(201);
    assert!(generation().await > before, "the proxies are told");
    assert_eq!((&imported["hosts"], &imported["names"]), (&json!([HOST]), &json!([HOST])));
    assert!(imported["notes"][0].as_str().expect("note").contains("signed by itself"), "{imported}");
    let table = served(&test).await;
    assert_eq!(hosts(&table), [[HOST]]);
    assert_eq!(json!(table[0].key_pem.trim()), json!(request["key_pem"].as_str().expect("key").trim()));
    assert_eq!(source(&test, HOST).await, "imported", "nothing is ordered");
    let stored: String = sqlx::query_scalar("select imported_certificates::text from imported_certificates")
        .fetch_one(&test.app.db)
        .await
        .expect("row");
    assert!(!stored.contains("PRIVATE KEY"), "keys are sealed");
    let shown = owner.get(&format!("/api/v1/certificates/{HOST}")).await.expect(200);
    assert_eq!((&shown["source"], &shown["import_id"]), (&json!("imported"), &imported["id"]));
    let app = owner.get("/api/v1/apps/hello").await.expect(200);
    assert_eq!(
        (&app["certificate"]["state"], &app["certificate"]["issuer"]),
        (&json!("issued"), &imported["issuer"])
    );
    let chain = owner.get(&format!("/api/v1/certificates/{HOST}/chain")).await.expect(200);
    assert_ne!(chain, json!("ORDERED"));

    let path = format!("{PATH}/{}", imported["id"].as_str().expect("id"));
    owner.delete(&format!("{path}?confirm=hello")).await.expect(422);
    owner.delete(&format!("{path}?confirm={HOST}")).await.expect(204);
    assert_eq!(served(&test).await[0].chain_pem, "ORDERED");
    assert_eq!(source(&test, HOST).await, "acme");
    owner.delete(&format!("{path}?confirm={HOST}")).await.expect(404);
    let deeds: Vec<String> =
        sqlx::query_scalar("select action from audit_events where target = $1 order by id")
            .bind(format!("certificate:{HOST}"))
            .fetch_all(&test.app.db)
            .await
            .expect("events");
    assert_eq!(deeds, ["certificate.import", "certificate.remove"]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn names_of_others_are_refused_and_never_served(pool: PgPool) {
    let test = TestApp::new(pool).await;
    let owner = owner_of(&test, "hello", "acme").await;
    let wildcard = import(&owner, &["*.route.example.com"]).await;
    assert_eq!(wildcard["hosts"], json!([HOST]), "its own below the wildcard, not the wildcard");
    // Another organization comes after the import.
    let other = owner_of(&test, "theirs", "other").await;
    assert_eq!(hosts(&served(&test).await), [[HOST]]);
    for names in
        [&["theirs.route.example.com"][..], &[HOST, "theirs.route.example.com"], &["*.route.example.com"]]
    {
        let refused = owner.post(PATH, made(names)).await.expect(422);
        assert!(refused["message"].as_str().expect("message").contains("name of others"), "{refused}");
    }
    let refused = owner.post(PATH, made(&["unheard-of.example.com"])).await.expect(422);
    assert!(refused["hint"].as_str().expect("hint").contains("verify the domain"), "{refused}");
    assert_eq!(other.get(PATH).await.expect(200)["items"], json!([]));
    let path = format!("{PATH}/{}?confirm=*.route.example.com", wildcard["id"].as_str().expect("id"));
    other.delete(&path).await.expect(404);
    test.member("acme", MemberRole::Developer).await.post(PATH, made(&[HOST])).await.expect(403);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_newer_one_takes_the_place_of_the_older_for_its_names(pool: PgPool) {
    let test = TestApp::new(pool).await;
    let owner = owner_of(&test, "hello", "acme").await;
    owner.post("/api/v1/apps", json!({ "slug": "second" })).await.expect(201);
    import(&owner, &[HOST, "second.route.example.com"]).await;
    import(&owner, &[HOST]).await;
    assert_eq!(hosts(&served(&test).await), [[HOST], ["second.route.example.com"]]);
    let listed = owner.get(PATH).await.expect(200);
    assert_eq!(listed["items"].as_array().expect("items").len(), 2);
    import(&owner, &["second.route.example.com", HOST, "www.example.com"]).await;
    let listed = owner.get(PATH).await.expect(200);
    assert_eq!(listed["items"].as_array().expect("items").len(), 1, "both were superfluous: {listed}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn when_it_has_ended_the_proxies_order_one(pool: PgPool) {
    let test = TestApp::new(pool).await;
    let owner = owner_of(&test, "hello", "acme").await;
    ordered(&test).await;
    import(&owner, &[HOST]).await;
    sqlx::query("update imported_certificates set not_after = now()")
        .execute(&test.app.db)
        .await
        .expect("ended");
    assert_eq!(served(&test).await[0].chain_pem, "ORDERED");
    ImportedCertificates(test.app.clone()).pass().await.expect("pass");
    assert_eq!(source(&test, HOST).await, "acme");
    assert_eq!(owner.get(PATH).await.expect(200)["items"][0]["hosts"], json!([]));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_app_that_comes_below_an_imported_wildcard_is_served_with_it(pool: PgPool) {
    let test = TestApp::new(pool).await;
    let owner = owner_of(&test, "hello", "acme").await;
    import(&owner, &["*.route.example.com"]).await;
    owner.post("/api/v1/apps", json!({ "slug": "later" })).await.expect(201);
    ImportedCertificates(test.app.clone()).pass().await.expect("pass");
    assert_eq!(source(&test, "later.route.example.com").await, "imported");
    assert_eq!(hosts(&served(&test).await), [[HOST, "later.route.example.com"]]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn one_that_fits_names_of_a_resolver_shuts_nobody_out(pool: PgPool) {
    let test = TestApp::new(pool).await;
    let owner = owner_of(&test, "hello", "acme").await;
    let wildcard = import(&owner, &["*.route.example.com"]).await;
    let resolver = json!({ "resolver": "le" });
    let zone = "/api/v1/zones/route.example.com";
    let refused = test.owner().await.patch(zone, resolver.clone()).await.expect(422);
    assert!(refused["message"].as_str().expect("message").contains("organization acme"), "{refused}");
    // As it may have been before that was refused.
    sqlx::query("update zones set resolver = 'le'").execute(&test.app.db).await.expect("zone");
    deploy(&test, "hello").await;
    assert_eq!(hosts(&served(&test).await), [[HOST]], "nobody else is there");
    let state = async || owner.get("/api/v1/apps/hello").await.expect(200)["certificate"]["state"].clone();
    assert_eq!(state().await, "issued");

    owner_of(&test, "theirs", "other").await;
    deploy(&test, "theirs").await;
    let spec = table(&test).await;
    assert_eq!((spec.refused, hosts(&spec.certificates)), (Vec::new(), Vec::new()));
    assert_eq!(spec.resolvers.len(), 2, "a Traefik orders for both");
    assert_eq!(state().await, "elsewhere");
    assert_eq!(owner.get(PATH).await.expect(200)["items"][0]["hosts"], json!([]));

    let id = wildcard["id"].as_str().expect("id");
    owner.delete(&format!("{PATH}/{id}?confirm=*.route.example.com")).await.expect(204);
    sqlx::query("delete from deployments").execute(&test.app.db).await.expect("nobody is served");
    for names in [&["*.route.example.com"][..], &[HOST, "later.route.example.com"]] {
        let refused = owner.post(PATH, made(names)).await.expect(422);
        assert!(refused["message"].as_str().expect("message").contains("name of others"), "{refused}");
    }
    import(&owner, &[HOST]).await;
    test.owner().await.patch(zone, json!({ "resolver": "none" })).await.expect(200);
    test.owner().await.patch(zone, resolver).await.expect(200);
}
