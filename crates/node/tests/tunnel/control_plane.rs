//! The whole way of a declared host: tunnel, identity, link, desired peers; against a control plane in its network.

use std::fs::File;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use chrono::{TimeDelta, Utc};
use nix::sched::{CloneFlags, setns};
use protocol::enrol::{AccessToken, Joined, LeaveRequest};
use protocol::envelope::{MessageId, Receiver, Sender};
use protocol::identity::{ApiKey, NodeIdentity};
use protocol::ids::NodeId;
use protocol::message::{FromAgent, FromControlPlane};
use protocol::spec::{MeshPeer, MeshSpec, Spec, Versioned};
use serde_json::json;

use crate::host::{World, wait_for};

const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 8081);

#[derive(Clone)]
pub(crate) struct ControlPlane {
    pub(crate) identity: NodeIdentity,
    pub(crate) spec: Versioned<Spec>,
    pub(crate) heard: mpsc::Sender<FromAgent>,
    /// Instances on the node.
    pub(crate) instances: u32,
}

impl ControlPlane {
    /// Serves in the network of process `pid`, from now on until the test ends.
    pub(crate) fn start(self, pid: u32) {
        let (listens, listening) = mpsc::channel();
        std::thread::spawn(move || {
            let network = File::open(format!("/proc/{pid}/ns/net")).expect("the host runs");
            // Of this thread alone.
            setns(network, CloneFlags::CLONE_NEWNET).expect("root");
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind(SocketAddr::from(LISTEN)).await.expect("bind");
                listens.send(()).expect("the test waits");
                axum::serve(listener, self.router()).await.expect("serves");
            });
        });
        listening.recv().expect("listens");
    }

    fn router(self) -> axum::Router {
        let declare = async |State(this): State<Self>| {
            Json(Joined { identity: this.identity, prefix: 24, peers: Vec::new() })
        };
        let register = async || {
            Json(AccessToken { token: "token".to_owned(), expires_at: Utc::now() + TimeDelta::minutes(15) })
        };
        let leave = async |State(this): State<Self>,
                           headers: HeaderMap,
                           Json(request): Json<LeaveRequest>| {
            assert_eq!(headers["authorization"], "Bearer token");
            if this.instances > 0 && !request.force {
                let body = json!({ "code": "node_has_instances", "message": "2 instances still run on a" });
                return (StatusCode::CONFLICT, Json(body));
            }
            (StatusCode::OK, Json(json!({ "declared": true })))
        };
        let ws = async |State(this): State<Self>, up: WebSocketUpgrade| {
            up.on_upgrade(async |socket| this.talk(socket).await)
        };
        axum::Router::new()
            .route("/v1/nodes/declare", post(declare))
            .route("/v1/nodes/leave", post(leave))
            .route("/v1/workers/register", post(register))
            .route("/v1/workers/ws", get(ws))
            .with_state(self)
    }

    /// Says the spec after `hello`, and passes on all it hears.
    async fn talk(self, mut socket: WebSocket) {
        let key = self.identity.api_key.signing_key();
        let (mut sender, mut receiver) = (Sender::new(key.clone()), Receiver::new(key));
        while let Some(Ok(received)) = socket.recv().await {
            let Message::Text(text) = received else { continue };
            let now = Utc::now().timestamp_millis();
            let message = FromAgent::parse(&receiver.open(&text, now).expect("signed")).expect("known");
            if matches!(message, FromAgent::Hello(_)) {
                let spec = FromControlPlane::Spec(self.spec.clone());
                let text = sender.seal(spec.kind(), &MessageId::random(), spec.payload(), now);
                socket.send(Message::text(text)).await.expect("the agent listens");
            }
            let _ = self.heard.send(message);
        }
    }
}

/// The first message that `pick` takes.
fn hear<T>(heard: &mpsc::Receiver<FromAgent>, mut pick: impl FnMut(FromAgent) -> Option<T>) -> T {
    loop {
        let message = heard.recv_timeout(Duration::from_secs(20)).expect("the agent speaks");
        if let Some(found) = pick(message) {
            return found;
        }
    }
}

#[test]
fn a_declared_host_gets_its_identity_and_its_peers_and_reports_them() {
    let mut world = World::start();
    world.a.kill_agent();
    let key_b = world.b.public_key();
    let identity = NodeIdentity {
        node_id: NodeId::new(),
        name: "a".to_owned(),
        mesh_address: [10, 50, 0, 1].into(),
        api_key: ApiKey::generate(),
        control_planes: vec!["http://127.0.0.1:8081".to_owned()],
    };
    let b = MeshPeer {
        name: "b".to_owned(),
        public_key: key_b.clone(),
        mesh_address: [10, 50, 0, 2].into(),
        endpoint: "198.51.100.20:51821".parse().ok(),
    };
    let spec =
        Versioned { generation: 5, spec: Spec::Mesh(MeshSpec { peers: vec![b], ..MeshSpec::default() }) };
    let (heard_tx, heard) = mpsc::channel();
    ControlPlane { identity: identity.clone(), spec, heard: heard_tx, instances: 0 }.start(world.a.pid);
    world.a.control_plane = "http://127.0.0.1:8081";

    // Its own configuration names no peer: the former one is taken away, then given by the spec.
    world.a.run_agent("10.50.0.1", "");
    let hello = hear(&heard, |message| match message {
        FromAgent::Hello(hello) => Some(hello),
        _ => None,
    });
    assert_eq!((hello.generation, hello.host.wireguard.as_deref()), (0, Some("userspace")));
    hear(&heard, |message| match message {
        FromAgent::Applied(applied) => (applied.generation == 5).then_some(()),
        _ => None,
    });
    assert_eq!(node::identity::read(&world.a.state()).expect("readable"), Some(identity));
    wait_for("a ping through the tunnel", || world.a.reaches("10.50.0.2").then_some(()));

    world.a.kill_agent();
    world.a.run_agent("10.50.0.1", "");
    let hello = hear(&heard, |message| match message {
        FromAgent::Hello(hello) => Some(hello),
        _ => None,
    });
    assert_eq!(hello.generation, 5, "the ledger is what the agent starts from");
    let peer = hear(&heard, |message| match message {
        FromAgent::MeshReport(report) => report.peers.into_iter().find(|peer| peer.public_key == key_b),
        _ => None,
    });
    assert!(peer.handshake_age_s.is_some() && peer.received_bytes > 0, "{peer:?}");
}
