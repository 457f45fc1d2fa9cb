//! Where new instances go.

mod fit;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Add, AddAssign, RangeInclusive};

use protocol::ids::NodeId;
use protocol::labels::Labels;
use protocol::spec::Resources;
use serde::Serialize;

pub use self::fit::{Refusal, Why, in_words, misplaced};
use crate::placement::{AntiAffinity, Constraint, Placement, REGION, Strategy};

/// Ports that instances are published on.
pub const HOST_PORTS: RangeInclusive<i32> = 20000..=29999;

/// Processors and memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Amount {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    pub memory_mb: u64,
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
            memory_mb: self.memory_mb.saturating_add(other.memory_mb),
        }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl From<&Resources> for Amount {
    fn from(limits: &Resources) -> Self {
        Self { cpu_millis: limits.cpu_millis.into(), memory_mb: limits.memory_mb.into() }
    }
}

impl Amount {
    /// How much of `whole` it is, in thousandths; the larger share of the two.
    pub fn share_of(self, whole: Self) -> u64 {
        let share = |part: u64, whole: u64| part.saturating_mul(1000) / whole.max(1);
        share(self.cpu_millis, whole.cpu_millis).max(share(self.memory_mb, whole.memory_mb))
    }
}

/// What is asked of a node for one more instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub strategy: Strategy,
    pub required: Vec<Constraint>,
    pub preferred: Vec<Constraint>,
    /// The only node.
    pub pin: Option<String>,
    /// Most replicas on one node.
    pub per_node: Option<usize>,
    /// What an instance reserves.
    pub needs: Amount,
}

impl Wish {
    /// `default`: of apps that choose no strategy.
    pub fn of(placement: &Placement, resources: &Resources, default: Strategy) -> Self {
        let hard = (placement.anti_affinity == AntiAffinity::Hard).then_some(1);
        Self {
            strategy: placement.strategy.unwrap_or(default),
            required: placement.required.clone(),
            preferred: placement.preferred.clone(),
            pin: placement.pin.clone(),
            per_node: hard.or(placement.max_per_node.map(usize::from)),
            needs: resources.into(),
        }
    }

    /// For a command of the release, which is no replica.
    #[must_use]
    pub fn of_command(&self) -> Self {
        Self { per_node: None, ..self.clone() }
    }
}

/// A worker.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub node: NodeId,
    pub name: String,
    pub online: bool,
    pub takes_apps: bool,
    pub cordoned: bool,
    /// Most instances of all apps on it.
    pub max_instances: Option<usize>,
    pub labels: Labels,
    /// What it has for instances; none while nobody knows, which is no limit.
    pub capacity: Option<Amount>,
    /// By all instances that hold a place, also the ones that are still stopping.
    pub reserved: Amount,
    /// Instances of the release that is being placed.
    pub of_release: usize,
    /// All instances that should run on it.
    pub instances: usize,
    pub has_image: bool,
    /// Ports that instances hold, also the ones that are still stopping.
    pub used_ports: BTreeSet<i32>,
    /// Grows with each instance that any worker is given.
    pub turn: i64,
}

impl Candidate {
    /// One that is online, empty and takes everything.
    pub fn new(node: NodeId, name: String) -> Self {
        Self {
            node,
            name,
            online: true,
            takes_apps: true,
            cordoned: false,
            max_instances: None,
            labels: Labels::new(),
            capacity: None,
            reserved: Amount::default(),
            of_release: 0,
            instances: 0,
            has_image: false,
            used_ports: BTreeSet::new(),
            turn: 0,
        }
    }

    /// Gets an instance of the release at `port`.
    pub fn take(&mut self, port: i32, needs: Amount, turn: i64) {
        self.used_ports.insert(port);
        self.of_release += 1;
        self.instances += 1;
        self.reserved += needs;
        self.turn = turn;
        // From now on the image is on its way there for the other instances too.
        self.has_image = true;
    }

    /// Loses an instance with these.
    pub fn give_back(&mut self, needs: Amount) {
        self.instances = self.instances.saturating_sub(1);
        self.reserved = Amount {
            cpu_millis: self.reserved.cpu_millis.saturating_sub(needs.cpu_millis),
            memory_mb: self.reserved.memory_mb.saturating_sub(needs.memory_mb),
        };
    }

    /// Thousandths of it that are reserved once it has `more`; 0 while nobody knows what it has.
    pub fn share_with(&self, more: Amount) -> u64 {
        self.capacity.map_or(0, |capacity| (self.reserved + more).share_of(capacity))
    }

    fn region(&self) -> &str {
        self.labels.get(REGION).map_or("", String::as_str)
    }

    fn free_port(&self) -> Option<i32> {
        HOST_PORTS.into_iter().find(|port| !self.used_ports.contains(port))
    }
}

/// A place for one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub node: NodeId,
    pub name: String,
    pub port: i32,
}

/// Where the instances go.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    pub places: Vec<Place>,
    /// Why no worker takes one more; empty when all have a place.
    pub refusals: Vec<Refusal>,
}

/// Places for up to `count` instances, none beyond what a worker has to give. Of the workers that fit, those with most
/// of what is preferred; of these the ones with the fewest replicas, so that the loss of one host leaves the app
/// serving; then the strategy decides.
pub fn choose(wish: &Wish, mut candidates: Vec<Candidate>, count: usize) -> Choice {
    let mut places = Vec::with_capacity(count);
    while places.len() < count {
        let regions = replicas_by_region(&candidates);
        let turn = candidates.iter().map(|candidate| candidate.turn).max().unwrap_or_default() + 1;
        let fitting =
            candidates.iter_mut().filter_map(|candidate| Some((fit::port(wish, candidate)?, candidate)));
        let best = fitting.min_by_key(|(_, candidate)| rank(wish, candidate, &regions));
        let Some((port, best)) = best else {
            let refusals = candidates.iter().filter_map(|candidate| fit::refusal(wish, candidate)).collect();
            return Choice { places, refusals };
        };
        places.push(Place { node: best.node, name: best.name.clone(), port });
        best.take(port, wish.needs, turn);
    }
    Choice { places, refusals: Vec::new() }
}

fn replicas_by_region(candidates: &[Candidate]) -> BTreeMap<String, usize> {
    let mut regions = BTreeMap::new();
    for candidate in candidates {
        *regions.entry(candidate.region().to_owned()).or_default() += candidate.of_release;
    }
    regions
}

/// An image that is there is worth as much as this share of a worker, in thousandths: starting at once is good, but not
/// for piling everything onto the workers that build.
const IMAGE_WORTH: i64 = 250;

/// The smallest is the best.
fn rank(wish: &Wish, candidate: &Candidate, regions: &BTreeMap<String, usize>) -> impl Ord + use<> {
    let preferred = wish.preferred.iter().filter(|constraint| constraint.holds(&candidate.labels)).count();
    let share = || i64::try_from(candidate.share_with(wish.needs)).unwrap_or(i64::MAX);
    let region = match wish.strategy {
        Strategy::Spread => regions.get(candidate.region()).copied().unwrap_or_default(),
        _ => 0,
    };
    let score = match wish.strategy {
        Strategy::LeastUtilised => share() - if candidate.has_image { IMAGE_WORTH } else { 0 },
        Strategy::RoundRobin => candidate.turn,
        Strategy::Resource => -share(),
        Strategy::Spread => i64::try_from(candidate.instances).unwrap_or(i64::MAX),
    };
    let ties = (!candidate.has_image, candidate.instances, candidate.name.clone());
    (Reverse(preferred), region, candidate.of_release, score, ties)
}
