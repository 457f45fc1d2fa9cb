use chrono::{DateTime, TimeDelta, Utc};
use daemon::reconcile::Reconciler;
use protocol::identity::AgentKind;
use protocol::message::FromAgent;
use protocol::traffic::{AccessSample, AppTraffic, PathTraffic, TrafficReport};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use super::config::ClientAddresses;
use crate::http::permission::MemberRole;
use crate::hub::tests::{Link, Mesh, hello, nothing};
use crate::reconcile::traffic::Traffic;
use crate::testing::{Client, TestApp};

fn report(number: u64, apps: Vec<AppTraffic>) -> FromAgent {
    reported_at(Utc::now(), number, apps)
}

fn reported_at(at: DateTime<Utc>, number: u64, apps: Vec<AppTraffic>) -> FromAgent {
    FromAgent::Traffic(TrafficReport { run: Uuid::from_u128(7), number, at, apps })
}

/// So many requests that took so long, and succeeded.
fn requests(app: &str, count: u64, took_us: u64) -> AppTraffic {
    let mut traffic = AppTraffic {
        app: app.to_owned(),
        requests: [0, count, 0, 0, 0],
        received_bytes: count,
        sent_bytes: 10 * count,
        ..AppTraffic::default()
    };
    for _ in 0..count {
        traffic.latency.record(took_us);
    }
    traffic
}

fn sample(path: &str, status: u16, took_us: u64) -> AccessSample {
    AccessSample {
        at: Utc::now(),
        method: "GET".to_owned(),
        host: "hello.route.example.com".to_owned(),
        path: path.to_owned(),
        status,
        took_us,
        received_bytes: 0,
        sent_bytes: 5,
        client: [192, 0, 2, 17].into(),
        protocol: "HTTP/2.0".to_owned(),
        tls: true,
        user_agent: Some("curl".to_owned()),
        referer: None,
        upstream: Some(([10, 50, 0, 2], 20_000).into()),
    }
}

fn sampled(samples: Vec<AccessSample>) -> AppTraffic {
    AppTraffic { samples, ..requests("hello", 1, 1000) }
}

/// A control plane with the app `hello`, its owner, and a proxy `edge1`.
async fn front(pool: PgPool) -> (Mesh, Client, Link) {
    let mesh = Mesh::new(pool).await;
    let owner = mesh.test.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    let link = proxy(&mesh, "edge1").await;
    (mesh, owner, link)
}

async fn proxy(mesh: &Mesh, name: &str) -> Link {
    let joined = mesh.join(name, &["proxy"]).await;
    mesh.dial(&joined, AgentKind::Proxy, hello(Vec::new())).await
}

async fn traffic(by: &Client, range: &str) -> Value {
    by.get(&format!("/api/v1/apps/hello/traffic?range={range}")).await.expect(200)
}

async fn listed(by: &Client, query: &str) -> Value {
    by.get(&format!("/api/v1/apps/hello/requests?{query}")).await.expect(200)
}

fn paths_of(page: &Value) -> Vec<&str> {
    page["items"].as_array().expect("items").iter().map(|item| item["path"].as_str().expect("path")).collect()
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_report_that_comes_twice_counts_once_and_those_of_two_proxies_are_one_picture(pool: PgPool) {
    let (mesh, owner, mut edge1) = front(pool).await;
    let mut edge2 = proxy(&mesh, "edge2").await;
    let fast = AppTraffic {
        paths: vec![PathTraffic { path: "/users/1".to_owned(), requests: 90, errors: 9, took_us: 900_000 }],
        upstream_errors: 2,
        ..requests("hello", 90, 10_000)
    };
    let first = report(1, vec![fast.clone(), requests("unknown", 5, 1)]);
    edge1.settle(&first).await;
    edge1.settle(&first).await;
    // The same run and number of another host is another report.
    edge2.settle(&report(1, vec![requests("hello", 10, 2_000_000)])).await;
    let told = traffic(&owner, "24h").await;
    let total = &told["total"];
    assert_eq!(total["requests"], json!({ "1xx": 0, "2xx": 100, "3xx": 0, "4xx": 0, "5xx": 0 }));
    assert_eq!([&total["received_bytes"], &total["sent_bytes"], &total["upstream_errors"]], [100, 1000, 2]);
    let ms = |share: &str| total[share].as_f64().expect("ms");
    assert!(
        (ms("p50_ms") / 10.0 - 1.0).abs() < 0.25 && (ms("p95_ms") / 2000.0 - 1.0).abs() < 0.25,
        "{total}"
    );
    assert_eq!(told["paths"], json!([{ "path": "/users/*", "requests": 90, "errors": 9, "mean_ms": 10.0 }]));
    let sources: Vec<_> = told["sources"].as_array().expect("sources").iter().map(|of| &of["node"]).collect();
    assert_eq!(sources, ["edge1", "edge2"]);
    // A number that is not above the last one is dropped; the next one counts, and so does the first of another run.
    edge1.settle(&report(2, vec![fast])).await;
    edge1.settle(&report(1, vec![requests("hello", 1, 1)])).await;
    let again = TrafficReport {
        run: Uuid::from_u128(8),
        number: 1,
        at: Utc::now(),
        apps: vec![requests("hello", 1, 1)],
    };
    edge1.settle(&FromAgent::Traffic(again)).await;
    assert_eq!(traffic(&owner, "24h").await["total"]["requests"]["2xx"], 191);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn steps_and_ranges_are_told_and_an_app_without_requests_has_none(pool: PgPool) {
    let (_mesh, owner, mut edge) = front(pool).await;
    for (range, step, seconds) in [
        ("1h", 60, 3600),
        ("6h", 120, 21_600),
        ("24h", 300, 86_400),
        ("7d", 3600, 604_800),
        ("30d", 14_400, 2_592_000),
    ] {
        let told = traffic(&owner, range).await;
        assert_eq!((&told["range"], &told["step_s"]), (&json!(range), &json!(step)));
        let time = |field: &str| told[field].as_str().expect("time").parse::<DateTime<Utc>>().expect("time");
        assert_eq!((time("until") - time("from")).num_seconds(), seconds);
        assert_eq!([&told["points"], &told["paths"], &told["sources"]], [&json!([]); 3]);
        assert_eq!((&told["total"]["requests"]["2xx"], &told["total"]["p99_ms"]), (&json!(0), &json!(null)));
    }
    edge.settle(&report(1, vec![requests("hello", 3, 1000)])).await;
    for range in ["1h", "6h", "24h", "7d", "30d"] {
        let told = traffic(&owner, range).await;
        assert_eq!(told["points"].as_array().map(Vec::len), Some(1), "{range}");
        assert_eq!(told["points"][0]["requests"]["2xx"], 3, "{range}");
        assert_eq!(told["points"][0]["sent_bytes"], 30, "{range}");
    }
    let refused = owner.get("/api/v1/apps/hello/traffic?range=2h").await.expect(422);
    assert_eq!(refused["field"], "range");
    let page = listed(&owner, "").await;
    assert_eq!((&page["items"], &page["next"], &page["kept_days"]), (&json!([]), &json!(null), &json!(7)));
    assert_eq!(page["kept_since"], json!(null));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn who_may_read_the_app_sees_its_requests_and_nobody_else(pool: PgPool) {
    let app = TestApp::new(pool).await;
    app.owner().await.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    let viewer = app.member("acme", MemberRole::Viewer).await;
    let stranger = app.member("other", MemberRole::Owner).await;
    for what in ["traffic", "requests"] {
        let path = format!("/api/v1/apps/hello/{what}");
        viewer.get(&path).await.expect(200);
        stranger.get(&path).await.expect(404);
        app.anonymous().get(&path).await.expect(401);
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_worker_tells_of_the_apps_in_its_zones_alone(pool: PgPool) {
    let (mesh, owner, _edge) = front(pool).await;
    owner.post("/api/v1/apps", json!({ "slug": "near" })).await.expect(201);
    let worker = mesh.join("w1", &["worker"]).await;
    owner.post("/api/v1/zones", json!({ "suffix": "de.example.com", "worker": "w1" })).await.expect(201);
    owner.post("/api/v1/apps/near/zone", json!({ "zone": "de.example.com" })).await.expect(200);
    let of_both = |number| report(number, vec![requests("hello", 1, 1), requests("near", 1, 1)]);
    let mut ingress = mesh.dial(&worker, AgentKind::Ingress, hello(Vec::new())).await;
    ingress.settle(&of_both(1)).await;
    let mut agent = mesh.dial(&worker, AgentKind::Worker, hello(Vec::new())).await;
    agent.settle(&of_both(9)).await;
    agent.settle(&nothing()).await;
    assert_eq!(traffic(&owner, "1h").await["total"]["requests"]["2xx"], 0);
    let near = owner.get("/api/v1/apps/near/traffic").await.expect(200);
    assert_eq!(near["total"]["requests"]["2xx"], 1, "by its ingress, and not by the worker's other agent");
    assert_eq!(
        (&near["sources"][0]["node"], &near["sources"][0]["agent"]),
        (&json!("w1"), &json!("ingress"))
    );
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn requests_are_found_by_what_they_are(pool: PgPool) {
    let (_mesh, owner, mut edge) = front(pool).await;
    let other = AccessSample {
        method: "POST".to_owned(),
        host: "www.example.com".to_owned(),
        client: "2001:db8:1:2::3".parse().expect("address"),
        ..sample("/api/orders?token=hunter2", 502, 900_000)
    };
    edge.settle(&report(
        1,
        vec![sampled(vec![sample("/", 200, 1500), sample("/missing", 404, 2000), other])],
    ))
    .await;
    let all = listed(&owner, "").await;
    assert_eq!(all["items"].as_array().map(Vec::len), Some(3));
    assert!(!all.to_string().contains("hunter2"));
    let slow = &listed(&owner, "slower_than_ms=500").await["items"][0];
    assert_eq!((&slow["took_ms"], &slow["client"]), (&json!(900.0), &json!("2001:db8:1::/48")));
    assert_eq!((&slow["node"], &slow["upstream"]), (&json!("edge1"), &json!("10.50.0.2:20000")));
    let cases: [(&str, &[&str]); 10] = [
        ("status=5xx", &["/api/orders"]),
        ("status=404", &["/missing"]),
        ("method=post", &["/api/orders"]),
        ("path=/api", &["/api/orders"]),
        ("path=/a%25", &[]),
        ("host=WWW.example.com", &["/api/orders"]),
        ("client=2001:db8:1:9::1", &["/api/orders"]),
        ("client=2001:db8::/32", &["/api/orders"]),
        ("client=198.51.100.1", &[]),
        ("status=4xx&method=GET&client=192.0.2.99", &["/missing"]),
    ];
    for (query, paths) in cases {
        assert_eq!(paths_of(&listed(&owner, query).await), paths, "{query}");
    }
    for (query, field) in
        [("status=6xx", "status"), ("client=x", "client"), ("before=x", "before"), ("limit=0", "limit")]
    {
        let refused = owner.get(&format!("/api/v1/apps/hello/requests?{query}")).await.expect(422);
        assert_eq!(refused["field"], field);
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn pages_go_on_where_they_ended_whatever_comes_in_between(pool: PgPool) {
    let (_mesh, owner, mut edge) = front(pool).await;
    let at = Utc::now() - TimeDelta::seconds(60);
    let named = |path: &str, at| AccessSample { at, ..sample(path, 200, 1) };
    // Three at the same time, which only their ids tell apart.
    let first = ["/1", "/2", "/3"].map(|path| named(path, at)).to_vec();
    edge.settle(&report(1, vec![sampled(first)])).await;
    let page = listed(&owner, "limit=2").await;
    assert_eq!(paths_of(&page), ["/3", "/2"]);
    edge.settle(&report(2, vec![sampled(vec![named("/4", Utc::now())])])).await;
    let next = page["next"].as_str().expect("more");
    let rest = listed(&owner, &format!("limit=2&before={next}")).await;
    assert_eq!((paths_of(&rest), &rest["next"]), (vec!["/1"], &json!(null)));
    assert_eq!(paths_of(&listed(&owner, "limit=1").await), ["/4"]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn addresses_of_visitors_are_kept_as_the_configuration_says(pool: PgPool) {
    for (setting, client) in
        [(ClientAddresses::Full, json!("192.0.2.17")), (ClientAddresses::None, json!(null))]
    {
        sqlx::query("truncate nodes, organizations, apps cascade").execute(&pool).await.expect("empty");
        let mesh = Mesh::with(pool.clone(), |config| config.traffic.client_addresses = setting).await;
        let owner = mesh.test.owner().await;
        owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
        let mut edge = proxy(&mesh, "edge1").await;
        edge.settle(&report(1, vec![sampled(vec![sample("/", 200, 1)])])).await;
        assert_eq!(listed(&owner, "").await["items"][0]["client"], client);
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_hour_is_the_sum_of_its_minutes_and_is_told_once(pool: PgPool) {
    let (mesh, owner, mut edge) = front(pool.clone()).await;
    edge.settle(&report(1, vec![requests("hello", 7, 1000)])).await;
    // Two minutes of an hour that is over, and one of the hour before it.
    let past = super::hour(Utc::now() - TimeDelta::hours(3));
    for minutes in [-5, 5, 50] {
        sqlx::query(
            "insert into traffic_minutes
             select app_id, $1, requests, received_bytes, sent_bytes, upstream_errors, latency
             from traffic_minutes order by at desc limit 1",
        )
        .bind(past + TimeDelta::minutes(minutes))
        .execute(&pool)
        .await
        .expect("minute");
    }
    let numbers = async |range: &str| {
        let told = traffic(&owner, range).await;
        let points: Vec<u64> = told["points"]
            .as_array()
            .expect("points")
            .iter()
            .filter_map(|at| at["requests"]["2xx"].as_u64())
            .collect();
        (points, told["total"].clone())
    };
    let before = numbers("7d").await;
    assert_eq!((&before.0[..], &before.1["requests"]["2xx"]), (&[7, 14, 7][..], &json!(28)));
    let mut keeper = Traffic(mesh.test.app.clone());
    keeper.pass().await.expect("pass");
    keeper.pass().await.expect("nothing twice");
    assert_eq!(numbers("7d").await, before);
    let hours: Vec<(DateTime<Utc>, Vec<i32>, i64)> =
        sqlx::query_as("select at, requests, sent_bytes from traffic_hours order by at")
            .fetch_all(&pool)
            .await
            .expect("hours");
    let hour =
        |hours, count: i32| (past + TimeDelta::hours(hours), vec![0, count, 0, 0, 0], i64::from(count) * 10);
    assert_eq!(hours, [hour(-1, 7), hour(0, 14)]);
    // The hour that is under way, and one of which reports may still come, are not there; minutes stay for two days.
    sqlx::query("update traffic_minutes set at = at - interval '60 hours' where at < $1")
        .bind(past)
        .execute(&pool)
        .await
        .expect("older");
    keeper.pass().await.expect("pass");
    let minutes: i64 =
        sqlx::query_scalar("select count(*) from traffic_minutes").fetch_one(&pool).await.expect("count");
    assert_eq!(minutes, 3);
    assert_eq!(numbers("7d").await, before, "what is gone by the minute is there by the hour");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn minutes_that_nobody_has_added_up_are_not_deleted(pool: PgPool) {
    let (mesh, owner, mut edge) = front(pool.clone()).await;
    edge.settle(&report(1, vec![requests("hello", 7, 1000)])).await;
    sqlx::query("update traffic_minutes set at = at - interval '5 days'")
        .execute(&pool)
        .await
        .expect("older");
    super::store::keep::sweep(&pool, &mesh.test.app.config.traffic).await.expect("sweep");
    assert_eq!(traffic(&owner, "7d").await["total"]["requests"]["2xx"], 7);
    Traffic(mesh.test.app.clone()).pass().await.expect("pass");
    let minutes: i64 =
        sqlx::query_scalar("select count(*) from traffic_minutes").fetch_one(&pool).await.expect("count");
    assert_eq!((minutes, &traffic(&owner, "7d").await["total"]["requests"]["2xx"]), (0, &json!(7)));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_newest_requests_are_kept_for_their_days(pool: PgPool) {
    let mesh = Mesh::with(pool.clone(), |config| config.traffic.requests_per_app = 2).await;
    let owner = mesh.test.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    let mut edge = proxy(&mesh, "edge1").await;
    let named =
        |n: i64| AccessSample { at: Utc::now() - TimeDelta::seconds(n), ..sample(&format!("/{n}"), 200, 1) };
    edge.settle(&report(1, vec![sampled(vec![named(1), named(2), named(3), named(4)])])).await;
    let mut keeper = Traffic(mesh.test.app.clone());
    keeper.pass().await.expect("pass");
    assert_eq!(paths_of(&listed(&owner, "").await), ["/1", "/2"]);
    sqlx::query("update traffic_requests set at = at - interval '8 days' where path = '/2'")
        .execute(&pool)
        .await
        .expect("older");
    keeper.pass().await.expect("pass");
    assert_eq!(paths_of(&listed(&owner, "").await), ["/1"]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn failed_requests_are_not_driven_out_by_others(pool: PgPool) {
    let mesh = Mesh::with(pool.clone(), |config| config.traffic.requests_per_app = 4).await;
    let owner = mesh.test.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    let mut edge = proxy(&mesh, "edge1").await;
    let now = Utc::now();
    let named = |n: i64, status| AccessSample {
        at: now - TimeDelta::seconds(n),
        ..sample(&format!("/{n}"), status, 1)
    };
    let mut keeper = Traffic(mesh.test.app.clone());
    let few = [named(1, 200), named(2, 404), named(3, 200), named(4, 200), named(60, 503)];
    edge.settle(&report(1, vec![sampled(few.to_vec())])).await;
    keeper.pass().await.expect("pass");
    let page = listed(&owner, "limit=1").await;
    assert_eq!(paths_of(&listed(&owner, "").await), ["/1", "/2", "/3", "/60"]);
    let since = page["kept_since"].as_str().expect("a time").parse::<DateTime<Utc>>().expect("a time");
    let off = (now - TimeDelta::seconds(60) - since).abs();
    assert!(off < TimeDelta::milliseconds(1), "{since}: also where the oldest is not on the page");
    // Nor the others by them.
    edge.settle(&report(2, vec![sampled((5..=9).map(|n| named(n, 500)).collect())])).await;
    keeper.pass().await.expect("pass");
    assert_eq!(paths_of(&listed(&owner, "").await), ["/1", "/2", "/5", "/6"]);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn where_no_requests_are_kept_nobody_is_told_of_days(pool: PgPool) {
    let mesh = Mesh::with(pool, |config| config.traffic.requests_per_app = 0).await;
    let owner = mesh.test.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
    assert_eq!(listed(&owner, "").await["kept_days"], 0);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_app_whose_paths_are_all_different_fills_nothing_up(pool: PgPool) {
    let (_mesh, owner, mut edge) = front(pool.clone()).await;
    let at = Utc::now();
    let path = |path: String, requests| PathTraffic { path, requests, errors: 0, took_us: 1000 };
    for number in 1..=30 {
        let mut paths = vec![path("/".to_owned(), 5)];
        paths.extend((1..20).map(|n| path(format!("/of-{number}-{n}"), 1)));
        let hello = AppTraffic { paths, ..requests("hello", 24, 1000) };
        edge.settle(&reported_at(at, number, vec![hello])).await;
    }
    let held: i64 =
        sqlx::query_scalar("select count(*) from traffic_paths").fetch_one(&pool).await.expect("count");
    assert!((100..=200).contains(&held), "{held}");
    let told = traffic(&owner, "1h").await;
    assert_eq!((&told["paths"][0]["path"], &told["paths"][0]["requests"]), (&json!("/"), &json!(150)));
    assert_eq!(told["paths"].as_array().map(Vec::len), Some(20));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn what_a_strange_agent_says_is_taken_within_bounds_and_its_connection_stays(pool: PgPool) {
    let (_mesh, owner, mut edge) = front(pool).await;
    let huge = AppTraffic {
        requests: [u64::MAX; 5],
        received_bytes: u64::MAX,
        sent_bytes: u64::MAX,
        upstream_errors: u64::MAX,
        samples: vec![AccessSample {
            took_us: u64::MAX,
            method: "\u{0}".to_owned(),
            user_agent: Some("x".repeat(5000)),
            at: DateTime::UNIX_EPOCH,
            ..sample("", u16::MAX, 0)
        }],
        paths: vec![
            PathTraffic {
                path: "x".repeat(5000),
                requests: u64::MAX,
                errors: u64::MAX,
                took_us: u64::MAX
            };
            50
        ],
        ..requests("hello", 1, u64::MAX)
    };
    let at = Utc::now();
    for number in 1..=3 {
        edge.settle(&reported_at(at, number, vec![huge.clone(), huge.clone()])).await;
    }
    for _ in 0..2 {
        edge.settle(&reported_at(DateTime::UNIX_EPOCH, u64::MAX, vec![requests("hello", 1, 1)])).await;
    }
    let told = traffic(&owner, "1h").await;
    assert_eq!(told["total"]["requests"]["4xx"], i32::MAX);
    let sum = 3 * (1_i64 << 42);
    assert_eq!(told["total"]["upstream_errors"], sum);
    assert_eq!(told["total"]["received_bytes"], sum + 1, "now, not in 1970, and once");
    assert_eq!(listed(&owner, "").await["items"].as_array().map(Vec::len), Some(3));
}
