use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use daemon::reconcile::Reconciler as _;
use hickory_resolver::proto::op::ResponseCode;
use protocol::ids::JobId;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::cloudflare::Cloudflare;
use super::{Record, challenge, delegation};
use crate::certificates::order_tests::mesh_with;
use crate::dns::testing::FakeResolver;
use crate::http::permission::MemberRole;
use crate::reconcile::certificates::Certificates;
use crate::testing::TestApp;

const TOKEN: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";
const PATH: &str = "/api/v1/dns-providers";

fn provider(zone: &str, platform: bool) -> Value {
    json!({ "zone": zone, "platform": platform, "settings": { "kind": "cloudflare", "token": TOKEN } })
}

fn server() -> Value {
    json!({ "kind": "rfc2136", "server": "192.0.2.53", "key_name": "wisehosting", "secret": "MDEyMzQ1Njc4OTAxMjM0NQ==" })
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_provider_is_stored_sealed_shown_without_its_secret_and_forgotten(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    owner.post(PATH, json!({ "zone": "Example.com.", "settings": server() })).await.expect(200);
    let stored = owner.post(PATH, provider("*.example.com", false)).await.expect(200);
    assert_eq!((&stored["zone"], &stored["kind"]), (&json!("example.com"), &json!("cloudflare")));
    let listed = owner.get(PATH).await.expect(200);
    assert_eq!(listed["items"].as_array().expect("items").len(), 1, "one for each zone: {listed}");
    assert!(!listed.to_string().contains("hunter2"), "{listed}");
    let sealed: Vec<u8> =
        sqlx::query_scalar("select settings from dns_providers").fetch_one(&app.app.db).await.expect("row");
    assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
    let audited: Vec<Value> = sqlx::query_scalar("select to_jsonb(audit_events) from audit_events")
        .fetch_all(&app.app.db)
        .await
        .expect("audit");
    let audited = json!(audited).to_string();
    assert!(audited.contains("dns-provider.put") && !audited.contains("hunter2"), "{audited}");

    let path = format!("{PATH}/{}", stored["id"].as_str().expect("id"));
    owner.delete(&path).await.expect(204);
    assert_eq!(owner.get(PATH).await.expect(200)["items"], json!([]));
    owner.delete(&path).await.expect(404);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn providers_belong_to_an_organization_or_to_all_and_then_owners_change_them(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let own = app.owner().await.post(PATH, provider("own.example.com", false)).await.expect(200);
    let all = app.owner().await.post(PATH, provider("example.com", true)).await.expect(200);
    let admin = app.member("acme", MemberRole::Admin).await;
    admin.post(PATH, provider("other.example.com", true)).await.expect(403);
    admin.delete(&format!("{PATH}/{}", all["id"].as_str().expect("id"))).await.expect(403);
    admin.post(PATH, provider("other.example.com", false)).await.expect(200);
    app.member("acme", MemberRole::Developer)
        .await
        .post(PATH, provider("x.example.com", false))
        .await
        .expect(403);
    let stranger = app.member("other", MemberRole::Owner).await;
    let seen = stranger.get(PATH).await.expect(200);
    assert_eq!(seen["items"].as_array().expect("items").len(), 1, "{seen}");
    assert_eq!(seen["items"][0]["zone"], "example.com");
    stranger.delete(&format!("{PATH}/{}", own["id"].as_str().expect("id"))).await.expect(404);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn what_cannot_work_is_refused_by_field(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    let with = |key: &str, value: Value| {
        let mut settings = server();
        settings[key] = value;
        json!({ "zone": "example.com", "settings": settings })
    };
    for (body, field) in [
        (json!({ "zone": "exam ple", "settings": server() }), "zone"),
        (with("server", json!("a b")), "server"),
        (with("secret", json!("short")), "secret"),
        (with("secret", json!("MDEy")), "secret"),
        (with("key_name", json!("")), "key_name"),
        (json!({ "zone": "example.com", "settings": { "kind": "cloudflare", "token": "x y" } }), "token"),
    ] {
        assert_eq!(owner.post(PATH, body.clone()).await.expect(422)["field"], field, "{body}");
    }
}

/// Records of one zone at an API that answers as Cloudflare's documentation says, and wants what it says.
#[derive(Clone, Default)]
struct Zone(Arc<Mutex<Vec<(String, String)>>>);

impl Zone {
    fn contents(&self) -> Vec<String> {
        self.0.lock().expect("no panic").iter().map(|(_, content)| content.clone()).collect()
    }

    fn create(&self, body: &Value) -> Response {
        assert_eq!(
            (&body["type"], &body["name"]),
            (&json!("TXT"), &json!("_acme-challenge.app.example.com"))
        );
        // 60 for zones that are no enterprise's, or 1 for automatic.
        assert!(body["ttl"].as_u64().is_some_and(|ttl| ttl == 1 || (60..=86_400).contains(&ttl)), "{body}");
        let content = body["content"].as_str().expect("content").to_owned();
        assert!(content.starts_with('"') && content.ends_with('"'), "as in a zone file: {content}");
        let mut records = self.0.lock().expect("no panic");
        if records.iter().any(|(_, there)| *there == content) {
            let error = json!({ "code": 81058, "message": "An identical record already exists." });
            let body = json!({ "success": false, "errors": [error], "messages": [], "result": null });
            return (StatusCode::BAD_REQUEST, body.to_string()).into_response();
        }
        let id = format!("{:032x}", records.len());
        records.push((id.clone(), content));
        good(&json!({ "id": id }))
    }

    fn list(&self, query: &[(String, String)]) -> Response {
        let of = |key: &str| query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        assert_eq!((of("type"), of("name.exact")), (Some("TXT"), Some("_acme-challenge.app.example.com")));
        let wanted = of("content.exact").expect("only this record");
        let records = self.0.lock().expect("no panic");
        let found: Vec<Value> = records
            .iter()
            .filter(|(_, content)| content == wanted)
            .map(|(id, _)| json!({ "id": id }))
            .collect();
        good(&json!(found))
    }

    fn delete(&self, id: &str) -> Response {
        self.0.lock().expect("no panic").retain(|(there, _)| there != id);
        good(&json!({ "id": id }))
    }
}

fn good(result: &Value) -> Response {
    json!({ "success": true, "errors": [], "messages": [], "result": result }).to_string().into_response()
}

async fn api(State(zone): State<Zone>, request: Request) -> Response {
    let bearer = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    if bearer != Some(&format!("Bearer {TOKEN}")) {
        let error = json!({ "code": 10000, "message": "Authentication error" });
        return json!({ "success": false, "errors": [error], "messages": [], "result": null })
            .to_string()
            .into_response();
    }
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let query = request.uri().query().unwrap_or_default();
    let query: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let body = axum::body::to_bytes(request.into_body(), 4096).await.expect("body");
    match (method.as_str(), path.as_str()) {
        ("GET", "/client/v4/zones") if query == [("name".to_owned(), "example.com".to_owned())] => {
            good(&json!([{ "id": "zone-1" }]))
        }
        ("GET", "/client/v4/zones") => good(&json!([])),
        ("POST", "/client/v4/zones/zone-1/dns_records") => {
            zone.create(&serde_json::from_slice(&body).expect("JSON"))
        }
        ("GET", "/client/v4/zones/zone-1/dns_records") => zone.list(&query),
        ("DELETE", path) => {
            zone.delete(path.strip_prefix("/client/v4/zones/zone-1/dns_records/").expect("a record"))
        }
        other => panic!("not in the documentation: {other:?}"),
    }
}

#[tokio::test]
async fn cloudflare_sets_a_record_once_beside_others_and_removes_that_one() {
    daemon::crypto::install();
    let zone = Zone::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let api_url = format!("http://{}/client/v4", listener.local_addr().expect("address"));
    let router = Router::new().fallback(api).with_state(zone.clone());
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await });

    let account = Cloudflare { token: TOKEN.to_owned(), api: Some(api_url.clone()) };
    let name = "_acme-challenge.app.example.com".to_owned();
    let [one, two] = ["one", "two"].map(|value| Record { name: name.clone(), value: value.to_owned() });
    account.set(&one).await.expect("set");
    account.set(&one).await.expect("once more is once");
    account.set(&two).await.expect("set");
    assert_eq!(zone.contents(), ["\"one\"", "\"two\""]);
    account.remove(&one).await.expect("removed");
    account.remove(&one).await.expect("once more is once");
    assert_eq!(zone.contents(), ["\"two\""]);

    let elsewhere = Record { name: "_acme-challenge.app.example.org".to_owned(), value: "x".to_owned() };
    let error = account.set(&elsewhere).await.expect_err("no zone").to_string();
    assert!(error.contains("Zone:Read"), "{error}");
    let stranger = Cloudflare { token: "other".to_owned(), api: Some(api_url) };
    let error = stranger.set(&one).await.expect_err("no access").to_string();
    assert!(error.contains("Authentication error (10000)"), "{error}");
}

/// A fleet with a provider for `acme.example.com` that asks `resolver` about the world outside, and a domain `*.shop.test`.
async fn with_wildcard(pool: PgPool, resolver: &FakeResolver) -> TestApp {
    let resolvers = vec![resolver.resolver()];
    let mesh = mesh_with(pool, "https://ca.example.com/dir", |config| config.dns.resolvers = resolvers).await;
    mesh.test.owner().await.post(PATH, provider("acme.example.com", true)).await.expect(200);
    sqlx::query(
        "insert into domains (id, app_id, hostname, token, state, verified_at, created_by)
         select gen_random_uuid(), id, '*.shop.test', '', 'verified', now(), '' from apps",
    )
    .execute(&mesh.test.app.db)
    .await
    .expect("domain");
    // The app's own name, which would be ordered first and alone.
    sqlx::query("insert into certificates (host, retry_at) values ($1, now() + interval '1 hour')")
        .bind("hello.route.example.com")
        .execute(&mesh.test.app.db)
        .await
        .expect("row");
    mesh.test
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_name_whose_alias_nobody_could_tell_waits_for_somebody_who_can(pool: PgPool) {
    let resolver = FakeResolver::start().await;
    let app = with_wildcard(pool, &resolver).await;
    let name = "_acme-challenge.shop.test";
    resolver.alias(name, "hop.shop.test");
    resolver.fail("hop.shop.test", ResponseCode::ServFail);
    let ordered = async || {
        Certificates(app.app.clone()).pass().await.expect("orders");
        let row: (bool, Option<String>) = sqlx::query_as(
            "select exists (select from jobs where jobs.host = certificates.host), error from certificates
             where host = '*.shop.test'",
        )
        .fetch_one(&app.app.db)
        .await
        .expect("a certificate that is wanted");
        sqlx::query("update certificates set retry_at = now() where host like '*.%'")
            .execute(&app.app.db)
            .await
            .expect("due");
        row
    };
    let (is_ordered, why) = ordered().await;
    let why = why.expect("a reason");
    assert!(!is_ordered && why.contains("SERVFAIL") && !why.contains("no DNS provider"), "{why}");
    let set = challenge::publish(&app.app, JobId::new(), "*.shop.test", "shop.test", "t.thumbprint").await;
    let refused = format!("{:?}", set.expect_err("nobody knows"));
    assert!(refused.contains("Unavailable"), "{refused}");
    resolver.alias("hop.shop.test", "shop.acme.example.com");
    assert!(ordered().await.0, "they are asked again");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn aliases_of_all_hosts_are_looked_up(pool: PgPool) {
    let resolver = FakeResolver::start().await;
    let app = with_wildcard(pool, &resolver).await;
    let hosts: Vec<String> = (0..45).map(|n| format!("*.shop-{n}.test")).collect();
    for n in 0..45 {
        resolver.alias(&format!("_acme-challenge.shop-{n}.test"), &format!("shop-{n}.acme.example.com"));
    }
    let found = delegation::targets(&app.app, hosts).await;
    assert_eq!(found.len(), 45);
    assert_eq!(found["*.shop-44.test"].as_ref().expect("known").as_deref(), Some("shop-44.acme.example.com"));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_challenge_goes_where_it_takes_no_address_away(pool: PgPool) {
    let app = TestApp::new(pool).await;
    let owner = app.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    for zone in ["example.com", "acme.route.example.com"] {
        owner.post(PATH, provider(zone, true)).await.expect(200);
    }
    let mut conn = app.app.db.acquire().await.expect("connection");
    for (target, served) in [
        ("shop.acme.example.com", None),
        ("_acme-challenge.example.com", None),
        ("shop._acme.example.com", None),
        // Told to be a zone of its own.
        ("shop.acme.route.example.com", None),
        ("hello.route.example.com", Some("*.route.example.com")),
        ("nobody.route.example.com", Some("*.route.example.com")),
        ("_acme-challenge.hello.route.example.com", Some("*.route.example.com")),
        ("route.example.com", Some("*.route.example.com")),
        ("example.com", Some("*.route.example.com")),
    ] {
        let place = delegation::place(&mut conn, "*.evil.test", None, Some(target)).await.expect("rows");
        let refused = match place {
            Ok(place) => {
                assert_eq!(place.name, target);
                None
            }
            Err(delegation::NoPlace::Served { host, .. }) => Some(host),
            Err(other) => panic!("{target}: {other}"),
        };
        assert_eq!(refused.as_deref(), served, "{target}");
    }
}
