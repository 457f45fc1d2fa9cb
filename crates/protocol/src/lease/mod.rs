//! Leases: by what a worker knows that it may run instances of exclusive apps, and by what the control plane knows that
//! it has stopped them although nobody hears from it.
//!
//! A worker asks, and is told which of its exclusive instances it may run and for how long. That time counts from when
//! it *asked*, on a clock of its own that nobody sets and that goes on while the host sleeps. So whatever the answer met
//! on its way, and however the clocks of the two differ, an instance that the control plane takes out of its answers has
//! ended once the time is over, and a little more for hosts whose clocks run slower and that are slow to stop it. Both
//! sides of that sum are here.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{InstanceId, NodeId};

/// Which exclusive instances may run here?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// Counts the requests of one run of the agent; the answer says it again.
    pub seq: u64,
}

/// These and no others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseGrant {
    /// Of the request.
    pub seq: u64,
    /// Milliseconds from the request, after which none of them runs any more.
    pub ttl_ms: u64,
    pub instances: Vec<InstanceId>,
}

/// Requests of which the answer may still come.
const OPEN: usize = 64;

/// A lease that was granted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The end of the newest answer, on the clock of the host's run.
    until_ms: u64,
    ttl_ms: u64,
    /// What the newest answer names.
    named: BTreeSet<InstanceId>,
    /// Until when each may run. One that is not named any more has the end of the last answer that named it: the control
    /// plane waits for that, and it may end in its own time.
    ends: BTreeMap<InstanceId, u64>,
}

impl Lease {
    /// Time that an instance is given to end by itself: SIGKILL comes half of it before the lease is over.
    pub fn stop_within(&self) -> Duration {
        Duration::from_millis(self.window_ms() / 2)
    }

    fn window_ms(&self) -> u64 {
        (self.ttl_ms / 4).min(20_000)
    }
}

/// The worker's side. Times are milliseconds since the host started, sleep included.
#[derive(Debug, Clone, Default)]
pub struct Holder {
    next: u64,
    asked: BTreeMap<u64, u64>,
    newest: Option<u64>,
    held: Lease,
}

impl Holder {
    /// With what an earlier agent was granted in the same run of the host, or nothing. `first` is another number each
    /// time: an answer to an earlier agent is none to this one.
    pub fn new(held: Lease, first: u32) -> Self {
        Self { held, next: first.into(), ..Self::default() }
    }

    pub fn lease(&self) -> &Lease {
        &self.held
    }

    /// Asks now.
    pub fn ask(&mut self, now_ms: u64) -> LeaseRequest {
        let seq = self.next;
        self.next += 1;
        self.asked.insert(seq, now_ms);
        while self.asked.len() > OPEN {
            self.asked.pop_first();
        }
        LeaseRequest { seq }
    }

    /// Takes an answer; `false` for one that nobody asked for, or that came after a newer one.
    pub fn take(&mut self, grant: &LeaseGrant) -> bool {
        let Some(asked_ms) = self.asked.remove(&grant.seq) else { return false };
        if self.newest.is_some_and(|newest| newest > grant.seq) {
            return false;
        }
        self.newest = Some(grant.seq);
        let until_ms = asked_ms.saturating_add(grant.ttl_ms);
        let held = &mut self.held;
        (held.until_ms, held.ttl_ms) = (until_ms, grant.ttl_ms);
        held.named = grant.instances.iter().copied().collect();
        held.ends.retain(|_, ends| *ends > asked_ms);
        held.ends.extend(grant.instances.iter().map(|id| (*id, until_ms)));
        true
    }

    /// Whether the instance may go on. When not, it has to be stopped within [`Lease::stop_within`].
    pub fn may_run(&self, id: InstanceId, now_ms: u64) -> bool {
        self.left_ms(id, now_ms) > self.held.window_ms()
    }

    /// Whether the instance may start: it may not end again at once.
    pub fn may_start(&self, id: InstanceId, now_ms: u64) -> bool {
        self.held.named.contains(&id) && self.left_ms(id, now_ms) > self.held.ttl_ms / 2
    }

    fn left_ms(&self, id: InstanceId, now_ms: u64) -> u64 {
        self.held.ends.get(&id).map_or(0, |ends| ends.saturating_sub(now_ms))
    }

    /// Whether it is time to ask: something wanted is not in the lease, or a quarter of it is over.
    pub fn is_due(&self, wanted: &BTreeSet<InstanceId>, now_ms: u64) -> bool {
        let fresh = self.held.until_ms.saturating_sub(now_ms) > self.held.ttl_ms - self.held.ttl_ms / 4;
        !(wanted.is_empty() || fresh && wanted.is_subset(&self.held.named))
    }
}

/// After how long nothing of a lease runs any more, for those who cannot ask: a sixteenth more for clocks that run at
/// different speeds, and a while for a host that is slow to stop a container.
pub fn over_after(ttl: Duration) -> Duration {
    ttl + ttl / 16 + Duration::from_secs(5)
}

/// The control plane's side: since when a node was granted nothing. Times are of this process's monotonic clock; a
/// process that starts has seen nothing yet, and waits the whole time.
#[derive(Debug, Default)]
pub struct Watch(HashMap<NodeId, (i64, Duration)>);

impl Watch {
    /// Takes note of how many grants the node has had by now.
    pub fn note(&mut self, node: NodeId, serial: i64, now: Duration) {
        let seen = self.0.entry(node).or_insert((serial, now));
        if seen.0 != serial {
            *seen = (serial, now);
        }
    }

    /// Time until nothing runs on the node under a lease that was granted; none when it is over. `serial` counts the
    /// node's grants, `ttl` is the longest that they may hold for. The caller has made sure that no grant is under way
    /// that could still name what it waits for.
    pub fn left(&mut self, node: NodeId, serial: i64, ttl: Duration, now: Duration) -> Option<Duration> {
        self.note(node, serial, now);
        let since = self.0.get(&node).map_or(now, |(_, since)| *since);
        let over = since + over_after(ttl);
        over.checked_sub(now).filter(|left| !left.is_zero())
    }
}
