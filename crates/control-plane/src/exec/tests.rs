//! Sessions from a client to a worker that is played by the test, over real sockets.

mod fresh;

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::ws::{Message as Frame, WebSocket};
use axum::extract::{Path, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::routing::get;
use chrono::Utc;
use futures_util::{SinkExt, StreamExt};
use protocol::exec::{ExecTicket, FromProgram, Open, Size, channel, frame};
use protocol::identity::SigningKey;
use protocol::ids::{AppId, ExecId, InstanceId, NodeId};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{ExecRequest, check, choose, store};
use crate::config::Config;
use crate::http::caller::{Caller, Via};
use crate::http::permission::MemberRole;
use crate::http::{self, listen};
use crate::hub::tests::Mesh;
use crate::nodes::ports;
use crate::testing::Client;

const SOON: Duration = Duration::from_secs(10);

/// A control plane with an app that runs on one worker.
pub(crate) struct World {
    pub(crate) mesh: Mesh,
    pub(crate) owner: Client,
    public: SocketAddr,
    pub(crate) instance: InstanceId,
    pub(crate) key: SigningKey,
    /// The worker's own address on loopback.
    worker: SocketAddr,
    tasks: JoinSet<()>,
    _stop: DropGuard,
}

impl World {
    /// `place` is the last number of the worker's address: tests run beside each other.
    pub(crate) async fn new(pool: PgPool, place: u8, change: impl FnOnce(&mut Config)) -> Self {
        let mesh = Mesh::with(pool, change).await;
        let worker = SocketAddr::from(([127, 77, 0, place], ports::WORKER));
        let joined = mesh.join("w1", &["worker"]).await;
        let owner = mesh.test.owner().await;
        let app = owner.post("/api/v1/apps", json!({ "slug": "hello" })).await.expect(201);
        let app: AppId = serde_json::from_value(app["id"].clone()).expect("id");
        let instance = InstanceId::new();
        run(&mesh.test.app.db, app, joined.identity.node_id, worker, instance).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let public = listener.local_addr().expect("address");
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let served = listen::serve(listener, http::public_router(&mesh.test.app), stop.clone());
        tasks.spawn(async move { served.await.expect("serves") });
        let key = joined.identity.api_key.signing_key();
        Self { mesh, owner, public, instance, key, worker, tasks, _stop: stop.drop_guard() }
    }

    /// The worker answers from now on.
    pub(crate) async fn serve(&mut self, router: axum::Router) {
        let listener = TcpListener::bind(self.worker).await.expect("bind");
        self.tasks.spawn(async move { axum::serve(listener, router).await.expect("serves") });
    }

    /// It does as `echo` does.
    async fn start_worker(&mut self) {
        let key = self.key.clone();
        let program = move |Path((instance, session)): Path<(InstanceId, ExecId)>,
                            headers: HeaderMap,
                            socket: WebSocketUpgrade| async move {
            let bearer = headers["authorization"].to_str().expect("text").trim_start_matches("Bearer ");
            assert!((ExecTicket { session, instance }).is(bearer, &key, Utc::now().timestamp()));
            socket.on_upgrade(echo)
        };
        self.serve(axum::Router::new().route("/v1/instances/{instance}/exec/{session}", get(program))).await;
    }

    async fn ask(&self, body: Value) -> Value {
        self.owner.post("/api/v1/apps/hello/exec", body).await.expect(201)
    }

    async fn attach(&self, id: &Value, headers: &[(&'static str, &str)]) -> Result<Session, SocketError> {
        let url = format!("ws://{}/api/v1/exec/{}", self.public, id.as_str().expect("id"));
        let mut request = url.into_client_request().expect("request");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("header"));
        }
        connect_async(request).await.map(|(socket, _)| Session(socket))
    }

    fn bearer(client: &Client) -> String {
        format!("Bearer {}", client.token.as_deref().expect("a token"))
    }

    async fn session(&self, body: Value) -> Session {
        let asked = self.ask(body).await;
        self.attach(&asked["id"], &[("authorization", &Self::bearer(&self.owner))]).await.expect("attached")
    }

    pub(crate) async fn audit(&self, action: &str) -> Option<Value> {
        let page = self.owner.get("/api/v1/audit").await.expect(200);
        page["items"].as_array().expect("items").iter().find(|event| event["action"] == action).cloned()
    }

    /// What was written down when a session ended.
    async fn ended(&self) -> Value {
        let wait = async {
            loop {
                if let Some(event) = self.audit("exec.end").await {
                    return event;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, wait).await.expect("the session ends")
    }
}

/// Says the command, then what it is told; ends with 3 at the end of its input.
async fn echo(mut socket: WebSocket) {
    let Some(Ok(Frame::Text(open))) = socket.recv().await else { panic!("no command") };
    let open: Open = serde_json::from_str(&open).expect("a command");
    let command = open.command.join(" ");
    socket.send(Frame::Binary(frame(channel::STDERR, command.as_bytes()).into())).await.expect("sent");
    while let Some(Ok(message)) = socket.recv().await {
        let answer = match message {
            Frame::Binary(data) if data.len() == 1 => {
                Frame::Text(FromProgram::Exit { code: 3 }.to_json().into())
            }
            Frame::Binary(data) => Frame::Binary(frame(channel::STDOUT, &data[1..]).into()),
            Frame::Text(text) => Frame::Binary(frame(channel::STDOUT, text.as_bytes()).into()),
            _ => continue,
        };
        if socket.send(answer).await.is_err() {
            return;
        }
    }
}

struct Session(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Session {
    async fn input(&mut self, data: &[u8]) {
        self.0.send(Message::binary(frame(channel::STDIN, data))).await.expect("sent");
    }

    async fn next(&mut self) -> Message {
        loop {
            match timeout(SOON, self.0.next()).await.expect("in time").expect("open").expect("a frame") {
                Message::Ping(_) => {}
                other => return other,
            }
        }
    }

    async fn data(&mut self) -> Vec<u8> {
        self.next().await.into_data().to_vec()
    }

    async fn last(&mut self) -> FromProgram {
        loop {
            if let Message::Text(text) = self.next().await {
                return serde_json::from_str(&text).expect("last words");
            }
        }
    }
}

async fn run(pool: &PgPool, app: AppId, node: NodeId, worker: SocketAddr, instance: InstanceId) {
    sqlx::query("update nodes set mesh_address = $2 where id = $1")
        .bind(node)
        .bind(ipnet::IpNet::from(worker.ip()))
        .execute(pool)
        .await
        .expect("address");
    sqlx::query(
        "with d as (
             insert into deployments (id, app_id, number, kind, settings, variables, created_by)
             values (gen_random_uuid(), $1, 1, 'build', '{}', '', 'test') returning id
         ), r as (
             insert into releases (id, app_id, number, image_id, image_reference, settings, variables)
             values (gen_random_uuid(), $1, 1, 'sha256:aa', 'a', '{}', '') returning id
         )
         insert into instances (id, app_id, release_id, deployment_id, node_id, host_port, state, in_rotation)
         select $2, $1, r.id, d.id, $3, 20000, 'healthy', true from r, d",
    )
    .bind(app)
    .bind(instance)
    .bind(node)
    .execute(pool)
    .await
    .expect("instance");
}

/// Whoever asked for the last session, by the newest token.
async fn caller(pool: &PgPool) -> Caller {
    let token = sqlx::query_scalar("select max(id::text)::uuid from api_tokens").fetch_one(pool).await;
    let user = sqlx::query_scalar("select user_id from exec_sessions order by created_at desc limit 1");
    let organization = sqlx::query_scalar("select id from organizations").fetch_one(pool).await;
    Caller {
        user_id: user.fetch_one(pool).await.expect("user"),
        email: String::new(),
        name: String::new(),
        organization_id: organization.expect("one"),
        role: MemberRole::Owner,
        via: Via::Token(token.expect("a token")),
        address: None,
    }
}

fn sh() -> Value {
    json!({ "command": ["sh", "-c", "top secret"], "terminal": { "cols": 80, "rows": 24 } })
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_session_passes_frames_on_and_leaves_who_and_how_long(pool: PgPool) {
    let mut world = World::new(pool, 1, |_| {}).await;
    world.start_worker().await;
    let mut session = world.session(sh()).await;
    assert_eq!(session.data().await, frame(channel::STDERR, b"sh -c top secret"));
    session.input(b"typed").await;
    assert_eq!(session.data().await, frame(channel::STDOUT, b"typed"));
    let resize = r#"{"type":"resize","cols":100,"rows":30}"#;
    session.0.send(Message::text(resize)).await.expect("sent");
    assert_eq!(session.data().await, frame(channel::STDOUT, resize.as_bytes()));
    // A browser cannot stop reading; it says so, and nothing comes until it can go on.
    session.0.send(Message::text(r#"{"type":"pause"}"#)).await.expect("sent");
    session.input(b"later").await;
    let quiet = timeout(Duration::from_millis(300), session.data()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    session.0.send(Message::text(r#"{"type":"resume"}"#)).await.expect("sent");
    assert_eq!(session.data().await, frame(channel::STDOUT, b"later"));
    session.input(b"").await;
    assert_eq!(session.last().await, FromProgram::Exit { code: 3 });

    let end = world.ended().await;
    assert_eq!((&end["detail"]["reason"], &end["detail"]["exit_code"]), (&json!("exit"), &json!(3)));
    assert!(end["detail"]["seconds"].is_number() && end["target"] == "app:hello", "{end}");
    let start = world.audit("exec.start").await.expect("written down");
    assert_eq!(start["detail"]["command"], json!(["sh", "-c", "top secret"]));
    let everything = world.owner.get("/api/v1/audit").await.expect(200).to_string();
    assert!(!everything.contains("typed"), "{everything}");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn only_its_owner_attaches_once_and_from_our_pages(pool: PgPool) {
    let mut world = World::new(pool, 2, |_| {}).await;
    world.start_worker().await;
    let status = |attached: Result<Session, SocketError>| match attached {
        Err(SocketError::Http(answer)) => answer.status().as_u16(),
        Err(other) => panic!("{other}"),
        Ok(_) => 101,
    };
    // Members of another organization do not see the app, and nobody attaches to another's session.
    let stranger = world.mesh.test.member("other", MemberRole::Owner).await;
    stranger.post("/api/v1/apps/hello/exec", sh()).await.expect(404);
    let id = world.ask(sh()).await["id"].clone();
    let colleague = world.mesh.test.member("acme", MemberRole::Admin).await;
    for other in [&stranger, &colleague] {
        assert_eq!(status(world.attach(&id, &[("authorization", &World::bearer(other))]).await), 404);
    }
    assert_eq!(status(world.attach(&id, &[]).await), 401);
    let bearer = World::bearer(&world.owner);
    let foreign = [("authorization", bearer.as_str()), ("origin", "https://evil.example")];
    assert_eq!(status(world.attach(&id, &foreign).await), 403);
    let origin = format!("http://{}", world.public);
    let own = [("authorization", bearer.as_str()), ("origin", origin.as_str())];
    let attached = world.attach(&id, &own).await;
    assert!(attached.is_ok());
    assert_eq!(status(world.attach(&id, &own).await), 404, "a second time");
    let plain = world.owner.get(&format!("/api/v1/exec/{}", id.as_str().expect("id"))).await;
    assert_eq!(plain.expect(400)["code"], "bad_request");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_session_ends_at_its_limits_and_with_the_right_to_it(pool: PgPool) {
    let mut world = World::new(pool.clone(), 3, |config| {
        config.limits.exec_idle_s = 1;
        config.limits.exec_sessions = 1;
    })
    .await;
    let end = |said: FromProgram| match said {
        FromProgram::Failed { code, hint, .. } => (code, hint.expect("a remedy")),
        FromProgram::Exit { code } => panic!("exit {code}"),
    };
    // Nobody listens at the worker's address yet.
    let mut session = world.session(sh()).await;
    assert_eq!(end(session.last().await).0, "worker_unreachable");
    world.ended().await;
    world.start_worker().await;
    let mut session = world.session(sh()).await;
    let refused = world.owner.post("/api/v1/apps/hello/exec", sh()).await.expect(429);
    assert!(refused["hint"].as_str().expect("hint").contains("exec_sessions"), "{refused}");
    assert_eq!(end(session.last().await).0, "idle");
    // Ended ones do not count, and what is no input ends one too.
    let mut session = world.session(sh()).await;
    session.0.send(Message::text(r#"{"type":"resize","cols":0,"rows":30}"#)).await.expect("sent");
    assert_eq!(end(session.last().await).0, "bad_frame");

    let id: ExecId = serde_json::from_value(world.ask(sh()).await["id"].clone()).expect("id");
    let caller = caller(&pool).await;
    assert!(store::beat(&pool, &caller, id).await.expect("beat"));
    let set = |role: MemberRole| sqlx::query("update members set role = $1").bind(role).execute(&pool);
    set(MemberRole::Viewer).await.expect("role");
    assert!(!store::beat(&pool, &caller, id).await.expect("beat"), "a viewer now");
    set(MemberRole::Owner).await.expect("role");
    sqlx::query("delete from api_tokens").execute(&pool).await.expect("revoked");
    assert!(!store::beat(&pool, &caller, id).await.expect("beat"), "by a token that was revoked");

    sqlx::query("update exec_sessions set seen_at = now() - interval '2 minutes' where ended_at is null")
        .execute(&pool)
        .await
        .expect("its control plane died");
    let mut conn = pool.acquire().await.expect("connection");
    store::sweep(&mut conn).await.expect("sweep");
    let reason: Option<String> = sqlx::query_scalar("select reason from exec_sessions where id = $1")
        .bind(id)
        .fetch_one(&pool)
        .await
        .expect("session");
    assert_eq!(reason.as_deref(), Some("lost"));
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn what_cannot_run_is_told_before_anything_is_attached(pool: PgPool) {
    let world = World::new(pool.clone(), 4, |_| {}).await;
    let path = "/api/v1/apps/hello/exec";
    for (body, field) in [
        (json!({ "command": [] }), "command"),
        (json!({ "command": ["a\0b"] }), "command"),
        (json!({ "command": ["x".repeat(20_000)] }), "command"),
        (json!({ "command": ["sh"], "terminal": { "cols": 0, "rows": 1 } }), "terminal"),
    ] {
        assert_eq!(world.owner.post(path, body).await.expect(422)["field"], field);
    }
    let elsewhere = json!({ "command": ["sh"], "instance": InstanceId::new() });
    assert_eq!(world.owner.post(path, elsewhere).await.expect(404)["code"], "not_found");
    let here = world.ask(json!({ "command": ["sh"], "instance": world.instance })).await;
    assert_eq!((&here["node"], &here["release"]), (&json!("w1"), &json!(1)));
    sqlx::query("update instances set state = 'exited'").execute(&pool).await.expect("state");
    assert_eq!(world.owner.post(path, sh()).await.expect(409)["code"], "not_running");
}

#[test]
fn a_healthy_instance_of_the_newest_release_is_the_best() {
    use protocol::report::InstanceState::{Exited, Healthy, Starting};
    let instance = |release, state, wanted| crate::apps::instances::Instance {
        id: InstanceId::new(),
        node: crate::apps::instances::NodeRef { id: NodeId::new(), name: "w".to_owned() },
        release,
        wanted,
        in_rotation: wanted,
        state,
        address: None,
        restarts: 0,
        exit_code: None,
        started_at: None,
        observed_at: None,
        unknown_since: None,
        probe: None,
        failure: None,
        resources: protocol::spec::Resources::default(),
        isolation: protocol::spec::Isolation::default(),
        unenforced: Vec::new(),
        stats: None,
    };
    let all = vec![
        instance(1, Healthy, true),
        instance(2, Healthy, true),
        instance(3, Starting, true),
        instance(4, Exited, true),
        instance(5, Healthy, false),
    ];
    assert_eq!(choose("a", all.clone(), None).expect("one").release, 2);
    assert_eq!(choose("a", all.clone(), Some(all[2].id)).expect("asked for").release, 3);
    assert!(choose("a", all.clone(), Some(all[3].id)).is_err());
    let request =
        |terminal| ExecRequest { command: vec!["sh".to_owned()], instance: None, fresh: false, terminal };
    assert!(check(&request(Some(Size { cols: 1000, rows: 1 }))).is_ok());
    assert!(check(&request(Some(Size { cols: 1001, rows: 1 }))).is_err());
}
