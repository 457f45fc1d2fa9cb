use protocol::identity::AgentKind;
use protocol::message::{Applied, FromAgent, FromControlPlane};
use protocol::spec::{Spec, Versioned};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::http::permission::MemberRole;
use crate::hub::tests::{Link, Mesh, hello, nothing};
use crate::nodes;
use crate::testing::TestApp;

const PATH: &str = "/api/v1/zones";

async fn generation(test: &TestApp) -> i64 {
    let found = sqlx::query_scalar("select generation from generations where consumer = 'routes'");
    found.fetch_optional(&test.app.db).await.expect("generation").unwrap_or(0)
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_zone_of_the_configuration_is_there_and_stays(pool: PgPool) {
    let test = TestApp::new(pool).await;
    let owner = test.owner().await;
    let zones = owner.get(PATH).await.expect(200);
    let zone = &zones["items"][0];
    assert_eq!((&zone["suffix"], &zone["mode"]), (&json!("route.example.com"), &json!("proxy")));
    assert_eq!((&zone["is_default"], &zone["is_configured"]), (&json!(true), &json!(true)));
    let refused = owner.delete(&format!("{PATH}/route.example.com")).await.expect(409);
    assert_eq!(refused["code"], "zone_in_use");
    owner.delete(&format!("{PATH}/none.example.com")).await.expect(404);
    test.member("acme", MemberRole::Viewer).await.get(PATH).await.expect(200);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_direct_zone_names_a_worker_whose_address_its_record_has(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    mesh.join("w1", &["worker"]).await;
    mesh.join("p1", &["proxy"]).await;
    let test = &mesh.test;
    sqlx::query("update nodes set endpoint = '203.0.113.7:51821' where name = 'w1'")
        .execute(&test.app.db)
        .await
        .expect("endpoint");
    let owner = test.owner().await;
    for (body, field) in [
        (json!({ "suffix": "de.example.com", "mode": "direct" }), "worker"),
        (json!({ "suffix": "de.example.com", "worker": "p1" }), "worker"),
        (json!({ "suffix": "de.example.com", "port": 80 }), "port"),
        (json!({ "suffix": "a.route.example.com" }), "suffix"),
        (json!({ "suffix": "co.uk" }), "suffix"),
    ] {
        assert_eq!(owner.post(PATH, body.clone()).await.expect(422)["field"], field, "{body}");
    }
    let before = generation(test).await;
    let zone = owner.post(PATH, json!({ "suffix": "DE.example.com", "worker": "w1" })).await.expect(201);
    assert_eq!((&zone["mode"], &zone["port"]), (&json!("direct"), &json!(8080)));
    let record = json!({ "name": "*.de.example.com", "kind": "A", "value": "203.0.113.7", "node": "w1" });
    assert_eq!(zone["records"], json!([record]));
    assert!(generation(test).await > before);

    // The worker cannot go while visitors are sent to it.
    let refused = owner.delete("/api/v1/nodes/w1").await.expect(409);
    assert_eq!(refused["code"], "node_has_zone");
    let path = format!("{PATH}/de.example.com");
    let zone = owner.patch(&path, json!({ "port": 443 })).await.expect(200);
    assert_eq!((&zone["worker"], &zone["port"]), (&json!("w1"), &json!(443)));
    let zone = owner.patch(&path, json!({ "mode": "proxy" })).await.expect(200);
    assert_eq!((&zone["worker"], &zone["port"]), (&Value::Null, &Value::Null));
    owner.delete("/api/v1/nodes/w1").await.expect(204);
    owner.delete(&path).await.expect(204);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn new_apps_get_the_default_zone_or_the_one_that_is_named(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    mesh.join("w1", &["worker"]).await;
    let owner = mesh.test.owner().await;
    owner.post(PATH, json!({ "suffix": "de.example.com", "worker": "w1" })).await.expect(201);
    let first = owner.post("/api/v1/apps", json!({ "slug": "one" })).await.expect(201);
    assert_eq!(first["hostname"], "one.route.example.com");
    let named = json!({ "slug": "two", "zone": "de.example.com" });
    let second = owner.post("/api/v1/apps", named).await.expect(201);
    assert_eq!(second["url"], "http://two.de.example.com:8080");
    let unknown = json!({ "slug": "x", "zone": "none.example.com" });
    assert_eq!(owner.post("/api/v1/apps", unknown).await.expect(404)["field"], "zone");

    owner.patch(&format!("{PATH}/de.example.com"), json!({ "default": true })).await.expect(200);
    assert_eq!(owner.get("/api/v1/session").await.expect(200)["zone"], "de.example.com");
    let third = owner.post("/api/v1/apps", json!({ "slug": "three" })).await.expect(201);
    assert_eq!(third["hostname"], "three.de.example.com");
    let refused = owner.delete(&format!("{PATH}/de.example.com")).await.expect(409);
    assert!(refused["message"].as_str().expect("text").contains("new apps"), "{refused}");
    owner.patch(&format!("{PATH}/route.example.com"), json!({ "default": true })).await.expect(200);
    let refused = owner.delete(&format!("{PATH}/de.example.com")).await.expect(409);
    assert!(refused["message"].as_str().expect("text").contains("2 apps"), "{refused}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_app_moves_to_another_zone_and_nobody_takes_the_dashboards_host(pool: PgPool) {
    let test = TestApp::with(pool, |config| {
        config.api_server.base_url = "https://cp.de.example.com".parse().expect("address");
    })
    .await;
    let owner = test.owner().await;
    owner.post(PATH, json!({ "suffix": "de.example.com" })).await.expect(201);
    for slug in ["hello", "cp"] {
        owner.post("/api/v1/apps", json!({ "slug": slug })).await.expect(201);
    }
    let before = generation(&test).await;
    let to = json!({ "zone": "de.example.com" });
    let moved = owner.post("/api/v1/apps/hello/zone", to.clone()).await.expect(200);
    assert_eq!(moved["hostname"], "hello.de.example.com");
    assert_eq!(generation(&test).await, before + 1);
    owner.post("/api/v1/apps/hello/zone", to.clone()).await.expect(200);
    assert_eq!(generation(&test).await, before + 1, "it was there already");
    assert_eq!(owner.post("/api/v1/apps/cp/zone", to.clone()).await.expect(422)["code"], "slug_invalid");
    let taken = json!({ "slug": "cp", "zone": "de.example.com" });
    owner.post("/api/v1/apps", taken).await.expect(422);
    test.member("acme", MemberRole::Viewer).await.post("/api/v1/apps/hello/zone", to).await.expect(403);
}

/// The next route table that the agent is sent, with its generation.
async fn table(link: &mut Link) -> (i64, Vec<String>) {
    link.until(|message| match message {
        FromControlPlane::Spec(Versioned { generation, spec: Spec::Proxy(spec) }) => {
            Some((generation, spec.routes.iter().flat_map(|route| route.hosts.clone()).collect()))
        }
        _ => None,
    })
    .await
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_worker_gets_the_table_of_its_zones_and_is_waited_for_like_a_proxy(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let worker = mesh.join("w1", &["worker"]).await;
    let proxy = mesh.join("p1", &["proxy"]).await;
    mesh.queue_build("hello").await;
    let owner = mesh.test.owner().await;
    owner.post(PATH, json!({ "suffix": "de.example.com", "worker": "w1" })).await.expect(201);
    owner.post("/api/v1/apps/hello/zone", json!({ "zone": "de.example.com" })).await.expect(200);
    let db = &mesh.test.app.db;
    sqlx::query("update deployments set state = 'live'").execute(db).await.expect("live");

    let mut of_proxy = mesh.dial(&proxy, AgentKind::Proxy, hello(Vec::new())).await;
    assert_eq!(table(&mut of_proxy).await.1, [] as [&str; 0]);
    let mut of_worker = mesh.dial(&worker, AgentKind::Ingress, hello(Vec::new())).await;
    let (generation, hosts) = table(&mut of_worker).await;
    assert_eq!(hosts, ["hello.de.example.com"]);

    let behind = async || {
        let mut conn = db.acquire().await.expect("connection");
        let proxies = nodes::store::proxies(&mut conn).await.expect("names");
        let behind = proxies.into_iter().filter(|(_, applied)| *applied < generation);
        behind.map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(behind().await, ["p1", "w1"]);
    of_proxy.say(&FromAgent::Applied(Applied { generation })).await;
    of_proxy.settle(&nothing()).await;
    assert_eq!(behind().await, ["w1"], "a roll-out waits for the worker, too");
    of_worker.say(&FromAgent::Applied(Applied { generation })).await;
    of_worker.settle(&nothing()).await;
    assert_eq!(behind().await, [] as [&str; 0]);
    // A proxy host has no zones of its own.
    assert_eq!(mesh.register(&proxy.identity.api_key, AgentKind::Ingress).await.status(), 403);
}

/// Returns once somebody waits for a lock of the test's database.
async fn until_blocked(db: &PgPool) {
    let blocked = "select exists (select from pg_stat_activity
                                  where datname = current_database() and wait_event_type = 'Lock')";
    for _ in 0..500 {
        if sqlx::query_scalar(blocked).fetch_one(db).await.expect("activity") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("nobody waits");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_zone_and_an_app_that_comes_into_it_do_not_miss_each_other(pool: PgPool) {
    let test = TestApp::new(pool).await;
    let owner = test.owner().await;
    let db = &test.app.db;
    owner.post("/api/v1/apps", json!({ "slug": "first" })).await.expect(201);
    let zone = json!({ "suffix": "de.example.com" });
    owner.post(PATH, zone.clone()).await.expect(201);
    let path = format!("{PATH}/de.example.com");

    // The app is on its way in.
    let mut tx = db.begin().await.expect("transaction");
    sqlx::query("update apps set zone_id = (select id from zones where suffix = 'de.example.com')")
        .execute(&mut *tx)
        .await
        .expect("moved");
    let (removed, ()) = tokio::join!(owner.delete(&path), async {
        until_blocked(db).await;
        tx.commit().await.expect("commit");
    });
    assert_eq!(removed.expect(409)["code"], "zone_in_use");

    // The zone is on its way out.
    owner.post("/api/v1/apps/first/zone", json!({ "zone": "route.example.com" })).await.expect(200);
    let mut tx = db.begin().await.expect("transaction");
    sqlx::query("delete from zones where suffix = 'de.example.com'")
        .execute(&mut *tx)
        .await
        .expect("deleted");
    let into = json!({ "slug": "second", "zone": "de.example.com" });
    let (created, ()) = tokio::join!(owner.post("/api/v1/apps", into), async {
        until_blocked(db).await;
        tx.commit().await.expect("commit");
    });
    assert_eq!(created.expect(404)["field"], "zone");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_direct_zone_is_warned_of_until_its_worker_listens(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let worker = mesh.join("w1", &["worker"]).await;
    let owner = mesh.test.owner().await;
    let zone = owner.post(PATH, json!({ "suffix": "de.example.com", "worker": "w1" })).await.expect(201);
    assert!(zone["warning"].as_str().is_some_and(|words| words.contains("worker.toml")), "{zone}");
    let warning = async || {
        let zones = owner.get(PATH).await.expect(200);
        zones["items"]
            .as_array()
            .expect("zones")
            .iter()
            .find_map(|zone| zone["warning"].as_str().map(str::to_owned))
    };
    let mut ingress = mesh.dial(&worker, AgentKind::Ingress, hello(Vec::new())).await;
    ingress.settle(&nothing()).await;
    assert_eq!(warning().await, None);
    sqlx::query("update agents set connected_to = null").execute(&mesh.test.app.db).await.expect("cut off");
    assert!(warning().await.is_some_and(|words| words.contains("not connected")));
}
