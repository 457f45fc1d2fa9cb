//! One connection: what it sends, what it receives, when it is dead.

use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, bail};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use protocol::envelope::{Receiver, Sender};
use protocol::identity::SigningKey;
use protocol::message::{FromAgent, FromControlPlane, LastTable, Refused};
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::dial::Socket;
use super::inbox::{Inbox, LinkEvent};
use super::outbox::Outgoing;
use super::{Shared, Timing};

/// How a try to be connected ended.
pub(super) struct Ended {
    /// The control plane said something valid: the next try need not wait long.
    pub(super) useful: bool,
    pub(super) reason: anyhow::Error,
}

/// Time for a close frame to leave.
const CLOSE: Duration = Duration::from_secs(1);

pub(super) async fn run(
    shared: &Shared,
    inbox: &Inbox,
    socket: Socket,
    key: SigningKey,
    stop: &CancellationToken,
) -> Ended {
    let (mut sink, stream) = socket.split();
    let mut reader =
        Reader { shared, inbox, key: key.clone(), stream, table: LastTable::default(), useful: false };
    let reason = tokio::select! {
        Err(error) = reader.run() => error,
        Err(error) = write(shared, key, &mut sink) => error,
        () = shared.rekeyed.notified() => anyhow!("this host has another API key"),
        () = stop.cancelled() => anyhow!("stopping"),
    };
    // The connection is given up whether or not the other side hears of it.
    let _ = tokio::time::timeout(CLOSE, sink.close()).await;
    Ended { useful: reader.useful, reason }
}

/// Sends `hello`, then what the outbox has, and pings in between.
async fn write(
    shared: &Shared,
    key: SigningKey,
    sink: &mut SplitSink<Socket, Message>,
) -> anyhow::Result<std::convert::Infallible> {
    let Timing { ping, silence, .. } = shared.config.timing;
    let mut sender = Sender::new(key);
    let mut seal = move |message: Outgoing| {
        let text = sender.seal(message.kind, &message.id, message.payload, now_ms());
        Message::text(text)
    };
    let hello = FromAgent::Hello((shared.config.hello)());
    send(sink, seal(Outgoing::new(&hello)), silence).await?;
    let mut pings = tokio::time::interval(ping);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            biased;
            _ = pings.tick() => Message::Ping(bytes::Bytes::new()),
            message = shared.outbox.next() => seal(message),
        };
        send(sink, message, silence).await?;
    }
}

async fn send(
    sink: &mut SplitSink<Socket, Message>,
    message: Message,
    limit: Duration,
) -> anyhow::Result<()> {
    match tokio::time::timeout(limit, sink.send(message)).await {
        Ok(result) => result.context("the connection broke while sending"),
        Err(_) => bail!("the control plane took nothing for {limit:?}"),
    }
}

struct Reader<'a> {
    shared: &'a Shared,
    inbox: &'a Inbox,
    key: SigningKey,
    stream: SplitStream<Socket>,
    table: LastTable,
    useful: bool,
}

impl Reader<'_> {
    async fn run(&mut self) -> anyhow::Result<std::convert::Infallible> {
        let mut receiver = Receiver::new(self.key.clone());
        let silence = self.shared.config.timing.silence;
        loop {
            let Ok(received) = tokio::time::timeout(silence, self.stream.next()).await else {
                bail!("the control plane said nothing for {silence:?}");
            };
            match received
                .context("the control plane closed the connection")?
                .context("the connection broke")?
            {
                Message::Text(text) => {
                    let envelope =
                        receiver.open(&text, now_ms()).context("refused what the control plane sent")?;
                    match FromControlPlane::parse(&envelope) {
                        Ok(message) => self.take(message)?,
                        Err(error) => warn!(error = format!("{error:#}"), "message skipped"),
                    }
                }
                Message::Close(frame) => {
                    let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                    bail!("the control plane closed the connection {reason}");
                }
                // Pings are answered by the library; anything received shows that the other side lives.
                _ => {}
            }
        }
    }

    fn take(&mut self, message: FromControlPlane) -> anyhow::Result<()> {
        match message {
            FromControlPlane::Refused(refused) => bail!("{}", refusal(&refused)),
            FromControlPlane::Ack(ack) => {
                self.useful = true;
                self.shared.outbox.acknowledge(&ack.ids);
            }
            message => {
                self.useful = true;
                let message = self
                    .table
                    .lengthen(message)
                    .context("a change of the routes does not fit: asking for them whole")?;
                if !self.inbox.push(LinkEvent::Message(message)) {
                    bail!("the agent does not keep up with what the control plane sends");
                }
            }
        }
        Ok(())
    }
}

/// What the control plane refused, with what to do.
fn refusal(refused: &Refused) -> String {
    let remedy = match refused.code.as_str() {
        "envelope_skew" => "set this host's clock, for example with chrony",
        "envelope_hmac" => {
            "the API key in identity.json is not the one the control plane knows: remove identity.json and restart wisehosting-mesh; an enrolled host also needs a new join token"
        }
        _ => "see the control plane's log",
    };
    format!("the control plane refused a message: {} ({}); {remedy}", refused.message, refused.code)
}

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}
