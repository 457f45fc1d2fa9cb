//! Where new instances go.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use protocol::ids::NodeId;

/// Ports that instances are published on.
pub const HOST_PORTS: RangeInclusive<i32> = 20000..=29999;

/// A worker that is online.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub node: NodeId,
    pub name: String,
    /// Instances of the release that is being placed.
    pub of_release: usize,
    /// All instances that should run on it.
    pub instances: usize,
    pub has_image: bool,
    /// Ports that instances hold, also the ones that are still stopping.
    pub used_ports: BTreeSet<i32>,
}

impl Candidate {
    /// Gets an instance of the release at `port`.
    pub fn take(&mut self, port: i32) {
        self.used_ports.insert(port);
        self.of_release += 1;
        self.instances += 1;
        // From now on the image is on its way there for the other instances too.
        self.has_image = true;
    }
}

/// A place for one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub node: NodeId,
    pub name: String,
    pub port: i32,
}

/// Places for up to `count` instances. Instances of one release spread over the workers first, so that the loss of
/// one host leaves the app serving; then a worker that has the image wins, then the one with the fewest instances.
pub fn choose(mut candidates: Vec<Candidate>, count: usize) -> Vec<Place> {
    let mut places = Vec::with_capacity(count);
    while places.len() < count {
        let best = candidates
            .iter_mut()
            .filter_map(|candidate| Some((free_port(&candidate.used_ports)?, candidate)))
            .min_by(|(_, one), (_, other)| rank(one).cmp(&rank(other)));
        let Some((port, best)) = best else { break };
        places.push(Place { node: best.node, name: best.name.clone(), port });
        best.take(port);
    }
    places
}

fn rank(candidate: &Candidate) -> (usize, bool, usize, &str) {
    (candidate.of_release, !candidate.has_image, candidate.instances, &candidate.name)
}

fn free_port(used: &BTreeSet<i32>) -> Option<i32> {
    HOST_PORTS.into_iter().find(|port| !used.contains(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(name: &str, instances: usize, has_image: bool) -> Candidate {
        Candidate {
            node: NodeId::new(),
            name: name.to_owned(),
            of_release: 0,
            instances,
            has_image,
            used_ports: BTreeSet::new(),
        }
    }

    fn names(candidates: Vec<Candidate>, count: usize) -> Vec<String> {
        choose(candidates, count).into_iter().map(|place| format!("{}:{}", place.name, place.port)).collect()
    }

    #[test]
    fn the_worker_with_the_image_wins_over_the_emptier_one() {
        assert_eq!(names(vec![worker("a", 0, false), worker("b", 5, true)], 1), ["b:20000"]);
    }

    #[test]
    fn replicas_spread_before_they_share_a_worker() {
        let workers = vec![worker("a", 0, false), worker("b", 5, true), worker("c", 1, false)];
        assert_eq!(names(workers, 4), ["b:20000", "a:20000", "c:20000", "a:20001"]);
    }

    #[test]
    fn ports_in_use_are_passed_over_and_a_full_worker_too() {
        let mut gap = worker("a", 0, false);
        gap.used_ports = [20000, 20001, 20003].into();
        assert_eq!(names(vec![gap.clone()], 2), ["a:20002", "a:20004"]);
        gap.used_ports = HOST_PORTS.collect();
        assert_eq!(names(vec![gap], 1), [] as [&str; 0]);
        assert_eq!(names(Vec::new(), 3), [] as [&str; 0]);
    }
}
