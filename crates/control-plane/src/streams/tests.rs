use axum::http::Method;
use protocol::identity::AgentKind;
use protocol::message::FromAgent;
use protocol::stream::{StreamProblem, StreamProtocol, StreamReport};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::db::MIGRATIONS;
use crate::generations::{self, Consumer};
use crate::http::permission::MemberRole;
use crate::hub::tests::{Mesh, hello, nothing};
use crate::testing::{Answer, Client, TestApp};

const STREAMS: &str = "/api/v1/apps/db/streams";

async fn world(pool: PgPool) -> (TestApp, Client) {
    let app = TestApp::with(pool, |config| {
        config.proxy.stream_ports = "30000-30001, 5432".parse().expect("ports");
    })
    .await;
    let owner = app.owner().await;
    for slug in ["db", "game"] {
        owner.post("/api/v1/apps", json!({ "slug": slug })).await.expect(201);
    }
    (app, owner)
}

async fn put(client: &Client, path: &str, body: Value) -> Answer {
    client.send(Method::PUT, path, Some(body)).await
}

async fn generation(app: &TestApp) -> i64 {
    let mut conn = app.app.db.acquire().await.expect("connection");
    generations::current(&mut conn, Consumer::Routes).await.expect("generation")
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_stream_is_added_changed_and_removed_and_proxies_hear_of_each(pool: PgPool) {
    let (app, owner) = world(pool).await;
    let before = generation(&app).await;
    let added = owner.post(STREAMS, json!({ "protocol": "tcp" })).await.expect(201);
    assert_eq!(
        (added["port"].as_u64(), &added["address"]),
        (Some(30000), &json!("db.route.example.com:30000"))
    );
    assert_eq!(
        (&added["max_connections"], &added["idle_timeout_s"], &added["allow"]),
        (&json!(1000), &json!(3600), &json!([]))
    );
    assert!(added["warning"].as_str().is_some_and(|told| told.contains("No proxy")), "{added}");
    let options = json!({ "allow": ["192.0.2.1"], "tls": "db.route.example.com", "max_connections": 5 });
    let changed = put(&owner, &format!("{STREAMS}/tcp/30000"), options).await.expect(200);
    assert_eq!((&changed["allow"], &changed["max_connections"]), (&json!(["192.0.2.1/32"]), &json!(5)));
    let named = put(&owner, &format!("{STREAMS}/udp/5432"), json!({})).await.expect(200);
    assert_eq!(named["idle_timeout_s"], 60);
    let list = owner.get(STREAMS).await.expect(200);
    let ports: Vec<_> = list["items"].as_array().expect("items").iter().map(|item| &item["port"]).collect();
    assert_eq!((ports, &list["ports"]), (vec![&json!(5432), &json!(30000)], &json!("30000-30001, 5432")));
    owner.delete(&format!("{STREAMS}/udp/5432")).await.expect(204);
    owner.delete(&format!("{STREAMS}/udp/5432")).await.expect(404);
    assert_eq!(generation(&app).await, before + 4);
    let events = owner.get("/api/v1/audit").await.expect(200);
    let actions: Vec<_> =
        events["items"].as_array().expect("items").iter().map(|event| &event["action"]).collect();
    assert_eq!(actions[..4], ["stream.remove", "stream.add", "stream.update", "stream.add"]);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn a_port_is_one_apps_and_one_for_streams(pool: PgPool) {
    let (_app, owner) = world(pool).await;
    let game = "/api/v1/apps/game/streams";
    owner.post(STREAMS, json!({ "protocol": "tcp", "port": 5432 })).await.expect(201);
    for (protocol, port, code) in
        [("tcp", 5432, 409), ("udp", 5432, 409), ("tcp", 443, 422), ("tcp", 20000, 422), ("udp", 4000, 422)]
    {
        let refused = owner.post(game, json!({ "protocol": protocol, "port": port })).await.expect(code);
        assert_eq!(refused["field"], "port", "{refused}");
        put(&owner, &format!("{game}/{protocol}/{port}"), json!({})).await.expect(code);
    }
    owner.post(STREAMS, json!({ "protocol": "tcp", "port": 5432 })).await.expect(409);
    owner.post(STREAMS, json!({ "protocol": "udp", "port": 5432 })).await.expect(201);
    for port in [30000, 30001] {
        assert_eq!(owner.post(game, json!({ "protocol": "udp" })).await.expect(201)["port"], port);
    }
    let full = owner.post(game, json!({ "protocol": "udp" })).await.expect(422);
    assert!(full["hint"].as_str().is_some_and(|hint| hint.contains("stream_ports")), "{full}");
    owner.delete(&format!("{game}/udp/30000")).await.expect(204);
    assert_eq!(owner.post(STREAMS, json!({ "protocol": "tcp" })).await.expect(201)["port"], 30000);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn of_many_who_want_one_port_at_once_one_gets_it_and_the_others_are_told(pool: PgPool) {
    let (app, owner) = world(pool).await;
    let want = |app: &str, protocol: &str, port: Option<u16>| {
        let (owner, path) = (owner.clone(), format!("/api/v1/apps/{app}/streams"));
        let body = json!({ "protocol": protocol, "port": port });
        async move { owner.post(&path, body).await.status.as_u16() }
    };
    let (one, two, three, four) = tokio::join!(
        want("db", "tcp", Some(5432)),
        want("game", "udp", Some(5432)),
        want("game", "tcp", Some(5432)),
        want("db", "tcp", Some(5432)),
    );
    let mut codes = [one, two, three, four];
    codes.sort_unstable();
    assert!(
        codes[..2] == [201, 201] && codes[2..] == [409, 409] || codes == [201, 409, 409, 409],
        "{codes:?}"
    );
    let owners: i64 = sqlx::query_scalar("select count(distinct app_id) from streams where port = 5432")
        .fetch_one(&app.app.db)
        .await
        .expect("count");
    assert_eq!(owners, 1);
    let (one, two, three) =
        tokio::join!(want("db", "tcp", None), want("game", "tcp", None), want("game", "udp", None));
    let mut codes = [one, two, three];
    codes.sort_unstable();
    assert_eq!(codes, [201, 201, 422], "there are two ports");
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn who_may_only_look_may_only_look(pool: PgPool) {
    let (app, _owner) = world(pool).await;
    let viewer = app.member("acme", MemberRole::Viewer).await;
    viewer.get(STREAMS).await.expect(200);
    viewer.post(STREAMS, json!({ "protocol": "tcp" })).await.expect(403);
    viewer.delete(&format!("{STREAMS}/tcp/30000")).await.expect(403);
    app.member("other", MemberRole::Owner).await.get(STREAMS).await.expect(404);
}

#[sqlx::test(migrator = "MIGRATIONS")]
async fn what_a_proxy_cannot_listen_on_is_shown_until_it_can(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let owner = mesh.test.owner().await;
    owner.post("/api/v1/apps", json!({ "slug": "db" })).await.expect(201);
    owner.post(STREAMS, json!({ "protocol": "tcp" })).await.expect(201);
    let proxy = mesh.join("p1", &["proxy"]).await;
    let mut proxy = mesh.dial(&proxy, AgentKind::Proxy, hello(Vec::new())).await;
    let problem = |port, problem: &str| StreamProblem {
        protocol: StreamProtocol::Tcp,
        port,
        problem: problem.to_owned(),
    };
    // Of a stream that is gone by now as well, and twice.
    let told = vec![problem(30000, "in use"), problem(31000, "in use"), problem(30000, "in use")];
    for (problems, shown) in [(told, 1), (vec![problem(30000, "not allowed")], 1), (Vec::new(), 0)] {
        let expected = problems.first().map(|problem| problem.problem.clone());
        proxy.say(&FromAgent::Streams(StreamReport { problems })).await;
        proxy.settle(&nothing()).await;
        let list = owner.get(STREAMS).await.expect(200);
        let issues = list["items"][0]["problems"].as_array().expect("problems").clone();
        assert_eq!(issues.len(), shown, "{list}");
        if let Some(issue) = issues.first() {
            assert_eq!((&issue["node"], issue["problem"].as_str()), (&json!("p1"), expected.as_deref()));
        }
    }
}
