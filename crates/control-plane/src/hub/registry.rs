//! The connections that this control plane holds.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::identity::AgentKind;
use protocol::ids::{InstanceId, JobId, NodeId};
use protocol::message::{FromControlPlane, JobCancel};
use protocol::question::Ask;
use protocol::report::InstanceStats;
use protocol::spec::private::PrivateChange;
use protocol::spec::{Generation, Spec, Versioned};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::network::{Known, Seen};

/// One agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    pub node: NodeId,
    pub kind: AgentKind,
}

/// Messages that may wait for one agent. More means that it does not read: its connection is closed, and the next one
/// is told everything anew.
const OUTGOING: usize = 256;

/// How long numbers are shown after they were reported.
const STATS_LAST: Duration = Duration::from_mins(5);

/// All connections of this process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Hub(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    connections: Mutex<Connections>,
    stats: Mutex<NewestStats>,
}

/// What workers measured last.
#[derive(Debug, Default)]
struct NewestStats {
    newest: HashMap<InstanceId, (Instant, InstanceStats)>,
    swept: Option<Instant>,
}

impl NewestStats {
    /// Forgets what is too old, now and then: each of a thousand workers tells its own every few seconds.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_none_or(|swept| now.duration_since(swept) >= STATS_LAST) {
            self.newest.retain(|_, (at, _)| now.duration_since(*at) < STATS_LAST);
            self.swept = Some(now);
        }
    }
}

#[derive(Debug, Default)]
struct Connections {
    newest: u64,
    by_agent: HashMap<Key, Connection>,
    closed: bool,
}

#[derive(Debug)]
struct Connection {
    serial: u64,
    name: String,
    outgoing: mpsc::Sender<FromControlPlane>,
    close: CancellationToken,
    /// Whether `hello` came; before that nothing is sent.
    ready: bool,
    /// The generation that the agent was sent or said that it has.
    generation: Generation,
    /// Whether it was sent a spec over this connection.
    told: bool,
    /// Whether it takes changes of its private network, and what it was told of that over this connection.
    takes_private: bool,
    network: Known,
    /// Jobs that were started or cancelled over this connection.
    started: HashSet<JobId>,
    cancelled: HashSet<JobId>,
    /// Questions that were asked over this connection.
    asked: HashSet<Uuid>,
}

impl Connection {
    /// Generations rise, so that of two passes beside each other the older one does not win. The first spec of a
    /// connection may also be lower than what the agent has: the database was restored.
    fn wants(&self, generation: Generation) -> bool {
        if self.told { generation > self.generation } else { generation != self.generation }
    }

    /// Whether it has a whole state of this connection that differs from what is newer in the private network alone.
    fn takes_network(&self, from: Generation) -> bool {
        self.ready && self.told && self.takes_private && self.generation >= from
    }
}

/// What a connection's task holds.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) serial: u64,
    pub(super) outgoing: mpsc::Receiver<FromControlPlane>,
    pub(super) close: CancellationToken,
}

impl Hub {
    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.0.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn newest_stats(&self) -> MutexGuard<'_, NewestStats> {
        self.0.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the gauges of connected agents.
    pub fn gauges(&self) {
        let connections = self.connections();
        for kind in [AgentKind::Mesh, AgentKind::Worker, AgentKind::Proxy, AgentKind::Ingress] {
            gauge(kind, &connections);
        }
    }

    /// Takes a new connection in. It replaces an older one of the same agent.
    pub(super) fn enter(&self, key: Key, name: &str, takes_private: bool) -> Held {
        let mut connections = self.connections();
        connections.newest += 1;
        let serial = connections.newest;
        let (sender, outgoing) = mpsc::channel(OUTGOING);
        let close = CancellationToken::new();
        if connections.closed {
            close.cancel();
        }
        let connection = Connection {
            serial,
            name: name.to_owned(),
            outgoing: sender,
            close: close.clone(),
            ready: false,
            generation: 0,
            told: false,
            takes_private,
            network: Known::default(),
            started: HashSet::new(),
            cancelled: HashSet::new(),
            asked: HashSet::new(),
        };
        if let Some(older) = connections.by_agent.insert(key, connection) {
            older.close.cancel();
        }
        gauge(key.kind, &connections);
        Held { serial, outgoing, close }
    }

    /// The connection ended; `true` when no newer one has taken its place.
    pub(super) fn leave(&self, key: Key, serial: u64) -> bool {
        let mut connections = self.connections();
        let own = connections.by_agent.get(&key).is_some_and(|connection| connection.serial == serial);
        if own {
            connections.by_agent.remove(&key);
        }
        gauge(key.kind, &connections);
        own
    }

    /// `hello` came: the agent has this generation and runs these jobs.
    pub(super) fn ready(&self, key: Key, serial: u64, generation: Generation, jobs: &[JobId]) {
        if let Some(connection) = self.connections().by_agent.get_mut(&key)
            && connection.serial == serial
        {
            connection.ready = true;
            connection.generation = generation;
            connection.started = jobs.iter().copied().collect();
        }
    }

    /// Agents that are connected here and have said `hello`.
    pub fn connected(&self) -> Vec<Key> {
        let connections = self.connections();
        connections.by_agent.iter().filter(|(_, connection)| connection.ready).map(|(key, _)| *key).collect()
    }

    /// Whether the agent still has to be sent `generation`.
    pub fn lacks(&self, key: Key, generation: Generation) -> bool {
        let connections = self.connections();
        connections
            .by_agent
            .get(&key)
            .is_some_and(|connection| connection.ready && connection.wants(generation))
    }

    /// Queues a spec.
    pub fn send_spec(&self, key: Key, spec: Versioned<Spec>) {
        let network = match &spec.spec {
            Spec::Worker(worker) => Known::of(worker.private.as_ref()),
            Spec::Mesh(_) | Spec::Proxy(_) => Known::default(),
        };
        self.send(key, |connection| {
            if !connection.wants(spec.generation) {
                return None;
            }
            connection.generation = spec.generation;
            connection.told = true;
            connection.network = network;
            Some(FromControlPlane::Spec(spec))
        });
    }

    /// Whether nothing but its private network is new to the worker, if nothing else has changed since `from`.
    pub fn lacks_only_network(&self, key: Key, from: Generation) -> bool {
        self.connections().by_agent.get(&key).is_some_and(|connection| connection.takes_network(from))
    }

    /// Queues what is new to the worker in `projects`, which are all that have containers there at `generation`. Nothing
    /// else may have changed since `from`.
    pub fn send_network(&self, key: Key, from: Generation, generation: Generation, projects: &[Arc<Seen>]) {
        self.send(key, |connection| {
            // It may have connected anew since.
            if !connection.takes_network(from) || !connection.wants(generation) {
                return None;
            }
            let change = PrivateChange {
                from: connection.generation,
                generation,
                projects: connection.network.tell(projects),
            };
            connection.generation = generation;
            Some(FromControlPlane::SpecPrivate(Box::new(change)))
        });
    }

    /// Whether the job has not been started over the agent's connection.
    pub fn lacks_job(&self, key: Key, job: JobId) -> bool {
        let connections = self.connections();
        connections
            .by_agent
            .get(&key)
            .is_some_and(|connection| connection.ready && !connection.started.contains(&job))
    }

    /// Starts a job, once per connection.
    pub fn start_job(&self, key: Key, job: protocol::job::Job) {
        self.send(key, |connection| {
            connection.started.insert(job.id).then_some(FromControlPlane::JobStart(job))
        });
    }

    /// Cancels a job, once per connection.
    pub fn cancel_job(&self, key: Key, job_id: JobId) {
        self.send(key, |connection| {
            connection.cancelled.insert(job_id).then_some(FromControlPlane::JobCancel(JobCancel { job_id }))
        });
    }

    /// Answers a worker that asked for its lease.
    pub fn grant(&self, key: Key, grant: protocol::lease::LeaseGrant) {
        self.send(key, |_| Some(FromControlPlane::LeaseGrant(grant)));
    }

    /// Asks, once per connection.
    pub fn ask(&self, key: Key, ask: Ask) {
        self.send(key, |connection| {
            (connection.ready && connection.asked.insert(ask.id)).then_some(FromControlPlane::Ask(ask))
        });
    }

    /// Forgets which questions were asked, but for these.
    pub fn forget_questions(&self, open: &HashSet<Uuid>) {
        for connection in self.connections().by_agent.values_mut() {
            connection.asked.retain(|asked| open.contains(asked));
        }
    }

    /// Acknowledges, on the connection that the message came by.
    pub(super) fn acknowledge(&self, key: Key, serial: u64, ack: protocol::message::Ack) {
        self.send(key, |connection| (connection.serial == serial).then_some(FromControlPlane::Ack(ack)));
    }

    fn send(&self, key: Key, message: impl FnOnce(&mut Connection) -> Option<FromControlPlane>) {
        let mut connections = self.connections();
        let Some(connection) = connections.by_agent.get_mut(&key) else { return };
        let Some(message) = message(connection) else { return };
        if connection.outgoing.try_send(message).is_err() {
            warn!(node.id = %key.node, node.name = connection.name, agent = %key.kind, "the agent reads too slowly: closing its connection");
            connection.close.cancel();
        }
    }

    /// Closes the agent's connection, for example because its node was removed.
    pub fn close(&self, key: Key) {
        if let Some(connection) = self.connections().by_agent.get(&key) {
            connection.close.cancel();
        }
    }

    /// Closes all connections of a node's agents.
    pub fn close_node(&self, node: NodeId) {
        let connections = self.connections();
        let its = connections.by_agent.iter().filter(|(key, _)| key.node == node);
        its.for_each(|(_, connection)| connection.close.cancel());
    }

    /// Closes all connections and lets in no more: the process stops.
    pub fn close_all(&self) {
        let mut connections = self.connections();
        connections.closed = true;
        connections.by_agent.values().for_each(|connection| connection.close.cancel());
    }

    pub(super) fn note_stats(&self, stats: Vec<InstanceStats>) {
        let mut known = self.newest_stats();
        let now = Instant::now();
        known.sweep(now);
        known.newest.extend(stats.into_iter().map(|stats| (stats.id, (now, stats))));
    }

    /// The newest numbers of an instance whose worker is connected here.
    pub fn stats(&self, instance: InstanceId) -> Option<InstanceStats> {
        let known = self.newest_stats();
        known
            .newest
            .get(&instance)
            .filter(|(at, _)| at.elapsed() < STATS_LAST)
            .map(|(_, stats)| stats.clone())
    }
}

fn gauge(kind: AgentKind, connections: &Connections) {
    let count = connections.by_agent.keys().filter(|key| key.kind == kind).count();
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    metrics::gauge!("wisehosting_agents_connected", "agent" => kind.as_str()).set(count);
}
