//! Records at a real name server, BIND, which takes updates that are signed with its key alone.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use daemon::reconcile::Reconciler as _;
use protocol::identity::AgentKind;
use protocol::ids::JobId;
use protocol::job::{ChallengeKind, Work};
use serde_json::{Value, json};
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{Record, wire};
use crate::certificates::order_tests::{mesh_with, order};
use crate::dns::alias;
use crate::dns::config::Resolver;
use crate::hub::tests::{Mesh, hello, nothing};
use crate::jobs;
use crate::reconcile::certificates::Certificates;

const SECRET: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const WRONG: &str = "bm90IHRoZSBrZXkgdGhhdCB0aGUgc2VydmVyIGhhcyE=";

struct Named {
    address: SocketAddr,
    process: Child,
    _folder: TempDir,
}

impl Named {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("temp dir");
        let address =
            std::net::TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address");
        let (path, port) = (folder.path().display(), address.port());
        let config = format!(
            "options {{ directory \"{path}\"; pid-file none; session-keyfile none; listen-on port {port} {{ 127.0.0.1; }};
               listen-on-v6 {{ none; }}; recursion no; dnssec-validation no; }};
             controls {{ }};
             key \"wisehosting\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};
             zone \"example.com\" {{ type primary; file \"{path}/zone\";
               update-policy {{ grant wisehosting zonesub TXT; }}; }};
             zone \"own.test\" {{ type primary; file \"{path}/own\";
               update-policy {{ grant wisehosting zonesub TXT; }}; }};
             zone \"other.test\" {{ type primary; file \"{path}/other\"; }};
             zone \"example.net\" {{ type primary; file \"{path}/net\"; }};"
        );
        let zone = "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n";
        let apps = format!("{zone}*.route A 192.0.2.1\n");
        // With the record that a wildcard domain has.
        let own = format!("{zone}*.wild CNAME hello.route.example.com.\n");
        // Of somebody who takes no updates from here and leaves the challenge of one name to the other zone.
        let other = format!(
            "{zone}_acme-challenge.app CNAME hop\nhop CNAME app.acme.example.com.\n\
             _acme-challenge.abroad CNAME abroad.example.net.\n_acme-challenge.loop CNAME _acme-challenge.loop\n\
             _acme-challenge.evil CNAME hello.route.example.com.\n"
        );
        std::fs::write(folder.path().join("named.conf"), config).expect("write");
        for (name, text) in
            [("zone", apps.as_str()), ("own", own.as_str()), ("other", other.as_str()), ("net", zone)]
        {
            std::fs::write(folder.path().join(name), text).expect("write");
        }
        let process = Command::new("named")
            .args(["-f", "-c"])
            .arg(folder.path().join("named.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("BIND is installed");
        let named = Self { address, process, _folder: folder };
        for _ in 0..200 {
            if wire::texts(address, &"example.com.".parse().expect("name")).await.is_ok() {
                return named;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("BIND does not answer");
    }

    async fn stop(&mut self) {
        self.process.kill().await.expect("it runs");
    }

    async fn texts(&self, name: &str) -> Vec<String> {
        wire::texts(self.address, &name.parse().expect("name")).await.expect("an answer")
    }

    fn provider(&self, secret: &str) -> Value {
        json!({ "zone": "example.com", "platform": true, "settings": {
            "kind": "rfc2136", "server": self.address.to_string(), "key_name": "wisehosting", "secret": secret,
            "check_servers": [self.address.to_string()],
        }})
    }
}

/// A fleet that asks this server about the world outside.
async fn named_mesh(pool: PgPool) -> (Mesh, Named) {
    let named = Named::start().await;
    let resolvers = vec![Resolver(named.address)];
    let mesh = mesh_with(pool, "https://ca.example.com/dir", |config| config.dns.resolvers = resolvers).await;
    (mesh, named)
}

async fn add(mesh: &Mesh, provider: Value) -> String {
    let stored = mesh.test.owner().await.post("/api/v1/dns-providers", provider).await.expect(200);
    format!("/api/v1/dns-providers/{}", stored["id"].as_str().expect("id"))
}

/// The app has these domains.
async fn domains(mesh: &Mesh, hostnames: &[&str]) {
    sqlx::query(
        "insert into domains (id, app_id, hostname, token, state, verified_at, created_by)
         select gen_random_uuid(), id, unnest($1::text[]), '', 'verified', now(), '' from apps",
    )
    .bind(hostnames)
    .execute(&mesh.test.app.db)
    .await
    .expect("domains");
}

/// Why nothing is ordered for a name that wants a certificate.
async fn put_off(mesh: &Mesh, host: &str) -> String {
    let error = sqlx::query_scalar("select error from certificates where host = $1").bind(host);
    error.fetch_one(&mesh.test.app.db).await.expect("a certificate that is wanted")
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_test_sets_a_record_sees_it_and_removes_it_and_says_what_is_wrong(pool: PgPool) {
    let (mesh, named) = named_mesh(pool).await;
    let owner = mesh.test.owner().await;
    let provider = add(&mesh, named.provider(SECRET)).await;
    let tested = owner.post(&format!("{provider}/test"), json!({})).await.expect(200);
    assert_eq!(tested["servers"], json!([named.address.to_string()]));
    assert!(named.texts(tested["record"].as_str().expect("record")).await.is_empty(), "removed");
    let rows: i64 = sqlx::query_scalar("select count(*) from dns_challenges")
        .fetch_one(&mesh.test.app.db)
        .await
        .expect("rows");
    assert_eq!(rows, 0);

    add(&mesh, named.provider(WRONG)).await;
    let refused = owner.post(&format!("{provider}/test"), json!({})).await.expect(503);
    let words = refused["message"].as_str().expect("message");
    assert!(words.contains("key wisehosting (NOTAUTH)"), "{words}");
    let elsewhere =
        json!({ "zone": "example.org", "platform": true, "settings": named.provider(SECRET)["settings"] });
    let elsewhere = add(&mesh, elsewhere).await;
    let refused = owner.post(&format!("{elsewhere}/test"), json!({})).await.expect(503);
    let words = refused["message"].as_str().expect("message");
    assert!(words.contains("is not a name server of"), "{words}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_record_of_a_challenge_is_there_while_its_order_runs_and_gone_after_it(pool: PgPool) {
    let (mesh, mut named) = named_mesh(pool).await;
    let provider = add(&mesh, named.provider(SECRET)).await;
    let joined = mesh.join("p1", &["proxy"]).await;
    let mut proxy = mesh.dial(&joined, AgentKind::Proxy, hello(Vec::new())).await;
    proxy.settle(&nothing()).await;
    let job = order(&mesh, &mut proxy).await;
    let path = format!("/v1/jobs/{}/challenges", job.id);
    let challenge = json!({
        "kind": "dns-01", "host": "route.example.com", "token": "t", "key_authorization": "t.thumbprint",
    });
    let ask = || mesh.post_as(&joined, AgentKind::Proxy, &path, &challenge);
    assert_eq!(ask().await.status(), 204);
    assert_eq!(ask().await.status(), 204, "asked again");
    let record = super::challenge::record("route.example.com", "t.thumbprint");
    assert_eq!(record.name, "_acme-challenge.route.example.com");
    assert_eq!(named.texts(&record.name).await, [record.value.as_str()]);
    super::challenge::sweep(&mesh.test.app).await.expect("sweep");
    assert_eq!(named.texts(&record.name).await.len(), 1, "its order runs");
    let refused = mesh.test.owner().await.delete(&provider).await.expect(422);
    assert!(refused["message"].as_str().is_some_and(|words| words.contains("1 records")), "{refused}");

    // The proxy and the control plane crash: what remains is the row.
    let mut conn = mesh.test.app.db.acquire().await.expect("connection");
    jobs::store::finish(&mut conn, job.id, "failed", None).await.expect("row");
    let address = named.address;
    named.stop().await;
    super::challenge::sweep(&mesh.test.app).await.expect("sweep");
    let listed = mesh.test.owner().await.get("/api/v1/dns-providers").await.expect(200);
    let problem = listed["items"][0]["problem"].as_str().expect("a problem");
    assert!(problem.contains(&address.to_string()), "{problem}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_record_that_was_noted_when_the_control_plane_went_is_set_by_the_next_request(pool: PgPool) {
    let (mesh, named) = named_mesh(pool).await;
    add(&mesh, named.provider(SECRET)).await;
    let joined = mesh.join("p1", &["proxy"]).await;
    let mut proxy = mesh.dial(&joined, AgentKind::Proxy, hello(Vec::new())).await;
    proxy.settle(&nothing()).await;
    let job = order(&mesh, &mut proxy).await;
    let record = super::challenge::record("route.example.com", "t.thumbprint");
    let mut conn = mesh.test.app.db.acquire().await.expect("connection");
    let provider =
        super::store::covering(&mut conn, "route.example.com", None).await.expect("row").expect("covered");
    for again in ["the first", "nobody has set it"] {
        assert!(super::store::note(&mut conn, provider.id, job.id, &record).await.expect("note"), "{again}");
    }
    let set = super::challenge::publish(
        &mesh.test.app,
        job.id,
        "route.example.com",
        "route.example.com",
        "t.thumbprint",
    );
    assert_eq!(set.await.expect("set"), super::challenge::Published::Everywhere);
    assert_eq!(named.texts(&record.name).await, [record.value.as_str()]);
    assert!(!super::store::note(&mut conn, provider.id, job.id, &record).await.expect("note"), "it is set");
    let notes: i64 =
        sqlx::query_scalar("select count(*) from dns_challenges").fetch_one(&mut *conn).await.expect("rows");
    assert_eq!(notes, 1);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn records_beside_the_challenges_stay(pool: PgPool) {
    let (mesh, named) = named_mesh(pool).await;
    add(&mesh, named.provider(SECRET)).await;
    let mut conn = mesh.test.app.db.acquire().await.expect("connection");
    let found =
        super::store::covering(&mut conn, "a.b.example.com", None).await.expect("row").expect("covered");
    let provider = super::store::open(&mut conn, &mesh.test.app.vault, found.id).await.expect("opens");
    let record =
        |value: &str| Record { name: "_acme-challenge.a.b.example.com".to_owned(), value: value.to_owned() };
    provider.set(&record("one")).await.expect("set");
    provider.set(&record("two")).await.expect("set");
    provider.set(&record("two")).await.expect("once more is once");
    provider.remove(&record("one")).await.expect("removed");
    provider.remove(&record("one")).await.expect("once more is once");
    assert_eq!(named.texts(&record("").name).await, ["two"]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_challenge_that_is_an_alias_is_answered_where_it_leads(pool: PgPool) {
    let (mesh, named) = named_mesh(pool).await;
    for (name, leads) in [
        ("_acme-challenge.app.other.test", Some("app.acme.example.com")),
        ("_acme-challenge.abroad.other.test", Some("abroad.example.net")),
        ("_acme-challenge.loop.other.test", None),
        ("_acme-challenge.none.other.test", None),
    ] {
        let found = alias::follow(&[named.address], name).await.expect(name);
        assert_eq!(found.as_deref(), leads, "{name}");
    }
    add(&mesh, named.provider(SECRET)).await;
    domains(&mesh, &["*.app.other.test", "*.abroad.other.test"]).await;
    let joined = mesh.join("p1", &["proxy"]).await;
    let mut proxy = mesh.dial(&joined, AgentKind::Proxy, hello(Vec::new())).await;
    proxy.settle(&nothing()).await;
    let job = order(&mesh, &mut proxy).await;
    let Work::Certificate(work) = &job.work else { panic!("{job:?}") };
    assert_eq!((work.host.as_str(), work.challenge), ("*.app.other.test", ChallengeKind::Dns01));
    let put_off = put_off(&mesh, "*.abroad.other.test").await;
    assert!(put_off.contains("make _acme-challenge.abroad.other.test a CNAME"), "{put_off}");

    let path = format!("/v1/jobs/{}/challenges", job.id);
    let challenge = json!({
        "kind": "dns-01", "host": "app.other.test", "token": "t", "key_authorization": "t.thumbprint",
    });
    assert_eq!(mesh.post_as(&joined, AgentKind::Proxy, &path, &challenge).await.status(), 204);
    let record = super::challenge::record("app.other.test", "t.thumbprint");
    assert_eq!(named.texts("app.acme.example.com.").await, [record.value]);
    let mut conn = mesh.test.app.db.acquire().await.expect("connection");
    jobs::store::finish(&mut conn, job.id, "failed", None).await.expect("row");
    super::challenge::sweep(&mesh.test.app).await.expect("sweep");
    assert!(named.texts("app.acme.example.com.").await.is_empty(), "removed where it was set");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_record_of_a_wildcard_domain_is_no_alias_of_its_challenge(pool: PgPool) {
    let (mesh, named) = named_mesh(pool).await;
    let own = json!({ "zone": "own.test", "platform": true, "settings": named.provider(SECRET)["settings"] });
    for provider in [own, named.provider(SECRET)] {
        add(&mesh, provider).await;
    }
    domains(&mesh, &["*.wild.own.test"]).await;
    let joined = mesh.join("p1", &["proxy"]).await;
    let mut proxy = mesh.dial(&joined, AgentKind::Proxy, hello(Vec::new())).await;
    proxy.settle(&nothing()).await;
    let job = order(&mesh, &mut proxy).await;
    let set =
        super::challenge::publish(&mesh.test.app, job.id, "*.wild.own.test", "wild.own.test", "t.thumbprint");
    assert_eq!(set.await.expect("set"), super::challenge::Published::Everywhere);
    let record = super::challenge::record("wild.own.test", "t.thumbprint");
    assert_eq!(named.texts("_acme-challenge.wild.own.test.").await, [record.value]);
    assert!(
        named.texts("hello.route.example.com.").await.is_empty(),
        "the app has its address from a wildcard"
    );
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_alias_cannot_take_the_address_from_a_name_that_is_served(pool: PgPool) {
    let (mesh, named) = named_mesh(pool).await;
    add(&mesh, named.provider(SECRET)).await;
    domains(&mesh, &["*.evil.other.test"]).await;
    Certificates(mesh.test.app.clone()).pass().await.expect("orders");
    let words = put_off(&mesh, "*.evil.other.test").await;
    assert!(words.contains("take *.route.example.com off the DNS"), "{words}");
    // Also where the alias came after the order.
    let (app, job) = (&mesh.test.app, JobId::new());
    let refused = super::challenge::publish(app, job, "*.evil.other.test", "evil.other.test", "t.thumbprint");
    let refused = format!("{:?}", refused.await.expect_err("refused"));
    assert!(refused.contains("hello.route.example.com"), "{refused}");
    assert!(named.texts("hello.route.example.com.").await.is_empty());
}
