//! Which orders go out: challenges, wildcards, the budget, the CA's wishes.

use chrono::{DateTime, TimeDelta, Utc};
use daemon::reconcile::Reconciler;
use protocol::identity::AgentKind;
use protocol::ids::JobId;
use protocol::job::{CertificateOrder, ChallengeKind, Failure, Issued, Outcome, Stage, Work};
use protocol::message::{Applied, FromAgent, JobDone};
use protocol::report::{JobLog, LogLine, Stream};
use serde_json::json;
use sqlx::PgPool;

use super::order_tests::{HOST, mesh, order, table};
use crate::hub::tests::{Link, Mesh, hello, nothing};
use crate::reconcile::certificates::Certificates;

const WILDCARD: &str = "*.route.example.com";

fn of(job: protocol::job::Job) -> (JobId, CertificateOrder) {
    match job.work {
        Work::Certificate(order) => (job.id, *order),
        Work::Build(_) => panic!("a build"),
    }
}

fn failure(code: &str) -> Failure {
    Failure {
        code: code.to_owned(),
        message: "The CA does not like it.".to_owned(),
        hint: Some("Mend it.".to_owned()),
        stage: Stage::Route,
        exit_code: None,
        out_of_memory: false,
        last_lines: Vec::new(),
        probe: None,
    }
}

async fn end(proxy: &mut Link, job_id: JobId, outcome: Outcome) {
    proxy.settle(&FromAgent::JobDone(JobDone { job_id, outcome })).await;
}

fn issued(name: &str) -> Outcome {
    let key = rcgen::generate_simple_self_signed([name.to_owned()]).expect("certificate");
    Outcome::Issued(Issued {
        chain_pem: key.cert.pem(),
        key_pem: key.signing_key.serialize_pem(),
        account: Some("{}".to_owned()),
    })
}

async fn pass(mesh: &Mesh) {
    Certificates(mesh.test.app.clone()).pass().await.expect("orders");
}

/// The pause after the last failure is over.
async fn without_pause(mesh: &Mesh) {
    sqlx::query("update certificates set retry_at = now()").execute(&mesh.test.app.db).await.expect("row");
}

async fn one<T>(mesh: &Mesh, query: &'static str) -> T
where
    T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
{
    sqlx::query_as(query).fetch_one(&mesh.test.app.db).await.expect("a row")
}

async fn proxy(mesh: &Mesh) -> Link {
    let joined = mesh.join("p1", &["proxy"]).await;
    let mut proxy = mesh.dial(&joined, AgentKind::Proxy, hello(Vec::new())).await;
    proxy.settle(&nothing()).await;
    proxy
}

async fn add_provider(mesh: &Mesh) {
    let body = json!({
        "zone": "Example.com.", "platform": true,
        "settings": { "kind": "cloudflare", "token": "0123456789012345678901234567890123456789" },
    });
    mesh.test.owner().await.post("/api/v1/dns-providers", body).await.expect(200);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn every_order_leaves_a_trace(pool: PgPool) {
    let mesh = mesh(pool).await;
    let mut proxy = proxy(&mesh).await;
    let (job, _) = of(order(&mesh, &mut proxy).await);
    let line =
        |seq, text: &str| LogLine { seq, at: Utc::now(), stream: Stream::System, text: text.to_owned() };
    let log = |lines| FromAgent::JobLog(JobLog { job_id: job, lines });
    proxy.settle(&log(vec![line(1, "first")])).await;
    proxy.settle(&log(vec![line(1, "first"), line(2, "second")])).await;
    end(&mut proxy, job, Outcome::Failed(failure("acme_dns"))).await;
    let (host, domain, kind, challenge, outcome): (String, String, String, String, String) =
        one(&mesh, "select host, domain, kind, challenge, outcome from certificate_attempts").await;
    assert_eq!((host.as_str(), domain.as_str()), (HOST, "example.com"));
    assert_eq!((kind.as_str(), challenge.as_str(), outcome.as_str()), ("first", "http-01", "failed"));
    let (code, problem, hint, node, log, ended): (String, String, String, String, Vec<String>, bool) = one(
        &mesh,
        "select code, problem, hint, node_name, log, finished_at is not null from certificate_attempts",
    )
    .await;
    assert_eq!((code.as_str(), node.as_str(), ended), ("acme_dns", "p1", true));
    assert_eq!((problem.as_str(), hint.as_str()), ("The CA does not like it.", "Mend it."));
    assert_eq!(log, ["first", "second"], "lines that come twice are there once");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_account_is_kept_though_its_order_fails(pool: PgPool) {
    let mesh = mesh(pool).await;
    let joined = mesh.join("p1", &["proxy"]).await;
    let mut proxy = mesh.dial(&joined, AgentKind::Proxy, hello(Vec::new())).await;
    proxy.settle(&nothing()).await;
    let (job, first) = of(order(&mesh, &mut proxy).await);
    assert_eq!(first.account, None);
    let path = format!("/v1/jobs/{job}/account");
    let account = json!({ "credentials": "the account" });
    assert_eq!(mesh.post_as(&joined, AgentKind::Proxy, &path, &account).await.status(), 204);
    end(&mut proxy, job, Outcome::Failed(failure("acme_dns"))).await;
    assert_eq!(
        mesh.post_as(&joined, AgentKind::Proxy, &path, &account).await.status(),
        404,
        "not of its order"
    );
    without_pause(&mesh).await;
    let (_, second) = of(order(&mesh, &mut proxy).await);
    assert_eq!(second.account.as_deref(), Some("the account"));
    let (sealed,): (bool,) =
        one(&mesh, "select position('the account'::bytea in credentials) = 0 from acme_accounts").await;
    assert!(sealed);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_closed_port_leads_to_the_other_challenge_which_every_proxy_answers(pool: PgPool) {
    let mesh = mesh(pool).await;
    let joined = mesh.join("p1", &["proxy"]).await;
    let mut proxy = mesh.dial(&joined, AgentKind::Proxy, hello(Vec::new())).await;
    proxy.settle(&nothing()).await;
    let (job, first) = of(order(&mesh, &mut proxy).await);
    assert_eq!(first.challenge, ChallengeKind::Http01);
    end(&mut proxy, job, Outcome::Failed(failure("acme_connection"))).await;
    without_pause(&mesh).await;
    let (job, second) = of(order(&mesh, &mut proxy).await);
    assert_eq!(second.challenge, ChallengeKind::TlsAlpn01);

    let challenge =
        json!({ "kind": "tls-alpn-01", "host": HOST, "token": "t", "key_authorization": "t.thumbprint" });
    let path = format!("/v1/jobs/{job}/challenges");
    let asked = mesh.post_as(&joined, AgentKind::Proxy, &path, &challenge);
    let serves = async {
        while !sqlx::query_scalar::<_, bool>("select exists (select from acme_challenges)")
            .fetch_one(&mesh.test.app.db)
            .await
            .expect("challenges")
        {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let (generation, spec) = table(&mesh, &mut proxy).await;
        proxy.say(&FromAgent::Applied(Applied { generation })).await;
        spec
    };
    let (answer, spec) = tokio::join!(asked, serves);
    assert_eq!(answer.status(), 204);
    assert!(spec.challenges.is_empty(), "not over HTTP");
    let shown = &spec.alpn_challenges[0];
    // printf t.thumbprint | sha256sum
    let digest = "919a4f694f2fd25558e9e80ed3d32f2a12d2a34104c6858e92e6910a4a232c9c";
    assert_eq!((shown.host.as_str(), shown.digest.as_str()), (HOST, digest));

    let foreign = json!({ "kind": "tls-alpn-01", "host": "other.example.com", "token": "u", "key_authorization": "u.x" });
    let refused = mesh.post_as(&joined, AgentKind::Proxy, &path, &foreign).await;
    assert_eq!(refused.status(), 422, "an order is for its own names");

    end(&mut proxy, job, issued(HOST)).await;
    let (challenge, names): (String, Vec<String>) =
        one(&mesh, "select challenge, names from certificates").await;
    assert_eq!((challenge.as_str(), names), ("tls-alpn-01", vec![HOST.to_owned()]));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_zone_with_a_dns_provider_has_one_wildcard_for_all_its_apps(pool: PgPool) {
    let mesh = mesh(pool).await;
    let mut proxy = proxy(&mesh).await;
    let (job, _) = of(order(&mesh, &mut proxy).await);
    end(&mut proxy, job, issued(HOST)).await;
    add_provider(&mesh).await;
    let (job, wildcard) = of(order(&mesh, &mut proxy).await);
    assert_eq!((wildcard.host.as_str(), wildcard.names.as_slice()), (WILDCARD, &[WILDCARD.to_owned()][..]));
    assert_eq!(wildcard.challenge, ChallengeKind::Dns01);
    end(&mut proxy, job, issued(WILDCARD)).await;
    let (_, spec) = table(&mesh, &mut proxy).await;
    let hosts: Vec<_> = spec.certificates.iter().map(|certificate| certificate.hosts.as_slice()).collect();
    assert_eq!(hosts, [&[WILDCARD.to_owned()][..]], "the app's own one would hide it when it is over");
    sqlx::query("update certificates set not_after = now(), renew_at = now() where host = $1")
        .bind(HOST)
        .execute(&mesh.test.app.db)
        .await
        .expect("row");
    pass(&mesh).await;
    let (orders,): (i64,) = one(&mesh, "select count(*) from certificate_attempts").await;
    assert_eq!(orders, 2, "the app's own one is not renewed");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_wildcard_that_cannot_be_had_is_not_waited_for(pool: PgPool) {
    let mesh = mesh(pool).await;
    let mut proxy = proxy(&mesh).await;
    add_provider(&mesh).await;
    for _ in 0..3 {
        let (job, wildcard) = of(order(&mesh, &mut proxy).await);
        assert_eq!(wildcard.host, WILDCARD);
        end(&mut proxy, job, Outcome::Failed(failure("acme_dns_not_published"))).await;
        without_pause(&mesh).await;
    }
    sqlx::query("update certificates set retry_at = now() + interval '1 hour'")
        .execute(&mesh.test.app.db)
        .await
        .expect("row");
    let (_, own) = of(order(&mesh, &mut proxy).await);
    assert_eq!((own.host.as_str(), own.challenge), (HOST, ChallengeKind::Http01));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_broken_name_is_not_retried_into_a_ban(pool: PgPool) {
    let mesh = mesh(pool).await;
    let mut proxy = proxy(&mesh).await;
    for _ in 0..4 {
        let (job, _) = of(order(&mesh, &mut proxy).await);
        end(&mut proxy, job, Outcome::Failed(failure("acme_dns"))).await;
        without_pause(&mesh).await;
    }
    pass(&mesh).await;
    let (orders, error, waits): (i64, String, bool) = one(
        &mesh,
        "select (select count(*) from certificate_attempts), error, retry_at > now() + interval '20 minutes'
         from certificates",
    )
    .await;
    assert_eq!((orders, waits), (4, true));
    assert!(error.contains("4 failed checks of hello.route.example.com in an hour"), "{error}");
    sqlx::query("update certificate_attempts set at = at - interval '1 hour'")
        .execute(&mesh.test.app.db)
        .await
        .expect("rows");
    without_pause(&mesh).await;
    order(&mesh, &mut proxy).await;
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_ca_that_names_a_time_is_left_alone_until_then(pool: PgPool) {
    let mesh = mesh(pool).await;
    let mut proxy = proxy(&mesh).await;
    let (job, _) = of(order(&mesh, &mut proxy).await);
    let until = Utc::now() + TimeDelta::hours(30);
    end(&mut proxy, job, Outcome::Limited { failure: failure("acme_rate_limited"), until }).await;
    let (retry_at, state): (DateTime<Utc>, String) =
        one(&mesh, "select retry_at, state from certificates").await;
    assert!((retry_at - until).num_seconds().abs() <= 1, "{retry_at} {until}");
    assert_eq!(state, "failed");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn what_somebody_asked_for_is_ordered_again_after_a_failure(pool: PgPool) {
    let mesh = mesh(pool).await;
    let mut proxy = proxy(&mesh).await;
    let (job, _) = of(order(&mesh, &mut proxy).await);
    end(&mut proxy, job, issued(HOST)).await;
    sqlx::query("update certificates set reissue = true").execute(&mesh.test.app.db).await.expect("row");
    for _ in 0..2 {
        let (job, _) = of(order(&mesh, &mut proxy).await);
        end(&mut proxy, job, Outcome::Failed(failure("acme_unreachable"))).await;
        let (last,): (String,) =
            one(&mesh, "select kind from certificate_attempts order by at desc limit 1").await;
        assert_eq!(last, "reissue");
        without_pause(&mesh).await;
    }
    let (job, _) = of(order(&mesh, &mut proxy).await);
    end(&mut proxy, job, issued(HOST)).await;
    without_pause(&mesh).await;
    pass(&mesh).await;
    let (orders,): (i64,) = one(&mesh, "select count(*) from certificate_attempts").await;
    assert_eq!(orders, 4, "it is there");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn nothing_untrusted_replaces_a_trusted_certificate(pool: PgPool) {
    let mesh = mesh(pool).await;
    let mut proxy = proxy(&mesh).await;
    let (job, _) = of(order(&mesh, &mut proxy).await);
    sqlx::query("update certificate_attempts set staging = true")
        .execute(&mesh.test.app.db)
        .await
        .expect("row");
    end(&mut proxy, job, issued(HOST)).await;
    let (staging,): (bool,) = one(&mesh, "select staging from certificates").await;
    assert!(staging, "marked");
    // The platform does not order from staging any more: what is there is replaced at once.
    let (job, _) = of(order(&mesh, &mut proxy).await);
    end(&mut proxy, job, issued(HOST)).await;
    let (staging,): (bool,) = one(&mesh, "select staging from certificates").await;
    assert!(!staging);
    sqlx::query("update certificates set reissue = true").execute(&mesh.test.app.db).await.expect("row");
    let (job, _) = of(order(&mesh, &mut proxy).await);
    sqlx::query("update certificate_attempts set staging = true where outcome = 'running'")
        .execute(&mesh.test.app.db)
        .await
        .expect("row");
    end(&mut proxy, job, issued(HOST)).await;
    let (staging, reissue, error): (bool, bool, String) =
        one(&mesh, "select staging, reissue, error from certificates").await;
    assert!(!staging && !reissue && error.contains("staging"), "{error}");
}
