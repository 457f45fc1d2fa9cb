//! Which upstream gets the next request: turns by weight, but a candidate that is busier for its weight than the next
//! one gives way. Upstreams that just refused connections come last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::upstream::Endpoint;

/// The upstreams of one route.
#[derive(Debug, Default)]
pub struct Balancer {
    members: Vec<Member>,
    total: u64,
    turn: AtomicU64,
}

#[derive(Debug)]
struct Member {
    endpoint: Arc<Endpoint>,
    weight: u64,
    /// Sum of the weights up to and with this member's.
    end: u64,
}

/// 2^64 divided by the golden ratio: multiples of it spread evenly over the whole range, whatever their count.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

impl Balancer {
    /// Members of weight 0 get nothing.
    pub fn new(members: Vec<(Arc<Endpoint>, u16)>) -> Self {
        let mut total = 0;
        let members = members
            .into_iter()
            .filter(|(_, weight)| *weight > 0)
            .map(|(endpoint, weight)| {
                total += u64::from(weight);
                Member { endpoint, weight: u64::from(weight), end: total }
            })
            .collect();
        Self { members, total, turn: AtomicU64::new(0) }
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The upstream for the next request that is not among `tried`.
    pub fn pick(&self, tried: &[SocketAddr]) -> Option<&Arc<Endpoint>> {
        let first = match self.members.len() {
            0 => return None,
            1 => 0,
            _ => self.next_turn(),
        };
        let count = self.members.len();
        let in_order = || (0..count).map(|step| &self.members[(first + step) % count]);
        let usable = |member: &&Member| !tried.contains(&member.endpoint.address());
        let mut healthy = in_order().filter(usable).filter(|member| !member.endpoint.is_down());
        let Some(best) = healthy.next() else {
            return in_order().find(usable).map(|member| &member.endpoint);
        };
        match healthy.next() {
            Some(other) if other.is_clearly_less_busy(best) => Some(&other.endpoint),
            _ => Some(&best.endpoint),
        }
    }

    fn next_turn(&self) -> usize {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let equal = self.total == self.members[0].weight * self.members.len() as u64;
        if equal {
            return usize::try_from(turn % self.members.len() as u64).unwrap_or(0);
        }
        let point = (u128::from(turn.wrapping_mul(SPREAD)) * u128::from(self.total)) >> 64;
        self.members.partition_point(|member| u128::from(member.end) <= point)
    }
}

impl Member {
    /// By two requests or more, so that turns decide while there is little load.
    fn is_clearly_less_busy(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.endpoint.in_flight() as u64, other.endpoint.in_flight() as u64);
        (mine + 1) * other.weight < theirs * self.weight
    }
}

#[cfg(test)]
mod tests {
    use protocol::spec::options::UpstreamProtocol;

    use super::*;

    fn endpoint(port: u16) -> Arc<Endpoint> {
        Arc::new(Endpoint::new(SocketAddr::from(([127, 0, 0, 1], port)), UpstreamProtocol::Http1))
    }

    fn shares(balancer: &Balancer, requests: usize) -> Vec<usize> {
        let mut counts = vec![0; 8];
        for _ in 0..requests {
            counts[usize::from(balancer.pick(&[]).expect("one").address().port())] += 1;
        }
        counts
    }

    #[test]
    fn equal_weights_take_turns_exactly() {
        let balancer = Balancer::new(vec![(endpoint(1), 1), (endpoint(2), 1), (endpoint(3), 1)]);
        assert_eq!(shares(&balancer, 300)[1..4], [100, 100, 100]);
    }

    #[test]
    fn requests_follow_the_weights_and_weight_0_gets_none() {
        let balancer = Balancer::new(vec![(endpoint(1), 90), (endpoint(2), 10), (endpoint(3), 0)]);
        let counts = shares(&balancer, 1000);
        assert!((895..=905).contains(&counts[1]), "{counts:?}");
        assert!((95..=105).contains(&counts[2]), "{counts:?}");
        assert_eq!(counts[3], 0);
    }

    #[test]
    fn a_busy_upstream_gives_way() {
        let (busy, free) = (endpoint(1), endpoint(2));
        let _requests: Vec<_> = (0..5).map(|_| busy.begin()).collect();
        let balancer = Balancer::new(vec![(busy, 1), (free, 1)]);
        assert_eq!(shares(&balancer, 10)[1..3], [0, 10]);
    }

    #[test]
    fn one_that_refused_or_was_tried_comes_last_but_comes() {
        let (dead, alive) = (endpoint(1), endpoint(2));
        dead.mark_down();
        let balancer = Balancer::new(vec![(Arc::clone(&dead), 1), (Arc::clone(&alive), 1)]);
        assert_eq!(shares(&balancer, 10)[1..3], [0, 10]);
        assert_eq!(balancer.pick(&[alive.address()]).map(|found| found.address()), Some(dead.address()));
        assert!(balancer.pick(&[alive.address(), dead.address()]).is_none());
        assert!(Balancer::default().pick(&[]).is_none());
    }
}
