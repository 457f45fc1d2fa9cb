//! Renewal when the CA wants it, against a CA's directory on loopback.

use axum::routing::get;
use axum::{Json, Router};
use chrono::{DateTime, TimeDelta, Utc};
use daemon::reconcile::Reconciler;
use protocol::identity::AgentKind;
use protocol::job::{Issued, Outcome, Work};
use protocol::message::{FromAgent, JobDone};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::order_tests::{HOST, mesh_at, order};
use super::renewal::certificate_id;
use crate::hub::tests::{hello, nothing};
use crate::reconcile::renewals::Renewals;

/// A certificate that names its issuer, as those of CAs do.
fn signed() -> Issued {
    let mut params = CertificateParams::new(Vec::new()).expect("params");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = Issuer::new(params, KeyPair::generate().expect("key"));
    let mut params = CertificateParams::new([HOST.to_owned()]).expect("params");
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().expect("key");
    let certificate = params.signed_by(&key, &ca).expect("certificate");
    Issued { chain_pem: certificate.pem(), key_pem: key.serialize_pem(), account: Some("{}".to_owned()) }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_ca_says_when_and_the_order_says_what_it_replaces(pool: PgPool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let ca = format!("http://{}", listener.local_addr().expect("address"));
    let renewal_info = format!("{ca}/info");
    // Over already: the CA is about to revoke it.
    let window =
        json!({ "start": Utc::now() - TimeDelta::hours(2), "end": Utc::now() - TimeDelta::hours(1) });
    let router = Router::new()
        .route("/dir", get(async move || Json(json!({ "renewalInfo": renewal_info, "newNonce": "x" }))))
        .route(
            "/info/{id}",
            get(async move || ([("retry-after", "7200")], Json(json!({ "suggestedWindow": window })))),
        );
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await });

    let mesh = mesh_at(pool, &format!("{ca}/dir")).await;
    let joined = mesh.join("p1", &["proxy"]).await;
    let mut proxy = mesh.dial(&joined, AgentKind::Proxy, hello(Vec::new())).await;
    proxy.settle(&nothing()).await;
    let job = order(&mesh, &mut proxy).await;
    let issued = signed();
    let id = certificate_id(&issued.chain_pem).expect("an issuer");
    proxy.settle(&FromAgent::JobDone(JobDone { job_id: job.id, outcome: Outcome::Issued(issued) })).await;
    let db = mesh.test.app.db.clone();
    Renewals(mesh.test.app.clone()).pass().await.expect("pass");
    let (renew_at, ask_at): (DateTime<Utc>, DateTime<Utc>) =
        sqlx::query_as("select renew_at, ask_renewal_at from certificates")
            .fetch_one(&db)
            .await
            .expect("row");
    assert!(renew_at < Utc::now(), "{renew_at}");
    let wish = (ask_at - Utc::now()).num_minutes();
    assert!((118..=120).contains(&wish), "{wish}");

    let job = order(&mesh, &mut proxy).await;
    let Work::Certificate(order) = job.work else { panic!("a build") };
    assert_eq!(order.replaces.as_deref(), Some(id.as_str()));
    let (kind, replaces): (String, bool) =
        sqlx::query_as("select kind, replaces from certificate_attempts where outcome = 'running'")
            .fetch_one(&db)
            .await
            .expect("row");
    assert_eq!((kind.as_str(), replaces), ("renewal", true));
}
