//! The next steps of one roll-out, start first: instances of the new release start and become healthy while the old
//! ones serve; then the route table switches; the old ones stop after all proxies have stopped using them. Until the
//! roll-out is over all old ones keep running, so that nothing has to start for the way back (see `undo`).

mod exclusive;
mod failure;
pub mod prepare;
#[cfg(test)]
pub(super) mod samples;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use protocol::ids::InstanceId;
use protocol::job::Failure;
use protocol::report::InstanceState;

use self::prepare::Prepare;
use super::placement::{Candidate, Place, Wish, choose, in_words};
use crate::apps::Strategy;

/// For how long a roll-out looks for a worker.
pub const PLACE_LIMIT: Duration = Duration::from_mins(5);
/// For how long an instance may fetch its image and start, besides the time that its probe grants it. The worker
/// decides much earlier; this is for one that says nothing.
pub const START_LIMIT: Duration = Duration::from_mins(15);
/// For how long instances in the table may be ill before the release is live.
pub const SETTLE_LIMIT: Duration = Duration::from_mins(2);
/// For how long a connected proxy may serve an old table.
pub const PROXY_LIMIT: Duration = Duration::from_mins(2);

/// All that matters about one deployment that is rolling out.
#[derive(Debug, Clone)]
pub struct Situation {
    /// Instances that its release should have.
    pub replicas: usize,
    pub strategy: Strategy,
    /// No other instance may run beside one of the release: the others have ended before it starts.
    pub exclusive: bool,
    /// All others that may still run; looked at only where that matters.
    pub endings: Vec<Ending>,
    /// The command before the first instance.
    pub prepare: Prepare,
    /// Instances that it has started and still wants.
    pub new: Vec<New>,
    /// Instances in rotation that may stay, because they run the same release and only their number changes.
    pub kept: Vec<Kept>,
    /// The other instances of earlier deployments in rotation.
    pub old: Vec<InstanceId>,
    /// Healthy instances of the live release that left the table for this one: what going back leads to.
    pub back: usize,
    /// Absent as long as nobody looked: that takes turns with all others that place instances.
    pub workers: Option<Vec<Candidate>>,
    /// What is asked of a worker.
    pub wish: Wish,
    /// Nodes that were lost with an instance of this deployment on them.
    pub lost: Vec<String>,
    /// Whether the probe's stage has begun.
    pub probing: bool,
    /// Whether the route table has switched, at least for a part of the instances.
    pub switched: bool,
    /// Connected proxies that do not serve the switched table yet.
    pub proxies_behind: Vec<String>,
    /// Time since the last step.
    pub idle: Duration,
    /// Time that the probe grants an instance to become healthy.
    pub start_within: Duration,
}

/// An instance of the new release.
#[derive(Debug, Clone)]
pub struct New {
    pub id: InstanceId,
    pub node: String,
    /// Its node has been offline for longer than a moment.
    pub node_gone: bool,
    /// It is in the table.
    pub in_rotation: bool,
    pub state: InstanceState,
    pub failure: Option<Failure>,
}

impl New {
    fn healthy(&self) -> bool {
        self.state == InstanceState::Healthy && !self.node_gone
    }
}

/// An instance that has to end before one of an exclusive release starts.
#[derive(Debug, Clone)]
pub struct Ending {
    pub id: InstanceId,
    pub node: String,
    /// Nobody has told it to end.
    pub wanted: bool,
    /// Its node is gone: it ends with its worker's lease, within this time.
    pub lease_left: Option<Duration>,
}

/// An instance of the release that serves already.
#[derive(Debug, Clone)]
pub struct Kept {
    pub id: InstanceId,
    pub node: String,
    pub healthy: bool,
}

/// Which instances that run the release already are replaced by new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    All,
    One(InstanceId),
    Nothing,
}

impl Renewal {
    /// Whether an instance of the release may stay.
    pub fn keeps(self, id: InstanceId) -> bool {
        match self {
            Self::All => false,
            Self::One(replaced) => id != replaced,
            Self::Nothing => true,
        }
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Something has to be placed: look at the workers and plan again.
    LookAtWorkers,
    /// Run the pre-deploy command.
    Run(Place),
    /// It ended well.
    Prepared(InstanceId),
    Start(Place),
    /// Give an instance up because its node is gone.
    Abandon {
        id: InstanceId,
        node: String,
        in_rotation: bool,
    },
    /// Take these out of the table, so that they end before the new one starts.
    Clear(Vec<InstanceId>),
    /// All instances run; their probes decide.
    Probe,
    Switch {
        enter: Vec<InstanceId>,
        leave: Vec<InstanceId>,
    },
    /// The new release is the one that serves.
    GoLive,
    Fail(Box<Failure>),
    Wait(String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LookAtWorkers => f.write_str("look at the workers"),
            Self::Run(place) => write!(f, "run the pre-deploy command on {}", place.name),
            Self::Prepared(_) => f.write_str("the pre-deploy command ended well"),
            Self::Start(place) => write!(f, "start on {} port {}", place.name, place.port),
            Self::Abandon { node, .. } => write!(f, "abandon the instance on {node}, which is gone"),
            Self::Clear(ids) => write!(f, "clear: {} leave", ids.len()),
            Self::Probe => f.write_str("probe"),
            Self::Switch { enter, leave } => {
                write!(f, "switch: {} enter, {} leave", enter.len(), leave.len())
            }
            Self::GoLive => f.write_str("go live"),
            Self::Fail(failure) => write!(f, "fail: {} ({})", failure.message, failure.code),
            Self::Wait(what) => write!(f, "wait for {what}"),
        }
    }
}

/// The steps that can be taken now.
pub fn plan(now: &Situation) -> Vec<Step> {
    if let Some(steps) = prepare::plan(now) {
        return steps;
    }
    if let Some(failure) = now.new.iter().find_map(failure::of) {
        return vec![Step::Fail(Box::new(failure))];
    }
    let gone = |new: &&New| new.node_gone;
    let gone: Vec<Step> = now.new.iter().filter(gone).map(abandon).collect();
    if !gone.is_empty() {
        return gone;
    }
    let (serving, staged): (Vec<&New>, Vec<&New>) = now.new.iter().partition(|new| new.in_rotation);
    if let Some(step) = settle(now, &serving) {
        return vec![step];
    }
    let surplus = surplus(&now.kept, now.replicas);
    let target = now.replicas.saturating_sub(now.kept.len() - surplus.len());
    let missing = due(now, target, serving.len()).saturating_sub(now.new.len());
    if missing > 0 {
        return exclusive::plan(now, &surplus).unwrap_or_else(|| start(now, missing));
    }
    if staged.iter().any(|new| !new.healthy()) {
        return probe(now, &staged);
    }
    let leave: Vec<InstanceId> = if now.new.len() >= target {
        [now.old.clone(), surplus].concat()
    } else {
        now.old.iter().copied().take(staged.len()).collect()
    };
    if now.switched && staged.is_empty() && leave.is_empty() {
        return vec![Step::GoLive];
    }
    vec![Step::Switch { enter: staged.iter().map(|new| new.id).collect(), leave }]
}

fn abandon(new: &New) -> Step {
    Step::Abandon { id: new.id, node: new.node.clone(), in_rotation: new.in_rotation }
}

/// How many instances there should be by now. One at a time makes sense only beside others that serve.
fn due(now: &Situation, target: usize, serving: usize) -> usize {
    match now.strategy {
        Strategy::Rolling if !now.old.is_empty() => target.min(serving + 1),
        Strategy::Rolling | Strategy::BlueGreen => target,
    }
}

/// What was switched has to be in force and well before anything follows. When it is not in time, the table leads back
/// if what is there serves at least as well; otherwise the roll-out goes on with what it has.
fn settle(now: &Situation, serving: &[&New]) -> Option<Step> {
    let healthy = serving.iter().filter(|new| new.healthy()).count();
    let back_is_worse = now.back < healthy.max(1);
    if !now.proxies_behind.is_empty() {
        let names = now.proxies_behind.join(", ");
        return match now.idle < PROXY_LIMIT {
            true => Some(Step::Wait(format!("the proxies {names}"))),
            false if back_is_worse => None,
            false => Some(Step::Fail(Box::new(failure::proxies_behind(&names)))),
        };
    }
    let ill: Vec<&str> = serving.iter().filter(|new| !new.healthy()).map(|new| new.node.as_str()).collect();
    if ill.is_empty() {
        return None;
    }
    match now.idle < SETTLE_LIMIT {
        true => Some(Step::Wait(format!("the instances on {} to be healthy again", ill.join(", ")))),
        false if back_is_worse => None,
        false => Some(Step::Fail(Box::new(failure::fell_ill(&ill)))),
    }
}

fn start(now: &Situation, missing: usize) -> Vec<Step> {
    match place(now, &now.wish, missing) {
        Ok(places) => places.into_iter().map(Step::Start).collect(),
        Err(step) => vec![step],
    }
}

/// Places for up to `count`, at least one; or what to do to get there.
fn place(now: &Situation, wish: &Wish, count: usize) -> Result<Vec<Place>, Step> {
    let Some(workers) = &now.workers else { return Err(Step::LookAtWorkers) };
    let choice = choose(wish, workers.clone(), count);
    if !choice.places.is_empty() {
        return Ok(choice.places);
    }
    if now.idle >= PLACE_LIMIT {
        return Err(Step::Fail(Box::new(failure::no_place(now, &choice.refusals))));
    }
    let any_online = workers.iter().any(|worker| worker.online);
    Err(Step::Wait(if any_online {
        format!("a worker that can take an instance ({})", in_words(&choice.refusals))
    } else {
        "a worker that is online".to_owned()
    }))
}

/// Not all of `staged` are healthy yet.
fn probe(now: &Situation, staged: &[&New]) -> Vec<Step> {
    let late: Vec<&str> = staged.iter().filter(|new| !new.healthy()).map(|new| new.node.as_str()).collect();
    if now.idle >= START_LIMIT + now.start_within {
        return vec![Step::Fail(Box::new(failure::no_word(&late)))];
    }
    let runs = |new: &&New| !matches!(new.state, InstanceState::Pending | InstanceState::Pulling);
    let mut steps = Vec::new();
    if !now.probing && staged.iter().all(runs) {
        steps.push(Step::Probe);
    }
    let healthy = staged.len() - late.len();
    let what = format!("instances on {} ({healthy} of {} healthy)", late.join(", "), staged.len());
    steps.push(Step::Wait(what));
    steps
}

/// The instances that go when `replicas` may stay: those that do not serve first, then of the nodes that have most.
fn surplus(kept: &[Kept], replicas: usize) -> Vec<InstanceId> {
    let mut stay: Vec<&Kept> = kept.iter().collect();
    let mut leave = Vec::new();
    while stay.len() > replicas {
        let on = |node: &str| stay.iter().filter(|kept| kept.node == node).count();
        let rank = |at: &usize| (!stay[*at].healthy, on(&stay[*at].node), stay[*at].id);
        let Some(last) = (0..stay.len()).max_by_key(rank) else { break };
        leave.push(stay.swap_remove(last).id);
    }
    leave
}
