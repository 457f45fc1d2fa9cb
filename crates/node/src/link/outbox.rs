//! What waits to be sent: reliable messages until they are acknowledged, the newest of each coalesced type, and
//! messages for the present connection only.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::envelope::MessageId;
use protocol::message::{Delivery, FromAgent, MAX_FROM_AGENT};
use serde_json::value::RawValue;
use tokio::sync::{Notify, oneshot};

/// Bounds of the reliable part. When one is reached, producers wait.
pub(super) const MAX_MESSAGES: usize = 10_000;
pub(super) const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Room that an envelope needs beside its payload.
const ENVELOPE_BYTES: usize = 512;
/// Bound of the messages for the present connection only; the oldest is dropped.
const MAX_ONCE: usize = 1000;

/// Why a message was not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SendError {
    #[error(
        "a message of type `{kind}` has {bytes} bytes, more than the {MAX_FROM_AGENT} that the link carries: split it"
    )]
    TooLarge { kind: &'static str, bytes: usize },
    #[error("the link has ended")]
    Closed,
}

/// One message as it goes into an envelope.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) kind: &'static str,
    pub(super) id: MessageId,
    pub(super) payload: Box<RawValue>,
}

impl Outgoing {
    pub(super) fn new(message: &FromAgent) -> Self {
        Self { kind: message.kind(), id: MessageId::random(), payload: message.payload() }
    }

    fn bytes(&self) -> usize {
        self.payload.get().len()
    }
}

#[derive(Debug)]
struct Kept {
    message: Outgoing,
    acknowledged: Option<oneshot::Sender<()>>,
}

#[derive(Debug, Default)]
struct State {
    /// Reliable messages by order of sending.
    kept: BTreeMap<u64, Kept>,
    places: HashMap<MessageId, u64>,
    next_place: u64,
    /// The first place that was not sent on this connection.
    unsent: u64,
    kept_bytes: usize,
    latest: VecDeque<Outgoing>,
    once: VecDeque<Outgoing>,
    connected: bool,
    closed: bool,
}

/// Shared by producers and the connection's writer.
#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// For the one writer: something to send.
    work: Notify,
    /// For all waiting producers: room again.
    space: Notify,
    max_messages: usize,
    max_bytes: usize,
}

impl Outbox {
    pub(super) fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self { state: Mutex::default(), work: Notify::new(), space: Notify::new(), max_messages, max_bytes }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `message`; a reliable one waits for room.
    pub(super) async fn push(&self, message: &FromAgent) -> Result<Option<oneshot::Receiver<()>>, SendError> {
        let outgoing = Outgoing::new(message);
        let (kind, bytes) = (outgoing.kind, outgoing.bytes());
        if bytes + ENVELOPE_BYTES > MAX_FROM_AGENT {
            return Err(SendError::TooLarge { kind, bytes });
        }
        let receiver = match message.delivery() {
            Delivery::Reliable => Some(self.push_reliable(outgoing).await?),
            Delivery::Latest => {
                let mut state = self.state();
                state.latest.retain(|waiting| waiting.kind != kind);
                state.latest.push_back(outgoing);
                None
            }
            Delivery::Once => {
                let mut state = self.state();
                if state.connected {
                    state.once.push_back(outgoing);
                    if state.once.len() > MAX_ONCE {
                        state.once.pop_front();
                    }
                }
                None
            }
        };
        self.work.notify_one();
        Ok(receiver)
    }

    async fn push_reliable(&self, outgoing: Outgoing) -> Result<oneshot::Receiver<()>, SendError> {
        let mut outgoing = Some(outgoing);
        loop {
            // Registered before looking, so that room made in between is not missed.
            let room = self.space.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            {
                let mut state = self.state();
                if state.closed {
                    return Err(SendError::Closed);
                }
                let bytes = outgoing.as_ref().map_or(0, Outgoing::bytes);
                let fits = state.kept.len() < self.max_messages && state.kept_bytes + bytes <= self.max_bytes;
                if (fits || state.kept.is_empty())
                    && let Some(message) = outgoing.take()
                {
                    return Ok(state.keep(message));
                }
            }
            room.await;
        }
    }

    /// Forgets acknowledged messages and tells who waits for them.
    pub(super) fn acknowledge(&self, ids: &[MessageId]) {
        let mut state = self.state();
        for id in ids {
            let Some(kept) = state.places.remove(id).and_then(|place| state.kept.remove(&place)) else {
                continue;
            };
            state.kept_bytes -= kept.message.bytes();
            if let Some(waiting) = kept.acknowledged {
                // Err: the producer no longer waits.
                let _ = waiting.send(());
            }
        }
        drop(state);
        self.space.notify_waiters();
    }

    /// A connection begins: all kept messages are to be sent again, in order.
    pub(super) fn connected(&self) {
        let mut state = self.state();
        state.connected = true;
        state.unsent = 0;
        drop(state);
        self.work.notify_one();
    }

    pub(super) fn is_connected(&self) -> bool {
        self.state().connected
    }

    /// A connection ended: what was only for it is gone.
    pub(super) fn disconnected(&self) {
        let mut state = self.state();
        state.connected = false;
        state.once.clear();
    }

    /// The link ended: nobody waits for room any more.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.space.notify_waiters();
    }

    /// The next message to send. Cancel-safe: a message is taken only when this returns.
    pub(super) async fn next(&self) -> Outgoing {
        loop {
            if let Some(message) = self.state().take_next() {
                return message;
            }
            self.work.notified().await;
        }
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.state().kept.len()
    }
}

impl State {
    fn keep(&mut self, message: Outgoing) -> oneshot::Receiver<()> {
        let (acknowledged, receiver) = oneshot::channel();
        let place = self.next_place;
        self.next_place += 1;
        self.kept_bytes += message.bytes();
        self.places.insert(message.id.clone(), place);
        self.kept.insert(place, Kept { message, acknowledged: Some(acknowledged) });
        receiver
    }

    /// Messages for this connection, then the coalesced, then the kept ones in order. The first two are few.
    fn take_next(&mut self) -> Option<Outgoing> {
        if let Some(message) = self.once.pop_front().or_else(|| self.latest.pop_front()) {
            return Some(message);
        }
        let (place, kept) = self.kept.range(self.unsent..).next()?;
        self.unsent = place + 1;
        Some(kept.message.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::Utc;
    use protocol::ids::JobId;
    use protocol::job::Outcome;
    use protocol::message::{Ack, Applied, JobDone};
    use protocol::report::{JobLog, LogLine, Stream};

    use super::*;

    fn done() -> FromAgent {
        FromAgent::JobDone(JobDone { job_id: JobId::new(), outcome: Outcome::Cancelled })
    }

    fn log(bytes: usize) -> FromAgent {
        let line = LogLine { seq: 1, at: Utc::now(), stream: Stream::Stdout, text: "x".repeat(bytes) };
        FromAgent::JobLog(JobLog { job_id: JobId::new(), lines: vec![line] })
    }

    async fn soon<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(Duration::from_millis(50), future).await.ok()
    }

    #[tokio::test]
    async fn reliable_messages_are_sent_again_in_order_with_the_same_ids_until_acknowledged() {
        let outbox = Outbox::new(10, MAX_BYTES);
        for _ in 0..3 {
            outbox.push(&done()).await.expect("room");
        }
        let first = [outbox.next().await.id, outbox.next().await.id];
        outbox.acknowledge(&first[..1]);
        outbox.disconnected();
        outbox.connected();
        assert_eq!(outbox.next().await.id, first[1]);
        outbox.next().await;
        assert!(soon(outbox.next()).await.is_none());
    }

    #[tokio::test]
    async fn a_full_outbox_makes_the_producer_wait_until_something_is_acknowledged() {
        for (outbox, message) in [(Outbox::new(1, MAX_BYTES), done()), (Outbox::new(10, 600), log(500))] {
            let acked = outbox.push(&message).await.expect("room").expect("reliable");
            assert!(soon(outbox.push(&message)).await.is_none(), "taken beyond the bound");
            let id = outbox.next().await.id;
            let acknowledge = async { outbox.acknowledge(&[id]) };
            let (pushed, ()) = tokio::join!(soon(outbox.push(&message)), acknowledge);
            assert!(pushed.expect("in time").is_ok());
            assert!(acked.await.is_ok());
            assert_eq!(outbox.kept(), 1);
        }
    }

    #[tokio::test]
    async fn only_the_newest_of_a_coalesced_type_is_sent() {
        let outbox = Outbox::new(10, MAX_BYTES);
        for generation in 1..=3 {
            outbox.push(&FromAgent::Applied(Applied { generation })).await.expect("taken");
        }
        assert_eq!(outbox.next().await.payload.get(), r#"{"generation":3}"#);
        assert!(soon(outbox.next()).await.is_none());
    }

    #[tokio::test]
    async fn messages_for_one_connection_do_not_outlive_it() {
        let outbox = Outbox::new(10, MAX_BYTES);
        let ack = FromAgent::Ack(Ack { ids: Vec::new() });
        outbox.push(&ack).await.expect("taken");
        outbox.connected();
        assert!(soon(outbox.next()).await.is_none(), "sent although it was said while disconnected");
        outbox.push(&ack).await.expect("taken");
        outbox.disconnected();
        outbox.connected();
        assert!(soon(outbox.next()).await.is_none());
    }

    #[tokio::test]
    async fn a_message_that_can_never_pass_is_refused_at_once() {
        let outbox = Outbox::new(10, MAX_BYTES);
        let error = outbox.push(&log(MAX_FROM_AGENT)).await.expect_err("too large");
        assert!(matches!(error, SendError::TooLarge { kind: "job.log", .. }));
    }

    #[tokio::test]
    async fn waiting_producers_are_let_go_when_the_link_ends() {
        let outbox = Outbox::new(0, MAX_BYTES);
        outbox.push(&done()).await.expect("the first always fits");
        let message = done();
        let (pushed, ()) = tokio::join!(outbox.push(&message), async { outbox.close() });
        assert_eq!(pushed.expect_err("closed"), SendError::Closed);
    }
}
