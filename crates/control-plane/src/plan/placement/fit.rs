//! Whether a worker can take one more instance, and if not, why.

use std::fmt;

use super::{Amount, Candidate, Wish};
use crate::placement::Constraint;

/// Why a worker does not take an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub node: String,
    pub why: Why,
}

/// The first thing that is in the way; room is looked at last, because it comes and goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// This other node is the only one.
    Pinned(String),
    Offline,
    TakesNoApps,
    Cordoned,
    Unfulfilled(Constraint),
    /// So many replicas are there, the most that the app allows.
    Replicas(usize),
    /// The most instances that the node takes.
    Full(usize),
    /// What is missing.
    Short(Amount),
    NoPort,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned(to) => write!(f, "not {to}, its only node"),
            Self::Offline => f.write_str("offline"),
            Self::TakesNoApps => f.write_str("takes no apps"),
            Self::Cordoned => f.write_str("cordoned"),
            Self::Unfulfilled(constraint) => write!(f, "its labels do not fulfil {constraint}"),
            Self::Replicas(1) => f.write_str("runs a replica already"),
            Self::Replicas(count) => write!(f, "runs {count} replicas already"),
            Self::Full(count) => write!(f, "full with {count} instances"),
            Self::Short(missing) => write!(f, "{missing} short"),
            Self::NoPort => f.write_str("no free port"),
        }
    }
}

/// What is there of it: `256 MiB of memory and 0.5 CPU`.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.cpu_millis / 1000, self.cpu_millis % 1000);
        let cpu = match part {
            0 => format!("{whole} CPU"),
            part => format!("{} CPU", format!("{whole}.{part:03}").trim_end_matches('0')),
        };
        match (self.memory_mb, self.cpu_millis) {
            (memory, 0) => write!(f, "{memory} MiB of memory"),
            (0, _) => f.write_str(&cpu),
            (memory, _) => write!(f, "{memory} MiB of memory and {cpu}"),
        }
    }
}

/// The port for one more instance, if the worker can take it.
pub(super) fn port(wish: &Wish, candidate: &Candidate) -> Option<i32> {
    if why(wish, candidate).is_some() { None } else { candidate.free_port() }
}

/// Why the worker cannot take one more.
pub(super) fn refusal(wish: &Wish, candidate: &Candidate) -> Option<Refusal> {
    let why = why(wish, candidate).or_else(|| candidate.free_port().is_none().then_some(Why::NoPort))?;
    Some(Refusal { node: candidate.name.clone(), why })
}

/// Why an instance that runs there should not. That a node is offline or takes nothing new is no reason.
pub fn misplaced(wish: &Wish, worker: &Candidate) -> Option<Why> {
    let why = why(wish, &Candidate { online: true, cordoned: false, ..worker.clone() })?;
    matches!(why, Why::Pinned(_) | Why::TakesNoApps | Why::Unfulfilled(_)).then_some(why)
}

fn why(wish: &Wish, candidate: &Candidate) -> Option<Why> {
    if let Some(pin) = wish.pin.as_ref().filter(|pin| **pin != candidate.name) {
        return Some(Why::Pinned(pin.clone()));
    }
    if !candidate.online {
        return Some(Why::Offline);
    }
    if !candidate.takes_apps {
        return Some(Why::TakesNoApps);
    }
    if candidate.cordoned {
        return Some(Why::Cordoned);
    }
    if let Some(unfulfilled) = wish.required.iter().find(|constraint| !constraint.holds(&candidate.labels)) {
        return Some(Why::Unfulfilled(unfulfilled.clone()));
    }
    if wish.per_node.is_some_and(|most| candidate.of_release >= most) {
        return Some(Why::Replicas(candidate.of_release));
    }
    // A port for each, so that those that are stopping count too.
    let held = candidate.used_ports.len();
    if candidate.max_instances.is_some_and(|most| held >= most) {
        return Some(Why::Full(held));
    }
    short(wish, candidate).map(Why::Short)
}

fn short(wish: &Wish, candidate: &Candidate) -> Option<Amount> {
    let capacity = candidate.capacity?;
    let after = candidate.reserved + wish.needs;
    let missing = Amount {
        cpu_millis: after.cpu_millis.saturating_sub(capacity.cpu_millis),
        memory_mb: after.memory_mb.saturating_sub(capacity.memory_mb),
    };
    (missing != Amount::default()).then_some(missing)
}

/// More workers than these with one reason are counted, not named.
const NAMED: usize = 4;

/// `w1, w2: cordoned; w3: 256 MiB of memory short`.
pub fn in_words(refusals: &[Refusal]) -> String {
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for refusal in refusals {
        let why = refusal.why.to_string();
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, nodes)) => nodes.push(&refusal.node),
            None => reasons.push((why, vec![&refusal.node])),
        }
    }
    let one = |(why, nodes): &(String, Vec<&str>)| {
        let named = nodes[..nodes.len().min(NAMED)].join(", ");
        match nodes.len().saturating_sub(NAMED) {
            0 => format!("{named}: {why}"),
            more => format!("{named} and {more} more: {why}"),
        }
    };
    reasons.iter().map(one).collect::<Vec<_>>().join("; ")
}
