//! What the hosts told last, and the minutes that are not in the tables yet. In memory: what is lost with the process is a
//! minute of a chart.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use protocol::ids::NodeId;
use protocol::numbers::{NodeNumbers, Space};

use super::NodeNow;
use crate::traffic::minute;

/// For how long they are shown after they were told.
const LASTS: TimeDelta = TimeDelta::minutes(5);
/// Minutes of all hosts that wait while they cannot be stored.
const MOST_WAITING: usize = 20_000;
/// The most of anything: 72 PB. Sums of it fit in a `bigint`.
const MOST: u64 = 1 << 56;

/// What was told within a minute.
#[derive(Debug, Clone, PartialEq)]
pub struct Minute {
    pub node: NodeId,
    pub at: DateTime<Utc>,
    /// The mean.
    pub cpu: f32,
    pub cpu_most: f32,
    /// The mean.
    pub load: f32,
    /// The most that was used.
    pub memory: Space,
    pub swap: Space,
    pub root: Space,
    pub containers: Option<Space>,
    pub received_bytes: u64,
    pub sent_bytes: u64,
    told: u16,
}

/// All hosts that tell this replica.
#[derive(Debug, Default)]
pub struct Live(Mutex<Hosts>);

#[derive(Debug, Default)]
struct Hosts {
    newest: HashMap<NodeId, Newest>,
    open: HashMap<NodeId, Minute>,
    waiting: Vec<Minute>,
}

#[derive(Debug)]
struct Newest {
    /// By our clock.
    at: DateTime<Utc>,
    said: NodeNumbers,
    /// Bytes a second, received and sent.
    rates: Option<(u64, u64)>,
}

impl Live {
    fn hosts(&self) -> MutexGuard<'_, Hosts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A host told. `now` is our clock: that of the host may be off.
    pub fn take(&self, node: NodeId, said: NodeNumbers, now: DateTime<Utc>) {
        let said = within(said);
        let mut hosts = self.hosts();
        let before = hosts.newest.get(&node);
        let passed = before.map(|before| passed(&before.said, &said)).unwrap_or_default();
        let seconds = before.map_or(0, |before| (now - before.at).num_seconds());
        let rates = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
        let rates = rates.map(|seconds| (passed.0 / seconds, passed.1 / seconds));
        hosts.add(node, &said, passed, now);
        hosts.newest.insert(node, Newest { at: now, said, rates });
    }

    /// What a host told, unless that is too long ago.
    pub fn of(&self, node: NodeId) -> Option<NodeNow> {
        self.of_at(node, Utc::now())
    }

    fn of_at(&self, node: NodeId, now: DateTime<Utc>) -> Option<NodeNow> {
        let hosts = self.hosts();
        let Newest { at, said, rates } = hosts.newest.get(&node).filter(|newest| now - newest.at < LASTS)?;
        let (received, sent) = rates.unzip();
        Some(NodeNow {
            at: *at,
            cpu_percent: said.cpu_percent,
            load: said.load[0],
            memory: said.memory,
            swap: said.swap,
            root: said.root,
            containers: said.containers,
            received_per_s: received,
            sent_per_s: sent,
            uptime_s: Some(said.uptime_s),
        })
    }

    /// The minutes that are over; they are no longer here.
    pub fn closed(&self, now: DateTime<Utc>) -> Vec<Minute> {
        let mut hosts = self.hosts();
        hosts.newest.retain(|_, newest| now - newest.at < LASTS);
        let over = minute(now);
        let mut closed = std::mem::take(&mut hosts.waiting);
        closed.extend(hosts.open.extract_if(|_, open| open.at < over).map(|(_, open)| open));
        closed
    }

    /// They could not be stored, and wait; the oldest go when there are too many.
    pub fn give_back(&self, minutes: Vec<Minute>) {
        let mut hosts = self.hosts();
        let newer = std::mem::replace(&mut hosts.waiting, minutes);
        hosts.waiting.extend(newer);
        let surplus = hosts.waiting.len().saturating_sub(MOST_WAITING);
        hosts.waiting.drain(..surplus);
    }
}

impl Hosts {
    fn add(&mut self, node: NodeId, said: &NodeNumbers, (received, sent): (u64, u64), now: DateTime<Utc>) {
        let at = minute(now);
        match self.open.get_mut(&node) {
            Some(open) if open.at == at => open.add(said, received, sent),
            _ => {
                let closed = self.open.insert(node, Minute::new(node, at, said, received, sent));
                self.waiting.extend(closed);
            }
        }
    }
}

impl Minute {
    fn new(node: NodeId, at: DateTime<Utc>, said: &NodeNumbers, received: u64, sent: u64) -> Self {
        Self {
            node,
            at,
            cpu: said.cpu_percent,
            cpu_most: said.cpu_percent,
            load: said.load[0],
            memory: said.memory,
            swap: said.swap,
            root: said.root,
            containers: said.containers,
            received_bytes: received,
            sent_bytes: sent,
            told: 1,
        }
    }

    fn add(&mut self, said: &NodeNumbers, received: u64, sent: u64) {
        self.told = self.told.saturating_add(1);
        let share = f32::from(self.told).recip();
        self.cpu += (said.cpu_percent - self.cpu) * share;
        self.load += (said.load[0] - self.load) * share;
        self.cpu_most = self.cpu_most.max(said.cpu_percent);
        for (held, said) in
            [(&mut self.memory, said.memory), (&mut self.swap, said.swap), (&mut self.root, said.root)]
        {
            *held = fuller(*held, said);
        }
        self.containers = match (self.containers, said.containers) {
            (Some(held), Some(said)) => Some(fuller(held, said)),
            (_, said) => said,
        };
        self.received_bytes = (self.received_bytes + received).min(MOST);
        self.sent_bytes = (self.sent_bytes + sent).min(MOST);
    }
}

/// As large as was said last, and as full as it ever was.
fn fuller(held: Space, said: Space) -> Space {
    Space { used_bytes: held.used_bytes.max(said.used_bytes), total_bytes: said.total_bytes }
}

/// What passed between two. Counters begin anew when a host does.
fn passed(before: &NodeNumbers, now: &NodeNumbers) -> (u64, u64) {
    let more = |before: u64, now: u64| now.checked_sub(before).unwrap_or(now);
    (more(before.received_bytes, now.received_bytes), more(before.sent_bytes, now.sent_bytes))
}

/// As it may be shown and stored, whatever a host says.
fn within(said: NodeNumbers) -> NodeNumbers {
    let positive = |number: f32, most: f32| if number.is_finite() { number.clamp(0.0, most) } else { 0.0 };
    let space = |space: Space| {
        let total_bytes = space.total_bytes.min(MOST);
        Space { used_bytes: space.used_bytes.min(total_bytes), total_bytes }
    };
    NodeNumbers {
        cpu_percent: positive(said.cpu_percent, 100.0),
        load: said.load.map(|load| positive(load, 1e6)),
        memory: space(said.memory),
        swap: space(said.swap),
        root: space(said.root),
        containers: said.containers.map(space),
        received_bytes: said.received_bytes.min(MOST),
        sent_bytes: said.sent_bytes.min(MOST),
        uptime_s: said.uptime_s.min(MOST),
        ..said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-22T{text}Z").parse().expect("time")
    }

    fn said(cpu: f32, used: u64, received: u64) -> NodeNumbers {
        let memory = Space { used_bytes: used, total_bytes: 100 };
        NodeNumbers { cpu_percent: cpu, memory, received_bytes: received, ..NodeNumbers::default() }
    }

    #[test]
    fn a_minute_is_the_mean_of_processors_the_most_of_memory_and_the_sum_of_bytes() {
        let (live, node) = (Live::default(), NodeId::new());
        for (time, cpu, used, received) in
            [("10:00:05", 10.0, 60, 1000), ("10:00:25", 30.0, 80, 1200), ("10:00:45", 80.0, 40, 1500)]
        {
            live.take(node, said(cpu, used, received), at(time));
        }
        assert_eq!(live.closed(at("10:00:59")), [], "it is under way");
        let closed = live.closed(at("10:01:00"));
        let [minute] = &closed[..] else { panic!("{closed:?}") };
        assert_eq!((minute.cpu, minute.cpu_most, minute.received_bytes), (40.0, 80.0, 500));
        assert_eq!(minute.memory, Space { used_bytes: 80, total_bytes: 100 });
        assert_eq!(live.closed(at("10:01:00")), []);
        live.give_back(closed.clone());
        assert_eq!(live.closed(at("10:01:15")), closed, "once more");
    }

    #[test]
    fn rates_are_those_since_the_numbers_before_also_across_a_reboot() {
        let (live, node) = (Live::default(), NodeId::new());
        let rate = |time: &str| live.of_at(node, at(time)).and_then(|now| now.received_per_s);
        live.take(node, said(0.0, 0, 1000), at("10:00:00"));
        assert_eq!(rate("10:00:00"), None);
        live.take(node, said(0.0, 0, 3000), at("10:00:20"));
        assert_eq!(rate("10:00:20"), Some(100));
        live.take(node, said(0.0, 0, 400), at("10:00:40"));
        assert_eq!(rate("10:00:40"), Some(20));
        assert!(live.of_at(node, at("10:05:41")).is_none(), "too long ago");
    }

    #[test]
    fn what_cannot_be_is_not_believed() {
        let (live, node) = (Live::default(), NodeId::new());
        let mut odd = said(f32::NAN, u64::MAX, u64::MAX);
        odd.load = [f32::INFINITY, -1.0, 2.0];
        live.take(node, odd, at("10:00:00"));
        let now = live.of_at(node, at("10:00:00")).expect("told");
        assert_eq!((now.cpu_percent, now.load, now.memory.used_bytes), (0.0, 0.0, 100));
        live.take(node, said(1.0, 1, 0), at("10:00:20"));
        let minute = &live.closed(at("10:01:00"))[0];
        assert!(i64::try_from(minute.received_bytes).is_ok());
    }

    #[test]
    fn what_cannot_be_stored_is_bounded() {
        let live = Live::default();
        let minute = Minute::new(NodeId::new(), at("10:00:00"), &said(0.0, 0, 0), 0, 0);
        live.give_back(vec![minute.clone(); MOST_WAITING + 5]);
        live.give_back(vec![minute]);
        assert_eq!(live.closed(at("10:01:00")).len(), MOST_WAITING);
    }
}
