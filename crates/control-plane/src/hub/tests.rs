//! The hub over real sockets on loopback.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use futures_util::{SinkExt, StreamExt};
use protocol::enrol::{AccessToken, Joined};
use protocol::envelope::{MessageId, Receiver, Sender};
use protocol::identity::{AgentKind, ApiKey};
use protocol::ids::{AppId, DeploymentId, InstanceId, JobId, NodeId};
use protocol::job::{Build, BuildLimits, Outcome, Source, Work};
use protocol::message::{FromAgent, FromControlPlane, JobDone};
use protocol::report::{Hello, HostFacts, InstanceLog, JobLog, LogLine, OperatingSystem, Stream};
use serde_json::json;
use sqlx::PgPool;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::http::{self, listen};
use crate::jobs;
use crate::testing::TestApp;

/// A control plane with its mesh listener on loopback.
pub(crate) struct Mesh {
    pub(crate) test: TestApp,
    pub(crate) address: SocketAddr,
    http: reqwest::Client,
    _stop: DropGuard,
    _server: tokio::task::JoinSet<anyhow::Result<()>>,
}

impl Mesh {
    pub(crate) async fn new(pool: PgPool) -> Self {
        Self::with(pool, |_| {}).await
    }

    pub(crate) async fn with(pool: PgPool, change: impl FnOnce(&mut crate::config::Config)) -> Self {
        let test = TestApp::with(pool, change).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let stop = CancellationToken::new();
        let mut server = tokio::task::JoinSet::new();
        server.spawn(listen::serve(listener, http::mesh_router(&test.app, None), stop.clone()));
        let http = daemon::http::client(&daemon::http::ClientOptions::default()).expect("client");
        Self { test, address, http, _stop: stop.drop_guard(), _server: server }
    }

    /// A node that has joined by a token.
    pub(crate) async fn join(&self, name: &str, roles: &[&str]) -> Joined {
        let owner = self.test.owner().await;
        let token = owner.post("/api/v1/node-tokens", json!({ "roles": roles })).await.expect(201);
        let host = self.test.with_token(token["token"].as_str().expect("token"));
        let body = json!({ "name": name, "roles": roles, "public_key": public_key(name), "endpoint": null });
        let joined = host.post("/v1/nodes/enroll", body).await.expect(201);
        serde_json::from_value(joined).expect("joined")
    }

    pub(crate) async fn register(&self, key: &ApiKey, agent: AgentKind) -> reqwest::Response {
        let url = format!("http://{}/v1/workers/register", self.address);
        let body = json!({ "agent": agent, "version": "0.0.0" });
        self.http.post(url).bearer_auth(key.expose()).json(&body).send().await.expect("answer")
    }

    /// A request of an agent besides its socket.
    pub(crate) async fn post_as(
        &self,
        joined: &Joined,
        agent: AgentKind,
        path: &str,
        body: &serde_json::Value,
    ) -> reqwest::Response {
        let answer = self.register(&joined.identity.api_key, agent).await;
        let token: AccessToken = answer.json().await.expect("token");
        let url = format!("http://{}{path}", self.address);
        self.http.post(url).bearer_auth(token.token).json(body).send().await.expect("answer")
    }

    /// The same, to read.
    pub(crate) async fn get_as(&self, joined: &Joined, agent: AgentKind, path: &str) -> reqwest::Response {
        let answer = self.register(&joined.identity.api_key, agent).await;
        let token: AccessToken = answer.json().await.expect("token");
        let url = format!("http://{}{path}", self.address);
        self.http.get(url).bearer_auth(token.token).send().await.expect("answer")
    }

    pub(crate) async fn dial(&self, joined: &Joined, agent: AgentKind, hello: Hello) -> Link {
        self.dial_saying(joined, agent, hello, &[]).await
    }

    /// With these headers, too.
    pub(crate) async fn dial_saying(
        &self,
        joined: &Joined,
        agent: AgentKind,
        hello: Hello,
        headers: &[(&'static str, &'static str)],
    ) -> Link {
        let answer = self.register(&joined.identity.api_key, agent).await;
        let token: AccessToken = answer.json().await.expect("token");
        let socket = self.socket_saying(&token.token, headers).await.expect("socket");
        let key = joined.identity.api_key.signing_key();
        let mut link = Link { socket, sender: Sender::new(key.clone()), receiver: Receiver::new(key) };
        link.say(&FromAgent::Hello(hello)).await;
        link
    }

    pub(crate) async fn socket(
        &self,
        token: &str,
    ) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, SocketError> {
        self.socket_saying(token, &[]).await
    }

    async fn socket_saying(
        &self,
        token: &str,
        headers: &[(&'static str, &'static str)],
    ) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, SocketError> {
        let mut request =
            format!("ws://{}/v1/workers/ws", self.address).into_client_request().expect("request");
        let bearer = format!("Bearer {token}").parse().expect("header");
        request.headers_mut().insert("authorization", bearer);
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().expect("header"));
        }
        tokio_tungstenite::connect_async(request).await.map(|(socket, _)| socket)
    }

    /// An app with a deployment that waits for its build. Returns app, deployment and job.
    pub(crate) async fn queue_build(&self, slug: &str) -> (AppId, DeploymentId, JobId) {
        let owner = self.test.owner().await;
        let app = owner.post("/api/v1/apps", json!({ "slug": slug })).await.expect(201);
        let app: AppId = serde_json::from_value(app["id"].clone()).expect("id");
        let (deployment, job) = self.queue_next(app, 1).await;
        (app, deployment, job)
    }

    pub(crate) async fn queue_next(&self, app: AppId, number: i32) -> (DeploymentId, JobId) {
        let id = DeploymentId::new();
        let control = &self.test.app;
        let mut tx = control.db.begin().await.expect("transaction");
        let variables = control.vault.seal(
            crate::vault::Purpose::Variables,
            &format!("app-variables:{app}"),
            br#"{"GREETING":"hi"}"#,
        );
        sqlx::query(
            "insert into deployments (id, app_id, number, kind, settings, variables, created_by)
             values ($1, $2, $3, 'build', '{}', $4, 'test')",
        )
        .bind(id)
        .bind(app)
        .bind(number)
        .bind(variables)
        .execute(&mut *tx)
        .await
        .expect("deployment");
        let job = jobs::store::enqueue(&mut tx, &control.vault, &build(app, id)).await.expect("job");
        tx.commit().await.expect("commit");
        (id, job)
    }
}

fn build(app: AppId, deployment: DeploymentId) -> Work {
    Work::Build(Box::new(Build {
        deployment_id: deployment,
        app_id: app,
        app: "hello".to_owned(),
        source: Source::Image { reference: "example".to_owned() },
        containerfile: Box::default(),
        limits: BuildLimits { memory_mb: 1, cpu_millis: 1, timeout_s: 1, source_bytes: 1 },
        no_cache: false,
        tag: "hello:1".to_owned(),
        predefined: std::collections::BTreeMap::new(),
        secrets: Box::default(),
    }))
}

/// Something in the form of a `WireGuard` key.
pub(crate) fn public_key(name: &str) -> String {
    format!("{name:A<43}=").replace(['-', ' '], "B")
}

pub(crate) fn hello(jobs: Vec<JobId>) -> Hello {
    Hello { version: "0.0.0".to_owned(), generation: 0, jobs, build_slots: 2, host: HostFacts::default() }
}

/// An agent's end of a connection.
pub(crate) struct Link {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) sender: Sender,
    receiver: Receiver,
}

impl Link {
    pub(crate) async fn say(&mut self, message: &FromAgent) -> MessageId {
        let id = MessageId::random();
        self.repeat(&id, message).await;
        id
    }

    pub(crate) async fn repeat(&mut self, id: &MessageId, message: &FromAgent) {
        let text = self.sender.seal(message.kind(), id, message.payload(), now_ms());
        self.raw(text).await;
    }

    async fn raw(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.expect("sent");
    }

    /// The next message; `None` when the connection is closed.
    pub(crate) async fn next(&mut self) -> Option<FromControlPlane> {
        loop {
            let received = tokio::time::timeout(Duration::from_secs(10), self.socket.next());
            match received.await.expect("the control plane says something within 10 s") {
                Some(Ok(Message::Text(text))) => {
                    let envelope = self.receiver.open(&text, now_ms()).expect("signed");
                    return Some(FromControlPlane::parse(&envelope).expect("known"));
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next job that the agent is to start.
    pub(crate) async fn job(&mut self) -> protocol::job::Job {
        self.until(|message| match message {
            FromControlPlane::JobStart(job) => Some(job),
            _ => None,
        })
        .await
    }

    pub(crate) async fn until<T>(&mut self, wanted: impl Fn(FromControlPlane) -> Option<T>) -> T {
        loop {
            let message = self.next().await.expect("the connection stays open");
            if let Some(found) = wanted(message) {
                return found;
            }
        }
    }

    /// Says something reliable and waits until it is stored.
    pub(crate) async fn settle(&mut self, message: &FromAgent) {
        let id = self.say(message).await;
        self.acknowledged(&id).await;
    }

    pub(crate) async fn acknowledged(&mut self, id: &MessageId) {
        self.until(|message| match message {
            FromControlPlane::Ack(ack) if ack.ids.contains(id) => Some(()),
            _ => None,
        })
        .await;
    }
}

fn now_ms() -> i64 {
    let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(age.as_millis()).expect("fits")
}

/// Changes nothing; its acknowledgement says that all before it is stored.
pub(crate) fn nothing() -> FromAgent {
    FromAgent::JobLog(JobLog { job_id: JobId::new(), lines: Vec::new() })
}

fn heartbeat() -> FromAgent {
    FromAgent::Applied(protocol::message::Applied { generation: 1 })
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_agent_gets_its_desired_state_and_its_node_is_online(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("w1", &["worker"]).await;
    mesh.join("w2", &["worker"]).await;
    let mut link = mesh.dial(&joined, AgentKind::Mesh, hello(Vec::new())).await;
    let peers = link
        .until(|message| match message {
            FromControlPlane::Spec(spec) => match spec.spec {
                protocol::spec::Spec::Mesh(mesh) => Some(mesh.peers),
                _ => None,
            },
            _ => None,
        })
        .await;
    let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
    assert_eq!(names, ["w2"], "a node is no peer of itself");
    let node = mesh.test.owner().await.get("/api/v1/nodes/w1").await.expect(200);
    assert_eq!(node["status"], "online");
    assert_eq!(node["agents"][0]["connected"], true);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_update_of_the_host_shows_while_its_agent_stays_connected(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("w1", &["worker"]).await;
    let mut hello = hello(Vec::new());
    hello.host.wireguard = Some("kernel".to_owned());
    hello.host.os = Some(OperatingSystem { generation: Some(41), reboot_needed: true, ..Default::default() });
    let mut agent = mesh.dial(&joined, AgentKind::Mesh, hello).await;
    let os = OperatingSystem { name: "NixOS 26.05 (Yarara)".to_owned(), ..Default::default() };
    agent.say(&FromAgent::Host(HostFacts { cpus: 4, os: Some(os), ..Default::default() })).await;
    agent.settle(&nothing()).await;
    let node = mesh.test.owner().await.get("/api/v1/nodes/w1").await.expect(200);
    let host = &node["host"];
    assert_eq!((&host["cpus"], &host["wireguard"]), (&json!(4), &json!("kernel")), "{host}");
    assert_eq!(host["os"]["name"], "NixOS 26.05 (Yarara)");
    assert_eq!((&host["os"]["generation"], &host["os"]["reboot_needed"]), (&json!(null), &json!(false)));
    // Another agent of the host knows less of it and must not say it.
    let mut worker = mesh.dial(&joined, AgentKind::Worker, self::hello(Vec::new())).await;
    let stored = async || mesh.test.owner().await.get("/api/v1/nodes/w1").await.expect(200)["host"].clone();
    worker.settle(&nothing()).await;
    let before = stored().await;
    worker.say(&FromAgent::Host(HostFacts { cpus: 8, ..Default::default() })).await;
    worker.settle(&nothing()).await;
    assert_eq!(stored().await, before);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn refused_envelopes_close_the_connection_with_the_reason(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("w1", &["worker"]).await;
    let key = joined.identity.api_key.signing_key();
    let seal = |sender: &mut Sender, at| {
        let message = heartbeat();
        sender.seal(message.kind(), &MessageId::random(), message.payload(), at)
    };
    for code in ["envelope_hmac", "envelope_skew", "envelope_replayed", "envelope_malformed"] {
        let mut link = mesh.dial(&joined, AgentKind::Worker, hello(Vec::new())).await;
        let text = match code {
            "envelope_hmac" => seal(&mut Sender::new(ApiKey::generate().signing_key()), now_ms()),
            "envelope_skew" => seal(&mut link.sender, now_ms() - 6 * 60 * 1000),
            // Sequence number 1 was the hello's.
            "envelope_replayed" => seal(&mut Sender::new(key.clone()), now_ms()),
            _ => "{}".to_owned(),
        };
        link.raw(text).await;
        let refused = link
            .until(|message| match message {
                FromControlPlane::Refused(refused) => Some(refused),
                _ => None,
            })
            .await;
        assert_eq!(refused.code, code);
        assert!(link.next().await.is_none(), "{code}: closed");
    }
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn only_a_known_node_with_the_role_gets_a_socket(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("p1", &["proxy"]).await;
    let key = &joined.identity.api_key;
    assert_eq!(mesh.register(&ApiKey::generate(), AgentKind::Mesh).await.status(), 401);
    assert_eq!(mesh.register(key, AgentKind::Worker).await.status(), 403);
    let token: AccessToken = mesh.register(key, AgentKind::Proxy).await.json().await.expect("token");
    assert!(mesh.socket("no token").await.is_err());
    mesh.socket(&token.token).await.expect("opens");
    mesh.test.owner().await.delete("/api/v1/nodes/p1").await.expect(204);
    assert!(mesh.socket(&token.token).await.is_err(), "a removed node's token is no good");
    assert_eq!(mesh.register(key, AgentKind::Proxy).await.status(), 401);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_job_survives_a_reconnect_and_its_log_is_stored_once(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("w1", &["worker"]).await;
    let mut link = mesh.dial(&joined, AgentKind::Worker, hello(Vec::new())).await;
    link.settle(&nothing()).await;
    let (_, deployment, job) = mesh.queue_build("hello").await;
    jobs::dispatch::claim_all(&mesh.test.app).await.expect("claim");
    jobs::dispatch::to_connected(&mesh.test.app).await.expect("dispatch");
    assert_eq!(link.job().await.id, job);
    let line = |seq| LogLine {
        seq,
        at: chrono::Utc::now(),
        stream: Stream::Stdout,
        text: format!("line {seq}\0 with a NUL"),
    };
    let log = FromAgent::JobLog(JobLog { job_id: job, lines: vec![line(1), line(2)] });
    let id = link.say(&log).await;
    link.acknowledged(&id).await;
    drop(link);

    let mut link = mesh.dial(&joined, AgentKind::Worker, hello(Vec::new())).await;
    assert_eq!(link.job().await.id, job, "the agent does not list it, so it is told again");
    link.repeat(&id, &log).await;
    link.acknowledged(&id).await;
    let lines: i64 = sqlx::query_scalar("select count(*) from deployment_log where deployment_id = $1")
        .bind(deployment)
        .fetch_one(&mesh.test.app.db)
        .await
        .expect("count");
    assert_eq!(lines, 2);
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn a_newer_connection_of_an_agent_replaces_the_older(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let joined = mesh.join("w1", &["worker"]).await;
    let mut older = mesh.dial(&joined, AgentKind::Worker, hello(Vec::new())).await;
    older.settle(&nothing()).await;
    let mut newer = mesh.dial(&joined, AgentKind::Worker, hello(Vec::new())).await;
    newer.settle(&nothing()).await;
    while older.next().await.is_some() {}
    let held = mesh.test.app.hub.connected();
    assert_eq!(held.len(), 1);
    let node: NodeId = held[0].node;
    assert_eq!(node, joined.identity.node_id);
    let connected: bool = sqlx::query_scalar(
        "select connected_to is not null from agents where node_id = $1 and kind = 'worker'",
    )
    .bind(node)
    .fetch_one(&mesh.test.app.db)
    .await
    .expect("row");
    assert!(connected, "the end of the older one does not take the newer one down");
}

#[sqlx::test(migrator = "crate::db::MIGRATIONS")]
async fn an_agent_says_nothing_about_the_jobs_and_instances_of_another_node(pool: PgPool) {
    let mesh = Mesh::new(pool).await;
    let owner = mesh.join("w1", &["worker"]).await;
    let mut link = mesh.dial(&owner, AgentKind::Worker, hello(Vec::new())).await;
    link.settle(&nothing()).await;
    let (app, deployment, job) = mesh.queue_build("hello").await;
    jobs::dispatch::claim_all(&mesh.test.app).await.expect("claim");

    let stranger = mesh.join("w2", &["worker", "proxy"]).await;
    let mut strange = mesh.dial(&stranger, AgentKind::Worker, hello(Vec::new())).await;
    let line = LogLine { seq: 1, at: chrono::Utc::now(), stream: Stream::Stdout, text: "forged".to_owned() };
    strange.settle(&FromAgent::JobLog(JobLog { job_id: job, lines: vec![line.clone()] })).await;
    strange.settle(&FromAgent::JobDone(JobDone { job_id: job, outcome: Outcome::Cancelled })).await;
    let invented = InstanceLog { instance_id: InstanceId::new(), app_id: app, release: 1, lines: vec![line] };
    strange.settle(&FromAgent::InstanceLog(invented)).await;

    let db = &mesh.test.app.db;
    let count = |sql: &'static str| sqlx::query_scalar::<_, i64>(sql).fetch_one(db);
    assert_eq!(count("select count(*) from deployment_log where text = 'forged'").await.expect("count"), 0);
    assert_eq!(count("select count(*) from instance_log").await.expect("count"), 0);
    let state: String = sqlx::query_scalar("select state from jobs where id = $1")
        .bind(job)
        .fetch_one(db)
        .await
        .expect("job");
    assert_eq!(state, "running");
    let state: String = sqlx::query_scalar("select state from deployments where id = $1")
        .bind(deployment)
        .fetch_one(db)
        .await
        .expect("deployment");
    assert_eq!(state, "building");

    let challenge = json!({ "token": "a", "key_authorization": "a.b" });
    let path = format!("/v1/jobs/{job}/challenges");
    assert_eq!(mesh.post_as(&stranger, AgentKind::Proxy, &path, &challenge).await.status(), 404);
}
