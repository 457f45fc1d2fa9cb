//! Zones whose certificates a Traefik orders by itself.

use daemon::reconcile::Reconciler;
use protocol::identity::AgentKind;
use serde_json::json;
use sqlx::PgPool;

use super::order_tests::{HOST, mesh, table};
use crate::hub::tests::{Mesh, hello};
use crate::reconcile::certificates::Certificates;

const ZONE: &str = "/api/v1/zones/route.example.com";

/// Host names that are ordered for.
async fn orders(mesh: &Mesh) -> Vec<String> {
    Certificates(mesh.test.app.clone()).pass().await.expect("orders");
    let hosts =
        "select host from jobs where kind = 'certificate' and state in ('queued', 'running') order by host";
    sqlx::query_scalar(hosts).fetch_all(&mesh.test.app.db).await.expect("jobs")
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn nothing_is_ordered_or_served_for_names_of_a_resolver(pool: PgPool) {
    let mesh = mesh(pool).await;
    let owner = mesh.test.owner().await;
    for (body, field) in [
        (json!({ "resolver": "a b" }), "resolver"),
        (json!({ "mode": "direct", "resolver": "le" }), "resolver"),
    ] {
        assert_eq!(owner.patch(ZONE, body.clone()).await.expect(422)["field"], field, "{body}");
    }
    let zone = owner.patch(ZONE, json!({ "resolver": "le" })).await.expect(200);
    assert_eq!(zone["resolver"], "le");
    assert_eq!(owner.patch(ZONE, json!({ "default": true })).await.expect(200)["resolver"], "le", "it stays");
    // Ordered before, and over since then: Traefik would take it for good enough.
    sqlx::query(
        "insert into certificates (host, state, chain_pem, key_pem, not_before, not_after)
         values ($1, 'issued', 'CHAIN', 'KEY', now() - interval '90 days', now() - interval '1 day')",
    )
    .bind(HOST)
    .execute(&mesh.test.app.db)
    .await
    .expect("row");
    assert_eq!(orders(&mesh).await, [] as [&str; 0]);

    let joined = mesh.join("p1", &["proxy"]).await;
    let mut proxy = mesh.dial(&joined, AgentKind::Proxy, hello(Vec::new())).await;
    let (_, spec) = table(&mesh, &mut proxy).await;
    assert_eq!(spec.resolvers.get(HOST).map(String::as_str), Some("le"));
    assert!(spec.certificates.is_empty() && spec.routes[0].https_only, "{spec:?}");

    let shown = owner.get(&format!("/api/v1/certificates/{HOST}")).await.expect(200);
    assert_eq!((&shown["source"], &shown["standing"]), (&json!("resolver"), &json!("elsewhere")));
    assert_eq!((&shown["not_after"], &shown["names"]), (&json!(null), &json!([])));
    let refused = owner.post(&format!("/api/v1/certificates/{HOST}/reissue"), json!({})).await.expect(409);
    assert!(refused["message"].as_str().is_some_and(|words| words.contains("own resolver")), "{refused}");
    assert_eq!(owner.get("/api/v1/apps/hello").await.expect(200)["certificate"]["state"], "elsewhere");

    // Of an app that is not served yet nobody orders anything; what was ordered for the zone is not served either.
    owner.post("/api/v1/apps", json!({ "slug": "later" })).await.expect(201);
    owner.get("/api/v1/certificates/later.route.example.com").await.expect(404);
    sqlx::query(
        "insert into certificates (host, state, chain_pem, key_pem, not_before, not_after)
         values ('*.route.example.com', 'issued', 'CHAIN', 'KEY', now(), now() + interval '80 days')",
    )
    .execute(&mesh.test.app.db)
    .await
    .expect("row");
    assert_eq!(owner.get("/api/v1/apps/later").await.expect(200)["certificate"]["state"], "none");
    sqlx::query("delete from certificates where host like '*.%'")
        .execute(&mesh.test.app.db)
        .await
        .expect("row");

    let zone = owner.patch(ZONE, json!({ "resolver": "none" })).await.expect(200);
    assert_eq!(zone["resolver"], json!(null));
    sqlx::query("update certificates set retry_at = now()").execute(&mesh.test.app.db).await.expect("row");
    assert_eq!(orders(&mesh).await, [HOST]);
}
