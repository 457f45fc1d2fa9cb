use std::net::SocketAddr;

use axum::body::Body;
use axum::http::{Method, Request};
use daemon::reconcile::Reconciler;
use protocol::identity::AgentKind;
use protocol::message::FromControlPlane;
use protocol::spec::{ProxySpec, Spec, TAKES_CHANGES, Versioned};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::ensure;
use crate::config::{Acme, Config};
use crate::generations::{self, Consumer};
use crate::http;
use crate::http::listen::Peer;
use crate::hub::tests::{Link, Mesh, hello};
use crate::reconcile::certificates::Certificates;
use crate::reconcile::dispatch_specs;
use crate::reconcile::known_proxies::KnownProxies;
use crate::testing::{Answer, Client};

const HOST: &str = "cp.example.com";
const SPOOFED: &str = "192.0.2.66";

fn with_front(config: &mut Config) {
    let directory = "https://ca.example.com/dir".parse().expect("url");
    config.acme = Some(Acme::at(directory));
    config.api_server.front_listen = Some("10.50.0.1:8082".parse().expect("address"));
}

/// A request as it comes out of a connection from `peer`.
async fn from(client: &Client, peer: &str, forwarded: &[&str], path: &str, body: Option<Value>) -> Answer {
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let mut request = Request::builder().method(method).uri(path).header("host", HOST);
    request = request.header("content-type", "application/json").header("origin", format!("https://{HOST}"));
    if let Some(token) = &client.token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    for line in forwarded {
        request = request.header("x-forwarded-for", *line);
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let mut request = request.body(body).expect("request");
    let peer: SocketAddr = format!("{peer}:40000").parse().expect("address");
    request.extensions_mut().insert(Peer(peer));
    client.raw(request).await
}

async fn table(mesh: &Mesh, proxy: &mut Link) -> ProxySpec {
    dispatch_specs::all(&mesh.test.app).await.expect("specs");
    proxy
        .until(|message| match message {
            FromControlPlane::Spec(spec) => match spec.spec {
                Spec::Proxy(proxy) => Some(proxy),
                _ => None,
            },
            _ => None,
        })
        .await
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_dashboards_host_is_routed_to_the_front_and_gets_a_certificate(pool: PgPool) {
    let mesh = Mesh::with(pool, with_front).await;
    let joined = mesh.join("p1", &["proxy"]).await;
    let mut proxy = mesh.dial(&joined, AgentKind::Proxy, hello(Vec::new())).await;
    let routes = table(&mesh, &mut proxy).await.routes;
    assert_eq!(routes.len(), 1);
    assert_eq!((routes[0].app.as_str(), routes[0].path.as_str()), ("control-plane", "/"));
    assert_eq!(routes[0].hosts, [HOST]);
    assert_eq!(routes[0].upstreams[0].address.to_string(), "10.50.0.1:8082");
    assert!(routes[0].https_only);
    Certificates(mesh.test.app.clone()).pass().await.expect("orders");
    let ordered: Vec<String> =
        sqlx::query_scalar("select host from jobs").fetch_all(&mesh.test.app.db).await.expect("jobs");
    assert_eq!(ordered, [HOST]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn proxies_get_a_new_table_when_the_configuration_changes_and_only_then(pool: PgPool) {
    let mesh = Mesh::with(pool, with_front).await;
    let (db, mut config) = (&mesh.test.app.db, mesh.test.app.config.clone());
    let generation = async || {
        let mut conn = db.acquire().await.expect("connection");
        generations::current(&mut conn, Consumer::Routes).await.expect("generation")
    };
    let first = generation().await;
    ensure(db, &config).await.expect("same");
    assert_eq!(generation().await, first);
    config.api_server.base_url = "https://other.example.com".parse().expect("url");
    ensure(db, &config).await.expect("other host");
    assert_eq!(generation().await, first + 1);
    config.api_server.front_listen = None;
    ensure(db, &config).await.expect("none");
    assert_eq!(generation().await, first + 2);
    assert_eq!(super::store::find(&mut db.acquire().await.expect("connection")).await.expect("row"), None);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_agent_that_takes_changes_gets_them_after_its_first_table_and_others_get_tables(pool: PgPool) {
    let mesh = Mesh::with(pool, with_front).await;
    let (db, mut config) = (&mesh.test.app.db, mesh.test.app.config.clone());
    let (new, old) = (mesh.join("p1", &["proxy"]).await, mesh.join("p2", &["proxy"]).await);
    let mut new = mesh.dial_saying(&new, AgentKind::Proxy, hello(Vec::new()), &[TAKES_CHANGES]).await;
    let mut old = mesh.dial(&old, AgentKind::Proxy, hello(Vec::new())).await;
    let generation = async || {
        let mut conn = db.acquire().await.expect("connection");
        generations::current(&mut conn, Consumer::Routes).await.expect("generation")
    };
    let before = Versioned { generation: generation().await, spec: table(&mesh, &mut new).await };
    assert_eq!(table(&mesh, &mut old).await, before.spec);
    config.api_server.base_url = "https://other.example.com".parse().expect("url");
    ensure(db, &config).await.expect("other host");
    let after = table(&mesh, &mut old).await;
    assert_eq!(after.routes[0].hosts, ["other.example.com"]);
    let change = new
        .until(|message| match message {
            FromControlPlane::SpecChange(change) => Some(change),
            FromControlPlane::Spec(_) => panic!("a whole table"),
            _ => None,
        })
        .await;
    assert_eq!(change.apply(Some(&before)).expect("it fits").spec, after);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn only_proxies_are_let_in_and_their_word_for_the_client_counts(pool: PgPool) {
    let mesh = Mesh::with(pool, with_front).await;
    let (worker, proxy) = (mesh.join("w1", &["worker"]).await, mesh.join("p1", &["proxy"]).await);
    let address = |joined: &protocol::enrol::Joined| joined.identity.mesh_address.to_string();
    let front = mesh.test.owner().await.through(http::front_router(&mesh.test.app));
    let make = |peer: String, slug: &'static str| {
        let (front, forwarded) = (&front, [SPOOFED, "192.0.2.67, 198.51.100.7"]);
        async move { from(front, &peer, &forwarded, "/api/v1/apps", Some(json!({ "slug": slug }))).await }
    };
    make(address(&proxy), "early").await.expect(403);
    KnownProxies(mesh.test.app.clone()).pass().await.expect("proxies");
    make(address(&proxy), "through-a-proxy").await.expect(201);
    make("127.0.0.1".to_owned(), "through-loopback").await.expect(201);
    make("10.50.0.1".to_owned(), "through-this-host").await.expect(201);
    for stranger in [address(&worker), "198.51.100.7".to_owned()] {
        let refused = make(stranger.clone(), "refused").await.expect(403);
        assert_eq!(refused["hint"], "Use https://cp.example.com/", "{stranger}");
    }
    let public = mesh.test.owner().await;
    from(&public, "203.0.113.5", &[SPOOFED], "/api/v1/apps", Some(json!({ "slug": "direct" })))
        .await
        .expect(201);
    let audit = public.get("/api/v1/audit").await.expect(200);
    let created =
        audit["items"].as_array().expect("items").iter().filter(|event| event["action"] == "app.create");
    let seen: Vec<(&str, &str)> = created
        .map(|event| (event["target"].as_str().expect("target"), event["address"].as_str().expect("address")))
        .collect();
    assert_eq!(
        seen,
        [
            ("app:direct", "203.0.113.5"),
            ("app:through-this-host", "198.51.100.7"),
            ("app:through-loopback", "198.51.100.7"),
            ("app:through-a-proxy", "198.51.100.7"),
        ]
    );
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_limit_by_address_is_each_clients_own(pool: PgPool) {
    let mesh = Mesh::with(pool, with_front).await;
    let front = mesh.test.anonymous().through(http::front_router(&mesh.test.app));
    let wrong = json!({ "email": "nobody@example.com", "password": "wrong" });
    let guess = async |client: &str, email: usize| {
        let mut body = wrong.clone();
        body["email"] = json!(format!("nobody{email}@example.com"));
        from(&front, "10.50.0.1", &[client], "/api/v1/session", Some(body)).await.status.as_u16()
    };
    // On a busy machine a few are given back before the twenty are used up.
    let mut attempt = 0;
    while guess("198.51.100.7", attempt).await != 429 {
        attempt += 1;
        assert!(attempt < 60, "never limited");
    }
    assert!(attempt >= 20, "limited after {attempt}");
    assert_eq!(guess("198.51.100.8", 99).await, 401);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn what_agents_and_traefik_call_is_not_behind_the_front(pool: PgPool) {
    let mesh = Mesh::with(pool, with_front).await;
    let front = mesh.test.anonymous().through(http::front_router(&mesh.test.app));
    for path in ["/v1/traefik/proxy-config", "/v1/workers/ws"] {
        from(&front, "10.50.0.1", &[], path, None).await.expect(404);
    }
    for path in ["/v1/workers/register", "/v1/nodes/declare"] {
        from(&front, "10.50.0.1", &[], path, Some(json!({}))).await.expect(404);
    }
    let metrics = from(&front, "10.50.0.1", &[], "/metrics", None).await;
    assert!(metrics.headers["content-type"].to_str().expect("text").starts_with("text/html"), "a page");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn no_app_takes_the_dashboards_name_inside_the_zone(pool: PgPool) {
    let inside = |config: &mut Config| {
        config.api_server.base_url = "https://cp.route.example.com".parse().expect("url");
    };
    let mesh = Mesh::with(pool, inside).await;
    let owner = mesh.test.owner().await;
    let refused = owner.post("/api/v1/apps", json!({ "slug": "cp" })).await.expect(422);
    assert_eq!((&refused["code"], &refused["field"]), (&json!("slug_invalid"), &json!("slug")));
    owner.post("/api/v1/apps", json!({ "slug": "cpx" })).await.expect(201);
}
