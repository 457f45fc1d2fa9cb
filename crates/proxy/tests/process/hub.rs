//! A control plane that speaks the protocol, as far as a proxy sees it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::{TimeDelta, Utc};
use protocol::enrol::AccessToken;
use protocol::envelope::{MessageId, Receiver, Sender};
use protocol::identity::{ApiKey, NodeIdentity};
use protocol::ids::{JobId, NodeId};
use protocol::job::{ChallengeRequest, NewAccount, Outcome};
use protocol::message::{Ack, Delivery, FromAgent, FromControlPlane, JobCancel};
use protocol::report::Hello;
use protocol::spec::{Generation, ProxySpec, Spec, Versioned};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

const SOON: Duration = Duration::from_secs(20);

/// A challenge that a proxy wants published, and who waits for it.
pub(crate) type Published = (JobId, ChallengeRequest, oneshot::Sender<()>);

pub(crate) struct Hub {
    address: SocketAddr,
    key: ApiKey,
    connections: mpsc::Receiver<Agent>,
    #[cfg_attr(not(feature = "pebble-tests"), expect(dead_code, reason = "for tests with certificates"))]
    pub(crate) challenges: mpsc::Receiver<Published>,
    #[cfg_attr(not(feature = "pebble-tests"), expect(dead_code, reason = "for tests with certificates"))]
    pub(crate) accounts: mpsc::Receiver<NewAccount>,
    _tasks: JoinSet<()>,
}

/// One connection of the proxy.
pub(crate) struct Agent {
    pub(crate) hello: Hello,
    received: mpsc::Receiver<FromAgent>,
    send: mpsc::Sender<FromControlPlane>,
}

struct Shared {
    key: ApiKey,
    connections: mpsc::Sender<Agent>,
    challenges: mpsc::Sender<Published>,
    accounts: mpsc::Sender<NewAccount>,
}

impl Hub {
    pub(crate) async fn start() -> Self {
        let key = ApiKey::generate();
        let (connections_tx, connections) = mpsc::channel(4);
        let (challenges_tx, challenges) = mpsc::channel(4);
        let (accounts_tx, accounts) = mpsc::channel(4);
        let shared = Arc::new(Shared {
            key: key.clone(),
            connections: connections_tx,
            challenges: challenges_tx,
            accounts: accounts_tx,
        });
        let router = Router::new()
            .route("/v1/workers/register", post(token))
            .route("/v1/workers/ws", get(socket))
            .route("/v1/jobs/{id}/challenges", post(publish))
            .route("/v1/jobs/{id}/account", post(keep))
            .with_state(shared);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("free port");
        let address = listener.local_addr().expect("address");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Self { address, key, connections, challenges, accounts, _tasks: tasks }
    }

    pub(crate) fn identity(&self) -> NodeIdentity {
        NodeIdentity {
            node_id: NodeId::new(),
            name: "p1".to_owned(),
            mesh_address: [127, 0, 0, 1].into(),
            api_key: self.key.clone(),
            control_planes: vec![format!("http://{}", self.address)],
        }
    }

    pub(crate) async fn connection(&mut self) -> Agent {
        tokio::time::timeout(SOON, self.connections.recv()).await.expect("connects").expect("hub runs")
    }
}

impl Agent {
    pub(crate) async fn say(&self, message: FromControlPlane) {
        self.send.send(message).await.expect("connected");
    }

    pub(crate) async fn push(&self, generation: Generation, spec: ProxySpec) {
        self.say(FromControlPlane::Spec(Versioned { generation, spec: Spec::Proxy(spec) })).await;
    }

    pub(crate) async fn cancel_unknown(&self) {
        self.say(FromControlPlane::JobCancel(JobCancel { job_id: JobId::new() })).await;
    }

    /// The next message of a type; others are passed over.
    pub(crate) async fn next_of(&mut self, kind: &str) -> FromAgent {
        loop {
            let message = tokio::time::timeout(SOON, self.received.recv()).await;
            let message = message.expect("in time").expect("connected");
            if message.kind() == kind {
                return message;
            }
        }
    }

    pub(crate) async fn outcome(&mut self) -> Outcome {
        let FromAgent::JobDone(done) = self.next_of("job.done").await else { panic!("another type") };
        done.outcome
    }

    pub(crate) async fn applied(&mut self) -> Generation {
        let FromAgent::Applied(applied) = self.next_of("spec.applied").await else { panic!("another type") };
        applied.generation
    }
}

async fn token() -> Json<AccessToken> {
    Json(AccessToken { token: "token".to_owned(), expires_at: Utc::now() + TimeDelta::minutes(15) })
}

async fn publish(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<JobId>,
    Json(challenge): Json<ChallengeRequest>,
) -> StatusCode {
    let (done, served) = oneshot::channel();
    shared.challenges.send((id, challenge, done)).await.expect("the test listens");
    if served.await.is_ok() { StatusCode::NO_CONTENT } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn keep(State(shared): State<Arc<Shared>>, Json(account): Json<NewAccount>) -> StatusCode {
    // Nobody looks at more than the first ones.
    let _ = shared.accounts.try_send(account);
    StatusCode::NO_CONTENT
}

async fn socket(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |socket| talk(socket, &shared).await)
}

async fn talk(mut socket: WebSocket, shared: &Shared) {
    let mut sender = Sender::new(shared.key.signing_key());
    let mut receiver = Receiver::new(shared.key.signing_key());
    let (received_tx, received) = mpsc::channel(64);
    let (send, mut to_send) = mpsc::channel::<FromControlPlane>(64);
    let mut waiting = Some((received, send));
    loop {
        let reply = tokio::select! {
            frame = socket.recv() => {
                let Some(Ok(frame)) = frame else { return };
                let Message::Text(text) = frame else { continue };
                let envelope = receiver.open(&text, Utc::now().timestamp_millis()).expect("a good envelope");
                let message = FromAgent::parse(&envelope).expect("known");
                let reliable = message.delivery() == Delivery::Reliable;
                match (message, waiting.take()) {
                    (FromAgent::Hello(hello), Some((received, send))) => {
                        shared.connections.send(Agent { hello, received, send }).await.expect("the test listens");
                    }
                    (message, left) => {
                        waiting = left;
                        let _ = received_tx.send(message).await;
                    }
                }
                if !reliable { continue }
                FromControlPlane::Ack(Ack { ids: vec![envelope.id] })
            }
            message = to_send.recv() => match message {
                Some(message) => message,
                None if waiting.is_none() => return,
                None => continue,
            },
        };
        let text =
            sender.seal(reply.kind(), &MessageId::random(), reply.payload(), Utc::now().timestamp_millis());
        if socket.send(Message::text(text)).await.is_err() {
            return;
        }
    }
}
