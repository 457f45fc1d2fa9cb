//! Envelopes that no agent of ours would send, over a real socket on the mesh, by somebody who has the node's key.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::Full;
use protocol::envelope::{MessageId, Receiver, Sender};
use protocol::identity::{AgentKind, ApiKey, NodeIdentity};
use protocol::message::{Applied, FromAgent, FromControlPlane, Refused};
use protocol::report::{Hello, HostFacts};
use serde_json::{Value, json};
use testbed::http::Server;
use testbed::network;
use testbed::report::until;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::bed::{Bed, MINUTE, SOON};
use crate::runner::tests;

tests![a_forged_old_or_repeated_envelope_closes_the_connection_and_the_agent_comes_back];

const SIX_MINUTES_MS: i64 = 6 * 60 * 1000;

async fn a_forged_old_or_repeated_envelope_closes_the_connection_and_the_agent_comes_back(
    bed: Arc<Bed>,
) -> Result<()> {
    let host = bed.cluster.host("w1")?;
    let identity = std::fs::read(host.folder.join("lib/mesh/identity.json"))?;
    let identity: NodeIdentity = serde_json::from_slice(&identity)?;
    let key = identity.api_key.signing_key();
    for code in ["envelope_hmac", "envelope_skew", "envelope_replayed"] {
        // The worker comes back at any moment, and its connection replaces ours, which then ends without a word.
        until(code, SOON, || async {
            let mut link = Link::open(&bed, &identity).await?;
            let text = match code {
                "envelope_hmac" => seal(&mut Sender::new(ApiKey::generate().signing_key()), now_ms()),
                "envelope_skew" => seal(&mut link.sender, now_ms() - SIX_MINUTES_MS),
                // Its sequence number is the one of `hello`.
                _ => seal(&mut Sender::new(key.clone()), now_ms()),
            };
            link.socket.send(Message::text(text)).await?;
            let refused =
                tokio::time::timeout(SOON, link.refused()).await.context("nothing was refused")??;
            let Refused { code: found, message } = refused;
            ensure!(found == code && !message.is_empty(), "{found}: {message}");
            tokio::time::timeout(SOON, link.closed()).await.with_context(|| format!("{code}: not closed"))?;
            Ok(Some(()))
        })
        .await?;
    }
    // The worker's own connection, which ours had replaced.
    let api = bed.cluster.api()?;
    until("the worker's own connection", MINUTE, || async {
        let node = api.get("/nodes/w1").await?;
        let agents = node["agents"].as_array().map(Vec::as_slice).unwrap_or_default();
        let own = |agent: &&Value| agent["kind"] == "worker" && agent["connected"] == true;
        let agent = agents.iter().find(own).with_context(|| node.to_string())?;
        ensure!(agent["version"] != FORGED && node["status"] == "online", "{node}");
        Ok(Some(()))
    })
    .await
}

/// What this test calls its version.
const FORGED: &str = "0.0.0-forged";

fn seal(sender: &mut Sender, at: i64) -> String {
    let message = FromAgent::Applied(Applied { generation: 1_000_000 });
    sender.seal(message.kind(), &MessageId::random(), message.payload(), at)
}

fn now_ms() -> i64 {
    let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
}

struct Link {
    socket: WebSocketStream<TcpStream>,
    sender: Sender,
    receiver: Receiver,
}

impl Link {
    /// Registers as the node's worker and says hello, from the node's own network.
    async fn open(bed: &Bed, identity: &NodeIdentity) -> Result<Self> {
        let host = bed.cluster.host("w1")?;
        let address: SocketAddr = "10.50.0.1:8081".parse()?;
        let body = json!({ "agent": AgentKind::Worker, "version": FORGED }).to_string();
        let request = http::Request::post("/v1/workers/register")
            .header("host", address.to_string())
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", identity.api_key.expose()))
            .body(Full::new(Bytes::from(body)))?;
        let server = Server { from: host.clone(), address, roots: None };
        let answer = server.send(request).await?;
        ensure!(answer.status == 200, "register: {} {}", answer.status, answer.text());
        let token: Value = serde_json::from_slice(&answer.body)?;
        let mut request = format!("ws://{address}/v1/workers/ws").into_client_request()?;
        let bearer = format!("Bearer {}", token["token"].as_str().context("no token")?);
        request.headers_mut().insert("authorization", bearer.parse()?);
        let stream = network::connect(host.init()?, address).await?;
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
        let key = identity.api_key.signing_key();
        let mut link = Self { socket, sender: Sender::new(key.clone()), receiver: Receiver::new(key) };
        let hello = FromAgent::Hello(Hello {
            version: FORGED.to_owned(),
            generation: 0,
            jobs: Vec::new(),
            build_slots: 0,
            host: HostFacts::default(),
        });
        let text = link.sender.seal(hello.kind(), &MessageId::random(), hello.payload(), now_ms());
        link.socket.send(Message::text(text)).await?;
        Ok(link)
    }

    async fn refused(&mut self) -> Result<Refused> {
        loop {
            let message = self.socket.next().await.context("closed without a word")??;
            let Message::Text(text) = message else { continue };
            let envelope = self.receiver.open(&text, now_ms())?;
            match FromControlPlane::parse(&envelope) {
                Ok(FromControlPlane::Refused(refused)) => return Ok(refused),
                Ok(_) => {}
                Err(error) => bail!("{error}"),
            }
        }
    }

    async fn closed(&mut self) {
        while let Some(Ok(message)) = self.socket.next().await {
            if message.is_close() {
                return;
            }
        }
    }
}
