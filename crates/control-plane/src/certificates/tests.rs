//! An order from the need for it to the table that serves it.

use daemon::reconcile::Reconciler;
use protocol::identity::AgentKind;
use protocol::job::{Failure, Issued, Outcome, Stage, Work};
use protocol::message::{Applied, FromAgent, FromControlPlane, JobDone};
use protocol::spec::{ProxySpec, Spec};
use serde_json::json;
use sqlx::PgPool;

use crate::config::Config;
use crate::hub::tests::{Link, Mesh, hello, nothing};
use crate::jobs;
use crate::reconcile::certificates::Certificates;
use crate::reconcile::dispatch_specs;

pub(crate) const HOST: &str = "hello.route.example.com";

pub(crate) async fn mesh(pool: PgPool) -> Mesh {
    mesh_at(pool, "https://ca.example.com/dir").await
}

/// One app that is served, and certificates from the CA at `directory`.
pub(crate) async fn mesh_at(pool: PgPool, directory: &str) -> Mesh {
    mesh_with(pool, directory, |_| {}).await
}

/// With something else in the configuration, too.
pub(crate) async fn mesh_with(pool: PgPool, directory: &str, change: impl FnOnce(&mut Config)) -> Mesh {
    let acme = crate::config::Acme::at(directory.parse().expect("url"));
    let mesh = Mesh::with(pool, |config| {
        config.acme = Some(acme);
        change(config);
    })
    .await;
    let worker = mesh.join("w1", &["worker"]).await;
    let (app, deployment, _) = mesh.queue_build("hello").await;
    let db = &mesh.test.app.db;
    let release = protocol::ids::ReleaseId::new();
    sqlx::query(
        "insert into releases (id, app_id, number, image_id, image_reference, settings, variables)
         values ($1, $2, 1, 'sha256:aa', 'hello:1', '{}', '')",
    )
    .bind(release)
    .bind(app)
    .execute(db)
    .await
    .expect("release");
    sqlx::query(
        "insert into instances (id, app_id, release_id, deployment_id, node_id, host_port, in_rotation, state)
         values ($1, $2, $3, $4, $5, 20000, true, 'healthy')",
    )
    .bind(protocol::ids::InstanceId::new())
    .bind(app)
    .bind(release)
    .bind(deployment)
    .bind(worker.identity.node_id)
    .execute(db)
    .await
    .expect("instance");
    mesh
}

/// The proxy gets an order.
pub(crate) async fn order(mesh: &Mesh, proxy: &mut Link) -> protocol::job::Job {
    Certificates(mesh.test.app.clone()).pass().await.expect("orders");
    jobs::dispatch::claim_all(&mesh.test.app).await.expect("claim");
    jobs::dispatch::to_connected(&mesh.test.app).await.expect("dispatch");
    proxy.job().await
}

pub(crate) async fn table(mesh: &Mesh, proxy: &mut Link) -> (i64, ProxySpec) {
    dispatch_specs::all(&mesh.test.app).await.expect("specs");
    proxy
        .until(|message| match message {
            FromControlPlane::Spec(spec) => match spec.spec {
                Spec::Proxy(proxy) => Some((spec.generation, proxy)),
                _ => None,
            },
            _ => None,
        })
        .await
}

/// Returns once the control plane has taken the challenge: tables made before do not have it.
async fn stored_challenge(mesh: &Mesh) {
    let stored = async || {
        sqlx::query_scalar("select exists (select from acme_challenges)")
            .fetch_one(&mesh.test.app.db)
            .await
            .expect("challenges")
    };
    while !stored().await {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_routed_host_gets_a_certificate_whose_challenge_every_proxy_serves(pool: PgPool) {
    let mesh = mesh(pool).await;
    let joined = mesh.join("p1", &["proxy"]).await;
    let mut proxy = mesh.dial(&joined, AgentKind::Proxy, hello(Vec::new())).await;
    proxy.settle(&nothing()).await;
    let job = order(&mesh, &mut proxy).await;
    assert!(matches!(&job.work, Work::Certificate(order) if order.host == HOST && order.account.is_none()));

    let challenge = json!({ "token": "t1", "key_authorization": "t1.thumbprint" });
    let path = format!("/v1/jobs/{}/challenges", job.id);
    let asked = mesh.post_as(&joined, AgentKind::Proxy, &path, &challenge);
    let serves = async {
        stored_challenge(&mesh).await;
        let (generation, spec) = table(&mesh, &mut proxy).await;
        // The request is answered only after this proxy has said that it serves the challenge.
        proxy.say(&FromAgent::Applied(Applied { generation })).await;
        spec
    };
    let (answer, spec) = tokio::join!(asked, serves);
    assert_eq!(answer.status(), 204);
    assert_eq!((spec.challenges[0].host.as_str(), spec.challenges[0].token.as_str()), (HOST, "t1"));

    let key = rcgen::generate_simple_self_signed([HOST.to_owned()]).expect("certificate");
    let issued = Issued {
        chain_pem: key.cert.pem(),
        key_pem: key.signing_key.serialize_pem(),
        account: Some("{}".to_owned()),
    };
    let key_pem = issued.key_pem.clone();
    proxy.settle(&FromAgent::JobDone(JobDone { job_id: job.id, outcome: Outcome::Issued(issued) })).await;
    let (_, spec) = table(&mesh, &mut proxy).await;
    assert_eq!(spec.certificates[0].hosts, [HOST]);
    assert_eq!(spec.certificates[0].key_pem, key_pem);
    assert!(spec.challenges.is_empty(), "the order is over");
    assert!(spec.routes[0].https_only);
    let stored: String = sqlx::query_scalar("select certificates::text from certificates")
        .fetch_one(&mesh.test.app.db)
        .await
        .expect("row");
    assert!(!stored.contains("PRIVATE KEY"), "keys are sealed");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_failed_order_says_why_and_waits_before_the_next(pool: PgPool) {
    let mesh = mesh(pool).await;
    let joined = mesh.join("p1", &["proxy"]).await;
    let mut proxy = mesh.dial(&joined, AgentKind::Proxy, hello(Vec::new())).await;
    proxy.settle(&nothing()).await;
    let job = order(&mesh, &mut proxy).await;
    let failure = Failure {
        code: "acme".to_owned(),
        message: "The CA cannot reach port 80.".to_owned(),
        hint: Some("Open it.".to_owned()),
        stage: Stage::Route,
        exit_code: None,
        out_of_memory: false,
        last_lines: Vec::new(),
        probe: None,
    };
    proxy.settle(&FromAgent::JobDone(JobDone { job_id: job.id, outcome: Outcome::Failed(failure) })).await;
    Certificates(mesh.test.app.clone()).pass().await.expect("orders");
    let (state, error, jobs, wait): (String, String, i64, f64) = sqlx::query_as(
        "select state, error, (select count(*) from jobs where kind = 'certificate'),
                extract(epoch from retry_at - updated_at)::float8 from certificates",
    )
    .fetch_one(&mesh.test.app.db)
    .await
    .expect("row");
    assert_eq!((state.as_str(), error.as_str()), ("failed", "The CA cannot reach port 80. Open it."));
    assert_eq!(jobs, 1, "no new order before the pause is over");
    assert!((59.0..61.0).contains(&wait), "{wait}");
}
