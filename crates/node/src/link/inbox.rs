//! What waits for the agent. Never makes the connection's reader wait, because an agent that itself waits for room in
//! the outbox would then wait for an acknowledgement that nobody reads.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::ids::JobId;
use protocol::message::FromControlPlane;
use tokio::sync::Notify;

/// Bound of the queue. Specs and connection events replace older ones, so only different jobs add up.
const MAX_EVENTS: usize = 256;

/// What the link tells the agent.
#[derive(Debug)]
pub enum LinkEvent {
    /// Signed in, `hello` said; the control plane now sends the spec and the jobs of this agent.
    Connected,
    Disconnected,
    /// A spec, a job to start or a job to cancel.
    Message(FromControlPlane),
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<LinkEvent>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Notify,
}

/// The link's end.
#[derive(Debug, Clone, Default)]
pub(super) struct Inbox(Arc<Shared>);

/// The agent's end.
#[derive(Debug)]
pub struct Events(Arc<Shared>);

impl Inbox {
    pub(super) fn new() -> (Self, Events) {
        let inbox = Self::default();
        let events = Events(inbox.0.clone());
        (inbox, events)
    }

    /// Queues `event`; `false` when the queue is full. The connection is then closed, and the control plane says
    /// everything again on the next one.
    pub(super) fn push(&self, event: LinkEvent) -> bool {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.events.retain(|older| !replaces(&event, older));
        let room = queue.events.len() < MAX_EVENTS || is_connection(&event);
        if room {
            queue.events.push_back(event);
        }
        drop(queue);
        self.0.arrived.notify_one();
        room
    }

    pub(super) fn close(&self) {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.0.arrived.notify_one();
    }
}

impl Events {
    /// The next event; `None` after the link ended. Cancel-safe.
    pub async fn recv(&mut self) -> Option<LinkEvent> {
        loop {
            {
                let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(event) = queue.events.pop_front() {
                    return Some(event);
                }
                if queue.closed {
                    return None;
                }
            }
            self.0.arrived.notified().await;
        }
    }
}

fn is_connection(event: &LinkEvent) -> bool {
    matches!(event, LinkEvent::Connected | LinkEvent::Disconnected)
}

fn replaces(newer: &LinkEvent, older: &LinkEvent) -> bool {
    match (newer, older) {
        (
            LinkEvent::Message(FromControlPlane::Spec(_)),
            LinkEvent::Message(FromControlPlane::Spec(_) | FromControlPlane::SpecPrivate(_)),
        ) => true,
        (LinkEvent::Message(newer), LinkEvent::Message(older)) => {
            newer.kind() == older.kind() && job(newer).is_some() && job(newer) == job(older)
        }
        (newer, older) => is_connection(newer) && is_connection(older),
    }
}

fn job(message: &FromControlPlane) -> Option<JobId> {
    match message {
        FromControlPlane::JobStart(job) => Some(job.id),
        FromControlPlane::JobCancel(cancel) => Some(cancel.job_id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use protocol::message::JobCancel;
    use protocol::spec::{MeshSpec, Spec, Versioned};

    use super::*;

    fn spec(generation: i64) -> LinkEvent {
        let spec = Spec::Mesh(MeshSpec::default());
        LinkEvent::Message(FromControlPlane::Spec(Versioned { generation, spec }))
    }

    fn cancel() -> LinkEvent {
        LinkEvent::Message(FromControlPlane::JobCancel(JobCancel { job_id: JobId::new() }))
    }

    #[tokio::test]
    async fn a_slow_agent_sees_the_newest_spec_after_the_newest_connect() {
        let (inbox, mut events) = Inbox::new();
        for event in [LinkEvent::Connected, spec(1), LinkEvent::Disconnected, LinkEvent::Connected, spec(2)] {
            assert!(inbox.push(event));
        }
        inbox.close();
        assert!(matches!(events.recv().await, Some(LinkEvent::Connected)));
        let Some(LinkEvent::Message(FromControlPlane::Spec(newest))) = events.recv().await else {
            panic!("no spec")
        };
        assert_eq!(newest.generation, 2);
        assert!(events.recv().await.is_none());
    }

    #[test]
    fn jobs_beyond_the_bound_are_refused_and_connection_events_are_not() {
        let (inbox, _events) = Inbox::new();
        for _ in 0..MAX_EVENTS {
            assert!(inbox.push(cancel()));
        }
        assert!(!inbox.push(cancel()));
        assert!(inbox.push(LinkEvent::Disconnected));
    }
}
