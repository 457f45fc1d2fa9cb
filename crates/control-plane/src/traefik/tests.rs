use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt;

use crate::generations::{self, Consumer};
use crate::http;
use crate::testing::TestApp;

const BOOTSTRAP: &str = "proxy-token-for-tests";
const PROXIES: &str = "/v1/traefik/proxy-config";

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

async fn get(test: &TestApp, path: &str, token: &str, tag: Option<&str>) -> Got {
    let mut request = Request::get(path).header("authorization", format!("Bearer {token}"));
    if let Some(tag) = tag {
        request = request.header("if-none-match", tag);
    }
    let router = http::mesh_router(&test.app, None);
    let response = router.oneshot(request.body(Body::empty()).expect("request")).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.expect("body");
    Got { status: parts.status, headers: parts.headers, body }
}

async fn raise(test: &TestApp) {
    let mut conn = test.app.db.acquire().await.expect("connection");
    generations::raise(&mut conn, Consumer::Routes).await.expect("generation");
}

async fn run(pool: &PgPool, statements: &[&'static str]) {
    for statement in statements {
        sqlx::query(*statement).execute(pool).await.expect(statement);
    }
}

/// So many apps with a healthy instance each on one worker, in the zone of the configuration.
async fn apps(test: &TestApp, count: i32) {
    test.owner().await;
    let all = [
        "insert into nodes (id, name, roles, origin, mesh_address, public_key)
         select gen_random_uuid(), 'w1', '{worker}', 'enrolled', '10.50.0.7', 'key' where $1 > 0",
        "insert into apps (id, environment_id, zone_id, slug, settings)
         select gen_random_uuid(), environments.id, zones.id, 'app' || n, '{}'
         from environments, zones, generate_series(1, $1) n",
        "insert into releases (id, app_id, number, image_id, image_reference, settings, variables)
         select gen_random_uuid(), id, 1, '', '', '{}', '' from apps where $1 > 0",
        "insert into deployments (id, app_id, number, kind, settings, variables, created_by, state)
         select gen_random_uuid(), id, 1, 'build', '{}', '', 'test', 'live' from apps where $1 > 0",
        "insert into instances (id, app_id, release_id, deployment_id, node_id, host_port, in_rotation, state)
         select gen_random_uuid(), apps.id, releases.id, deployments.id, nodes.id,
                19999 + row_number() over (), true, 'healthy'
         from nodes, apps join releases on releases.app_id = apps.id
              join deployments on deployments.app_id = apps.id where $1 > 0",
    ];
    for statement in all {
        sqlx::query(statement).bind(count).execute(&test.app.db).await.expect(statement);
    }
    raise(test).await;
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn the_same_table_has_the_same_tag_and_only_that_tag_is_not_modified(pool: PgPool) {
    let test = TestApp::new(pool).await;
    assert_eq!(get(&test, PROXIES, "wrong", None).await.status, 401);
    let first = get(&test, PROXIES, BOOTSTRAP, None).await;
    assert_eq!((first.status, &first.body[..]), (StatusCode::OK, &b"{}"[..]));
    let tag = first.headers["etag"].to_str().expect("text").to_owned();
    assert!(tag.starts_with('"'), "strong: {tag}");
    assert_eq!(get(&test, PROXIES, BOOTSTRAP, Some(&tag)).await.status, 304);
    assert_eq!(get(&test, PROXIES, BOOTSTRAP, Some("\"other\"")).await.status, 200);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn what_was_rendered_is_served_without_reading_the_tables_until_the_generation_rises(pool: PgPool) {
    let test = TestApp::new(pool).await;
    apps(&test, 3).await;
    let first = get(&test, PROXIES, BOOTSTRAP, None).await.body;
    let text = String::from_utf8_lossy(&first);
    assert!(text.contains("app3.route.example.com") && text.contains("10.50.0.7:20000"), "{text}");
    // What made the table is gone: only remembered bytes can be an answer.
    run(&test.app.db, &["alter view served_apps rename to hidden"]).await;
    let again = get(&test, PROXIES, BOOTSTRAP, None).await;
    assert_eq!((again.status, again.body), (StatusCode::OK, first.clone()));
    run(
        &test.app.db,
        &[
            "alter view hidden rename to served_apps",
            "update instances set in_rotation = false",
            "update deployments set state = 'superseded'",
        ],
    )
    .await;
    assert_eq!(get(&test, PROXIES, BOOTSTRAP, None).await.body, first, "nobody said that anything changed");
    raise(&test).await;
    assert_eq!(
        &get(&test, PROXIES, BOOTSTRAP, None).await.body[..],
        b"{}",
        "the last app has left no section"
    );
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn ten_thousand_routes_cost_less_than_five_milliseconds_of_cpu(pool: PgPool) {
    const POLLS: u32 = 50;
    let test = TestApp::new(pool).await;
    apps(&test, 10_000).await;
    let size = get(&test, PROXIES, BOOTSTRAP, None).await.body.len();
    assert!(size > 1_000_000, "{size}");
    let before = cpu_ns();
    for _ in 0..POLLS {
        assert_eq!(get(&test, PROXIES, BOOTSTRAP, None).await.body.len(), size);
    }
    let each = (cpu_ns() - before) / u64::from(POLLS);
    println!("{size} bytes in {} µs of CPU", each / 1000);
    assert!(each < 5_000_000, "{each} ns");
}

/// Of this thread, on which the test's runtime does everything.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat");
    text.split(' ').next().and_then(|first| first.parse().ok()).expect("a number")
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_worker_has_the_apps_of_its_direct_zones_which_the_proxies_then_leave_alone(pool: PgPool) {
    let test = TestApp::new(pool).await;
    apps(&test, 2).await;
    let worker: String =
        sqlx::query_scalar("select id::text from nodes").fetch_one(&test.app.db).await.expect("node");
    let own = format!("/v1/traefik/config?worker_id={worker}");
    assert_eq!(&get(&test, &own, BOOTSTRAP, None).await.body[..], b"{}");
    run(&test.app.db, &["update zones set mode = 'direct', worker_id = (select id from nodes)"]).await;
    raise(&test).await;
    let body = get(&test, &own, BOOTSTRAP, None).await.body;
    let table: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(table["http"]["routers"].as_object().expect("routers").len(), 2, "{table}");
    assert!(!table.to_string().contains("websecure"), "{table}");
    assert_eq!(&get(&test, PROXIES, BOOTSTRAP, None).await.body[..], b"{}");
    let nobody = "/v1/traefik/config?worker_id=0198c0de-0000-7000-8000-000000000000";
    assert_eq!(get(&test, nobody, BOOTSTRAP, None).await.status, 404);
    assert_eq!(get(&test, "/v1/traefik/config?worker_id=1", BOOTSTRAP, None).await.status, 422);

    // A token of the worker reads this table and no other.
    let owner = test.owner().await;
    let made = owner.post("/api/v1/route-tokens", json!({ "name": "w1", "worker": "w1" })).await.expect(201);
    let token = made["token"].as_str().expect("token");
    assert!(made["endpoint"].as_str().expect("endpoint").ends_with(&own), "{made}");
    assert_eq!(get(&test, &own, token, None).await.body, body);
    assert_eq!(get(&test, PROXIES, token, None).await.status, 403);
}
