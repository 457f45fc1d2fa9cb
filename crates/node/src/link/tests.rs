//! The link against a small control plane in this process, which checks every envelope.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicI64;

use axum::Json;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use chrono::{TimeDelta, Utc};
use protocol::envelope::{Envelope, MessageId, Receiver, Sender};
use protocol::identity::{ApiKey, SigningKey};
use protocol::ids::{JobId, NodeId};
use protocol::job::Outcome;
use protocol::message::{Ack, Applied, FromControlPlane, JobDone, Refused};
use protocol::report::HostFacts;
use protocol::spec::{MeshSpec, ProxySpec, Spec, TAKES_CHANGES, TableChange, Versioned};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::*;

const SOON: Duration = Duration::from_secs(10);

/// One WebSocket, as the test sees it. Dropping it closes the socket.
struct Connection {
    bearer: String,
    /// What the agent signed in with.
    key: ApiKey,
    from_agent: mpsc::Receiver<Envelope>,
    to_agent: mpsc::Sender<FromControlPlane>,
}

impl Connection {
    /// The next message of a type that is not only the link's own housekeeping.
    async fn next(&mut self) -> Envelope {
        loop {
            let envelope = soon(self.from_agent.recv()).await.expect("connected");
            if !matches!(envelope.kind.as_str(), "hello" | "heartbeat") {
                return envelope;
            }
        }
    }

    async fn say(&self, message: FromControlPlane) {
        self.to_agent.send(message).await.expect("connected");
    }

    async fn ack(&self, id: &MessageId) {
        self.say(FromControlPlane::Ack(Ack { ids: vec![id.clone()] })).await;
    }
}

#[derive(Clone)]
struct ServerState {
    /// What the control plane signs with; what the agent signed in with when absent.
    key: Option<SigningKey>,
    signed_in: Arc<Mutex<HashMap<String, ApiKey>>>,
    /// How long tokens are good for, in seconds.
    lifetime_s: i64,
    tokens: Arc<AtomicI64>,
    connections: mpsc::Sender<Connection>,
}

impl ServerState {
    fn token(&self, key: ApiKey) -> Json<AccessToken> {
        let token = format!("token-{}", self.tokens.fetch_add(1, Ordering::Relaxed) + 1);
        self.signed_in.lock().expect("not poisoned").insert(token.clone(), key);
        Json(AccessToken { token, expires_at: Utc::now() + TimeDelta::seconds(self.lifetime_s) })
    }

    fn key_of(&self, token: &str) -> ApiKey {
        self.signed_in.lock().expect("not poisoned")[token].clone()
    }
}

/// A control plane and a link to it.
struct Rig {
    handle: LinkHandle,
    events: Events,
    connections: mpsc::Receiver<Connection>,
    _tasks: JoinSet<()>,
}

impl Rig {
    /// `key`: what the control plane signs with; the agent's own when absent.
    async fn start(lifetime_s: i64, key: Option<SigningKey>) -> Self {
        daemon::crypto::install();
        let api_key = ApiKey::generate();
        let (connections_tx, connections) = mpsc::channel(8);
        let state = ServerState {
            key,
            signed_in: Arc::default(),
            lifetime_s,
            tokens: Arc::default(),
            connections: connections_tx,
        };
        let mut tasks = JoinSet::new();
        let address = serve(&mut tasks, state).await;
        // The first control plane does not exist: each must be tried in turn.
        let nobody = TcpListener::bind("127.0.0.1:0").await.expect("bind").local_addr().expect("address");
        let config = config(api_key, vec![format!("http://{nobody}"), format!("http://{address}")]);
        let (link, handle, events) = Link::new(config).expect("good configuration");
        tasks.spawn(async move { link.run(CancellationToken::new()).await.expect("runs") });
        Self { handle, events, connections, _tasks: tasks }
    }

    async fn connection(&mut self) -> Connection {
        soon(self.connections.recv()).await.expect("the server runs")
    }

    async fn event(&mut self) -> LinkEvent {
        soon(self.events.recv()).await.expect("the link runs")
    }
}

fn config(api_key: ApiKey, control_planes: Vec<String>) -> LinkConfig {
    LinkConfig {
        identity: NodeIdentity {
            node_id: NodeId::new(),
            name: "w1".to_owned(),
            mesh_address: [10, 50, 0, 11].into(),
            api_key,
            control_planes,
        },
        agent: AgentKind::Worker,
        version: "0.0.0".to_owned(),
        root_pem: None,
        hello: Box::new(|| Hello {
            version: "0.0.0".to_owned(),
            generation: 4,
            jobs: Vec::new(),
            build_slots: 2,
            host: HostFacts::default(),
        }),
        timing: Timing {
            ping: Duration::from_millis(50),
            silence: Duration::from_millis(500),
            first_backoff: Duration::from_millis(10),
            most_backoff: Duration::from_millis(50),
            refresh_pause: Duration::from_millis(100),
            ..Timing::default()
        },
    }
}

async fn serve(tasks: &mut JoinSet<()>, state: ServerState) -> SocketAddr {
    async fn register(State(state): State<ServerState>, headers: HeaderMap) -> Json<AccessToken> {
        state.token(ApiKey::new(bearer(&headers)))
    }
    async fn refresh(State(state): State<ServerState>, headers: HeaderMap) -> Json<AccessToken> {
        state.token(state.key_of(&bearer(&headers)))
    }
    async fn ws(State(state): State<ServerState>, headers: HeaderMap, up: WebSocketUpgrade) -> Response {
        assert_eq!(headers[TAKES_CHANGES.0], TAKES_CHANGES.1);
        up.on_upgrade(async move |socket| talk(socket, state, bearer(&headers)).await)
    }
    let router = axum::Router::new()
        .route("/v1/workers/register", post(register))
        .route("/v1/workers/refresh-token", post(refresh))
        .route("/v1/workers/ws", get(ws))
        .with_state(state);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    tasks.spawn(async move { axum::serve(listener, router).await.expect("serves") });
    address
}

fn bearer(headers: &HeaderMap) -> String {
    let value = headers["authorization"].to_str().expect("text");
    value.strip_prefix("Bearer ").expect("bearer").to_owned()
}

async fn talk(mut socket: WebSocket, state: ServerState, bearer: String) {
    let key = state.key_of(&bearer);
    let signing_key = state.key.clone().unwrap_or_else(|| key.signing_key());
    let (mut sender, mut receiver) = (Sender::new(signing_key), Receiver::new(key.signing_key()));
    let (from_tx, from_agent) = mpsc::channel(64);
    let (to_agent, mut to_rx) = mpsc::channel(64);
    state.connections.send(Connection { bearer, key, from_agent, to_agent }).await.expect("the test listens");
    loop {
        tokio::select! {
            received = socket.recv() => match received {
                Some(Ok(Message::Text(text))) => {
                    let now = Utc::now().timestamp_millis();
                    let envelope = receiver.open(&text, now).expect("a good envelope");
                    let _ = from_tx.send(envelope).await;
                }
                Some(Ok(_)) => {}
                _ => return,
            },
            message = to_rx.recv() => match message {
                Some(message) => {
                    let now = Utc::now().timestamp_millis();
                    let text = sender.seal(message.kind(), &MessageId::random(), message.payload(), now);
                    let _ = socket.send(Message::text(text)).await;
                }
                None => return,
            },
        }
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("in time")
}

fn done() -> FromAgent {
    FromAgent::JobDone(JobDone { job_id: JobId::new(), outcome: Outcome::Cancelled })
}

fn spec(generation: i64) -> FromControlPlane {
    FromControlPlane::Spec(Versioned { generation, spec: Spec::Mesh(MeshSpec::default()) })
}

#[tokio::test]
async fn a_change_of_the_routes_comes_as_a_whole_table_and_only_where_it_belongs() {
    let mut rig = Rig::start(900, None).await;
    let connection = rig.connection().await;
    let table = |generation, refused: &str| {
        let spec = ProxySpec { refused: vec![refused.to_owned()], ..ProxySpec::default() };
        Versioned { generation, spec }
    };
    let change = Box::new(TableChange::between(&table(1, "a.test"), &table(2, "b.test")));
    let Versioned { generation, spec } = table(1, "a.test");
    connection.say(FromControlPlane::Spec(Versioned { generation, spec: Spec::Proxy(spec) })).await;
    connection.say(FromControlPlane::SpecChange(change.clone())).await;
    let newest = loop {
        if let LinkEvent::Message(FromControlPlane::Spec(spec)) = rig.event().await
            && spec.generation == 2
        {
            break spec.spec;
        }
    };
    assert_eq!(newest, Spec::Proxy(table(2, "b.test").spec));
    // Once more it is a change of a table that is gone: the next connection gets a whole one.
    connection.say(FromControlPlane::SpecChange(change)).await;
    rig.connection().await;
}

#[tokio::test]
async fn the_first_message_is_hello_and_a_heartbeat_follows() {
    let mut rig = Rig::start(900, None).await;
    let mut connection = rig.connection().await;
    let hello = soon(connection.from_agent.recv()).await.expect("connected");
    assert_eq!(hello.kind, "hello");
    assert!(hello.payload.get().contains(r#""generation":4"#), "{}", hello.payload);
    assert_eq!(soon(connection.from_agent.recv()).await.expect("connected").kind, "heartbeat");
    assert!(matches!(rig.event().await, LinkEvent::Connected));
    assert!(rig.handle.base_url().starts_with("http://127.0.0.1:"));
    assert_eq!(rig.handle.token().as_deref(), Some("token-1"));
}

#[tokio::test]
async fn an_unacknowledged_result_is_sent_again_with_the_same_id_and_an_acknowledged_one_is_not() {
    let mut rig = Rig::start(900, None).await;
    let mut connection = rig.connection().await;
    let acknowledged = rig.handle.send_acked(done()).await.expect("taken");
    let lost = rig.handle.send_acked(done()).await.expect("taken");
    let first = connection.next().await;
    connection.ack(&first.id).await;
    soon(acknowledged).await.expect("acknowledged");
    let second = connection.next().await;
    drop(connection);
    let mut connection = rig.connection().await;
    let again = connection.next().await;
    assert_eq!(again.id, second.id);
    connection.ack(&again.id).await;
    soon(lost).await.expect("acknowledged");
}

#[tokio::test]
async fn of_a_coalesced_type_only_the_newest_said_while_disconnected_arrives() {
    let mut rig = Rig::start(900, None).await;
    for generation in 1..=3 {
        rig.handle.send(FromAgent::Applied(Applied { generation })).await.expect("taken");
    }
    let mut connection = rig.connection().await;
    assert_eq!(connection.next().await.payload.get(), r#"{"generation":3}"#);
    rig.handle.send(done()).await.expect("taken");
    assert_eq!(connection.next().await.kind, "job.done");
}

#[tokio::test]
async fn a_token_exchanged_before_its_end_is_used_at_the_next_dial() {
    // Exchanged 120 s before its end, thus after about a second.
    let mut rig = Rig::start(121, None).await;
    let connection = rig.connection().await;
    assert_eq!(connection.bearer, "token-1");
    let deadline = tokio::time::Instant::now() + SOON;
    while rig.handle.token().as_deref() == Some("token-1") {
        assert!(tokio::time::Instant::now() < deadline, "the token was not exchanged");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(connection);
    assert_ne!(rig.connection().await.bearer, "token-1");
}

#[tokio::test]
async fn another_key_is_signed_in_with_at_once_and_nothing_is_lost() {
    let mut rig = Rig::start(900, None).await;
    let mut connection = rig.connection().await;
    assert_eq!(connection.key, rig.handle.identity().api_key);
    let lost = rig.handle.send_acked(done()).await.expect("taken");
    let said = connection.next().await;
    let key = ApiKey::generate();
    rig.handle.rekey(key.clone());
    let mut connection = rig.connection().await;
    assert_eq!(connection.key, key);
    let again = connection.next().await;
    assert_eq!(again.id, said.id);
    connection.ack(&again.id).await;
    soon(lost).await.expect("acknowledged");
}

#[tokio::test]
async fn what_a_stranger_signed_is_refused_and_the_link_dials_again() {
    let mut rig = Rig::start(900, Some(ApiKey::generate().signing_key())).await;
    let connection = rig.connection().await;
    assert!(matches!(rig.event().await, LinkEvent::Connected));
    connection.say(spec(9)).await;
    // No spec in between: the next thing the agent hears is the end of the connection.
    assert!(matches!(rig.event().await, LinkEvent::Disconnected));
    rig.connection().await;
}

#[tokio::test]
async fn a_refusal_by_the_control_plane_ends_the_connection_and_the_link_dials_again() {
    let mut rig = Rig::start(900, None).await;
    let connection = rig.connection().await;
    let refused = Refused { code: "envelope_skew".to_owned(), message: "clock".to_owned() };
    connection.say(FromControlPlane::Refused(refused)).await;
    rig.connection().await;
}

#[tokio::test]
async fn specs_reach_the_agent_and_a_quiet_link_stays_up_by_pings() {
    let mut rig = Rig::start(900, None).await;
    let connection = rig.connection().await;
    assert!(matches!(rig.event().await, LinkEvent::Connected));
    // Three times the time after which a silent connection is dead.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    connection.say(spec(5)).await;
    let LinkEvent::Message(FromControlPlane::Spec(spec)) = rig.event().await else { panic!("no spec") };
    assert_eq!(spec.generation, 5);
}

#[tokio::test]
async fn a_control_plane_that_says_nothing_at_all_is_left() {
    daemon::crypto::install();
    let api_key = ApiKey::generate();
    let mut tasks = JoinSet::new();
    let (connections, _keep) = mpsc::channel(8);
    let state = ServerState {
        key: None,
        signed_in: Arc::default(),
        lifetime_s: 900,
        tokens: Arc::default(),
        connections,
    };
    let address = serve(&mut tasks, state).await;
    let (link, _handle, mut events) = Link::new(LinkConfig {
        // Without pings nothing comes back.
        timing: Timing { ping: SOON * 9, ..config(api_key.clone(), Vec::new()).timing },
        ..config(api_key, vec![format!("http://{address}")])
    })
    .expect("good configuration");
    tasks.spawn(async move { link.run(CancellationToken::new()).await.expect("runs") });
    assert!(matches!(soon(events.recv()).await, Some(LinkEvent::Connected)));
    assert!(matches!(soon(events.recv()).await, Some(LinkEvent::Disconnected)));
}

#[tokio::test]
async fn the_link_ends_when_the_process_stops_even_with_no_control_plane_in_reach() {
    daemon::crypto::install();
    let config = config(ApiKey::generate(), vec!["http://127.0.0.1:1".to_owned()]);
    let (link, handle, mut events) = Link::new(config).expect("good configuration");
    let stop = CancellationToken::new();
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.cancel();
    };
    let (result, ()) = soon(async { tokio::join!(link.run(stop.clone()), stopping) }).await;
    result.expect("ends well");
    assert!(events.recv().await.is_none());
    assert_eq!(handle.send(done()).await, Err(SendError::Closed));
}

#[test]
fn plain_http_to_a_public_address_is_refused_before_anything_is_sent() {
    daemon::crypto::install();
    let config = config(ApiKey::generate(), vec!["http://198.51.100.10:8080".to_owned()]);
    let Err(error) = Link::new(config) else { panic!("accepted") };
    assert!(error.to_string().contains("plain http to 198.51.100.10"), "{error}");
}

#[tokio::test]
async fn under_tls_only_http_1_1_is_offered() {
    daemon::crypto::install();
    let issued = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("certificate");
    let key = rustls_pki_types::PrivateKeyDer::Pkcs8(issued.signing_key.serialize_der().into());
    let server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .expect("certificate and key fit");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url: Url = format!("https://{}", listener.local_addr().expect("address")).parse().expect("URL");
    let dialer = Dialer::new(true, Some(issued.cert.pem().as_bytes()), SOON).expect("dialer");
    let accept = async {
        let (stream, _) = listener.accept().await.expect("accept");
        let start = tokio_rustls::LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
        let start = start.await.expect("hello");
        let offered: Vec<_> = start.client_hello().alpn().expect("ALPN").map(<[u8]>::to_vec).collect();
        let stream = start.into_stream(Arc::new(server)).await.expect("TLS");
        let socket = tokio_tungstenite::accept_async(stream).await.expect("WebSocket");
        (offered, socket)
    };
    let (socket, (offered, _server)) =
        soon(Box::pin(async { tokio::join!(dialer.dial(&url, "token"), accept) })).await;
    socket.expect("a WebSocket over TLS");
    assert_eq!(offered, [b"http/1.1".to_vec()]);
}
