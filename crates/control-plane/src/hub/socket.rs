//! One agent's connection: checks each envelope, hands messages to the inbox in their order, sends what the registry
//! queues, and notices when the other side is gone.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use protocol::envelope::{MessageId, Receiver, Refusal, Sender};
use protocol::identity::SigningKey;
use protocol::message::{Ack, Delivery, FromAgent, FromControlPlane, LastTable, MAX_FROM_AGENT, Refused};
use protocol::spec::TAKES_CHANGES;
use protocol::spec::private::TAKES_PRIVATE_CHANGES;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, timeout};
use tracing::{debug, info, warn};

use super::inbox;
use super::registry::Key;
use super::token::Agent;
use crate::app::AppState;
use crate::bus::{self, Topic};
use crate::http::Result;
use crate::nodes::{self, store};

const PING: Duration = Duration::from_secs(10);
/// A connection that says nothing for so long is dead.
const SILENCE: Duration = Duration::from_secs(30);
/// Time for `hello` to arrive.
const HELLO: Duration = Duration::from_secs(10);
/// Time for a message to be stored, before its agent is better off with another connection.
const STORE: Duration = Duration::from_mins(1);
/// Bytes read at once. Each read clears as many before it, and each connection keeps them: 128 KiB, which is the
/// library's own choice, is more than all else that a quiet agent costs.
const READ_BUFFER: usize = 8 * 1024;
/// Time for a last message and the close frame to leave.
const CLOSE: Duration = Duration::from_secs(2);

/// `GET /v1/workers/ws`.
pub(super) async fn upgrade(
    State(app): State<AppState>,
    agent: Agent,
    headers: HeaderMap,
    ws: WebSocketUpgrade,
) -> Result<Response> {
    let key = nodes::signing::open(&app.vault, agent.node.id, &agent.signing_key)?;
    let ws = ws.max_message_size(MAX_FROM_AGENT).max_frame_size(MAX_FROM_AGENT).read_buffer_size(READ_BUFFER);
    let takes = |(name, value): (&str, &str)| headers.get_all(name).iter().any(|takes| takes == value);
    let tables = takes(TAKES_CHANGES).then(LastTable::default);
    let takes_private = takes(TAKES_PRIVATE_CHANGES);
    Ok(ws.on_upgrade(move |socket| run(app, agent, key, (tables, takes_private), socket)))
}

async fn run(
    app: AppState,
    agent: Agent,
    signing_key: SigningKey,
    (tables, takes_private): (Option<LastTable>, bool),
    socket: WebSocket,
) {
    let key = Key { node: agent.node.id, kind: agent.kind };
    let held = app.hub.enter(key, &agent.node.name, takes_private);
    let (sink, stream) = socket.split();
    let mut writer = Writer { sink, sender: Sender::new(signing_key.clone()), tables };
    let mut reader = Reader {
        app: &app,
        agent: &agent,
        key,
        serial: held.serial,
        stream,
        receiver: Receiver::new(signing_key),
    };
    let reason = tokio::select! {
        Err(error) = reader.run() => error,
        Err(error) = writer.run(held.outgoing) => error,
        () = held.close.cancelled() => anyhow::anyhow!("closed by the control plane: replaced, removed, slow or stopping"),
    };
    if let Some(refusal) = reason.downcast_ref::<Refusal>() {
        metrics::counter!("wisehosting_envelopes_refused_total", "code" => refusal.code()).increment(1);
        warn!(node.id = %key.node, node.name = agent.node.name, agent = %key.kind, code = refusal.code(), reason = %refusal, "an envelope was refused");
        if let Err(error) = note_refusal(&app, key, refusal).await {
            debug!(error = format!("{error:#}"), "a refusal is not noted");
        }
        let refused = Refused { code: refusal.code().to_owned(), message: refusal.to_string() };
        // The connection ends whether or not the other side hears why.
        let _ = timeout(CLOSE, writer.send(&FromControlPlane::Refused(refused))).await;
    }
    let _ = timeout(CLOSE, writer.sink.close()).await;
    // What is left unread when the socket closes makes the kernel reset it, and the last message is lost.
    let _ = timeout(CLOSE, async { while let Some(Ok(_)) = reader.stream.next().await {} }).await;
    info!(node.id = %key.node, node.name = agent.node.name, agent = %key.kind, reason = format!("{reason:#}"), "hub: {} {} ({}) disconnected", key.kind, key.node, agent.node.name);
    if app.hub.leave(key, held.serial)
        && let Err(error) = disconnected(&app, key).await
    {
        debug!(error = format!("{error:#}"), "the end of a connection is noted later");
    }
}

/// So that the node does not just vanish.
async fn note_refusal(app: &AppState, key: Key, refusal: &Refusal) -> anyhow::Result<()> {
    let offset_ms = match refusal {
        Refusal::Skew { skew_ms } => Some(*skew_ms),
        _ => None,
    };
    let mut tx = app.db.begin().await?;
    store::checks::refused(&mut tx, key.node, key.kind, &refusal.to_string(), offset_ms).await?;
    tx.commit().await?;
    Ok(())
}

async fn disconnected(app: &AppState, key: Key) -> anyhow::Result<()> {
    let mut tx = app.db.begin().await?;
    store::agent_disconnected(&mut tx, key.node, key.kind, app.replica).await?;
    bus::say(&mut tx, Topic::Nodes, key.node).await?;
    tx.commit().await?;
    Ok(())
}

struct Writer {
    sink: SplitSink<WebSocket, Message>,
    sender: Sender,
    /// The last one, for an agent that takes changes of it.
    tables: Option<LastTable>,
}

impl Writer {
    async fn run(&mut self, mut outgoing: mpsc::Receiver<FromControlPlane>) -> anyhow::Result<Infallible> {
        let mut pings = tokio::time::interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = pings.tick() => self.put(Message::Ping(bytes::Bytes::new())).await?,
                message = outgoing.recv() => match message {
                    Some(message) => {
                        let message = match &mut self.tables {
                            Some(tables) => tables.shorten(message),
                            None => message,
                        };
                        self.send(&message).await?;
                    }
                    None => bail!("a newer connection of this agent took over"),
                },
            }
        }
    }

    async fn send(&mut self, message: &FromControlPlane) -> anyhow::Result<()> {
        let text = self.sender.seal(message.kind(), &MessageId::random(), message.payload(), now_ms());
        self.put(Message::Text(Utf8Bytes::from(text))).await
    }

    async fn put(&mut self, message: Message) -> anyhow::Result<()> {
        match timeout(SILENCE, self.sink.send(message)).await {
            Ok(sent) => sent.context("the connection broke while sending"),
            Err(_) => bail!("the agent took nothing for {SILENCE:?}"),
        }
    }
}

/// A message that was checked.
struct Received {
    id: MessageId,
    message: FromAgent,
    /// The agent's clock against ours when it was signed, less its way here.
    offset_ms: i64,
}

struct Reader<'a> {
    app: &'a AppState,
    agent: &'a Agent,
    key: Key,
    serial: u64,
    stream: SplitStream<WebSocket>,
    receiver: Receiver,
}

impl Reader<'_> {
    async fn run(&mut self) -> anyhow::Result<Infallible> {
        let Received { message: first, offset_ms, .. } = match timeout(HELLO, self.next()).await {
            Ok(first) => first?,
            Err(_) => bail!("no hello within {HELLO:?}"),
        };
        let FromAgent::Hello(hello) = first else {
            bail!("the first message was {}, not hello", first.kind())
        };
        inbox::hello(self.app, self.agent, self.serial, hello, offset_ms).await?;
        loop {
            let Received { id, message, offset_ms } = self.next().await?;
            let reliable = message.delivery() == Delivery::Reliable;
            match timeout(STORE, inbox::take(self.app, self.agent, message, offset_ms)).await {
                Ok(taken) => taken?,
                Err(_) => bail!("Postgres took no message for {STORE:?}"),
            }
            if reliable {
                self.app.hub.acknowledge(self.key, self.serial, Ack { ids: vec![id] });
            }
        }
    }

    /// The next message that this version understands.
    async fn next(&mut self) -> anyhow::Result<Received> {
        loop {
            let Ok(received) = timeout(SILENCE, self.stream.next()).await else {
                bail!("the agent said nothing for {SILENCE:?}")
            };
            match received.context("the agent closed the connection")?.context("the connection broke")? {
                Message::Text(text) => {
                    let now = now_ms();
                    let envelope = self.receiver.open(&text, now)?;
                    let offset_ms = envelope.sent_at_ms.saturating_sub(now);
                    match inbox::parse(envelope) {
                        Ok((id, message)) => return Ok(Received { id, message, offset_ms }),
                        Err(error) => {
                            warn!(node.name = self.agent.node.name, agent = %self.key.kind, error = format!("{error:#}"), "message skipped");
                        }
                    }
                }
                Message::Close(_) => bail!("the agent closed the connection"),
                // Anything received shows that the other side lives; pings are answered by the library.
                _ => {}
            }
        }
    }
}

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}
