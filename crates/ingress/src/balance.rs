//! Which upstream gets the next request: turns by weight, but a candidate that is busier for its weight than the next
//! one gives way, unless turns are all that is wanted. Upstreams that just refused connections come last, and so do
//! those that failed too often, up to half of all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::spec::RouteOptions;
use protocol::spec::options::{Balance, Eject};

use crate::upstream::{Endpoint, now_ms};

/// The upstreams of one route.
#[derive(Debug, Default)]
pub struct Balancer {
    members: Vec<Member>,
    total: u64,
    turn: AtomicU64,
    balance: Balance,
    eject: Option<Eject>,
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
        Self { members, total, ..Self::default() }
    }

    /// The same upstreams as `options` want them to be used.
    pub(crate) fn with(self, options: &RouteOptions, report: &mut impl FnMut(String)) -> Self {
        let eject = options.eject.filter(|eject| {
            let usable = eject.failures > 0 && eject.for_s > 0;
            if !usable {
                report("has an ejection after 0 failures or for 0 seconds".to_owned());
            }
            usable
        });
        Self { balance: options.balance, eject, ..self }
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The upstream for the next request that is not among `tried`: the `wanted` one, if it is well.
    pub fn pick(&self, tried: &[SocketAddr], wanted: Option<SocketAddr>) -> Option<&Arc<Endpoint>> {
        let first = match self.members.len() {
            0 => return None,
            1 => 0,
            _ => self.next_turn(tried.is_empty()),
        };
        let count = self.members.len();
        let in_order = || (0..count).map(|step| &self.members[(first + step) % count]);
        let usable = |member: &&Member| !tried.contains(&member.endpoint.address());
        let ejecting = self.ejecting();
        let well = |member: &&Member| {
            let endpoint = &member.endpoint;
            !endpoint.is_down() && !ejecting.is_some_and(|now| endpoint.health.is_ejected(now))
        };
        if let Some(wanted) = wanted
            && let Some(found) = self.members.iter().find(|member| member.endpoint.address() == wanted)
            && usable(&found)
            && well(&found)
        {
            return Some(&found.endpoint);
        }
        let mut healthy = in_order().filter(usable).filter(well);
        let Some(best) = healthy.next() else {
            return in_order().find(usable).map(|member| &member.endpoint);
        };
        if self.balance == Balance::RoundRobin {
            return Some(&best.endpoint);
        }
        match healthy.next() {
            Some(other) if other.is_clearly_less_busy(best) => Some(&other.endpoint),
            _ => Some(&best.endpoint),
        }
    }

    /// The time, if some upstreams are left out now. More than half of them never are: after a change of instances, or
    /// when all fail, the fault is not one instance's.
    fn ejecting(&self) -> Option<u64> {
        self.eject.as_ref()?;
        let now = now_ms();
        let out = self.ejected(now);
        (out > 0 && out * 2 <= self.members.len()).then_some(now)
    }

    fn ejected(&self, now: u64) -> usize {
        self.members.iter().filter(|member| member.endpoint.health.is_ejected(now)).count()
    }

    /// Takes note of an answer, or of none. Whether `endpoint` is left out from now on.
    pub(crate) fn heard(&self, endpoint: &Endpoint, at_fault: bool) -> bool {
        let Some(eject) = &self.eject else { return false };
        let now = now_ms();
        if !at_fault {
            endpoint.health.succeeded(now);
            return false;
        }
        let goes =
            endpoint.health.failed(eject.failures, now) && (self.ejected(now) + 1) * 2 <= self.members.len();
        if goes {
            endpoint.health.eject(eject.for_s, now);
        }
        goes
    }

    /// Whether there is one that is neither among `tried` nor `endpoint`.
    pub(crate) fn has_other(&self, tried: &[SocketAddr], endpoint: &Endpoint) -> bool {
        let mut addresses = self.members.iter().map(|member| member.endpoint.address());
        addresses.any(|address| address != endpoint.address() && !tried.contains(&address))
    }

    /// A request that is sent again takes no turn, or with two upstreams every first try would go to the same one.
    fn next_turn(&self, takes: bool) -> usize {
        let turn = self.turn.fetch_add(u64::from(takes), Ordering::Relaxed);
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
            counts[usize::from(balancer.pick(&[], None).expect("one").address().port())] += 1;
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
        assert_eq!(
            balancer.pick(&[alive.address()], None).map(|found| found.address()),
            Some(dead.address())
        );
        assert!(balancer.pick(&[alive.address(), dead.address()], None).is_none());
        assert!(Balancer::default().pick(&[], None).is_none());
    }

    fn with(balancer: Balancer, change: impl FnOnce(&mut RouteOptions)) -> Balancer {
        let mut options = RouteOptions::default();
        change(&mut options);
        balancer.with(&options, &mut |problem| panic!("{problem}"))
    }

    #[test]
    fn in_turn_means_in_turn_however_busy() {
        let (busy, free) = (endpoint(1), endpoint(2));
        let _requests: Vec<_> = (0..5).map(|_| busy.begin()).collect();
        let balancer = Balancer::new(vec![(busy, 1), (free, 1)]);
        let balancer = with(balancer, |options| options.balance = Balance::RoundRobin);
        assert_eq!(shares(&balancer, 10)[1..3], [5, 5]);
    }

    #[test]
    fn the_wanted_one_is_picked_as_long_as_it_is_well() {
        let all = [endpoint(1), endpoint(2)];
        let balancer = Balancer::new(all.iter().map(|endpoint| (Arc::clone(endpoint), 1)).collect());
        let wanted = Some(all[1].address());
        let picked = |tried: &[SocketAddr]| balancer.pick(tried, wanted).expect("one").address().port();
        assert_eq!([picked(&[]), picked(&[]), picked(&[])], [2, 2, 2]);
        assert_eq!(picked(&[all[1].address()]), 1);
        all[1].mark_down();
        assert_eq!(picked(&[]), 1);
    }

    #[test]
    fn at_most_half_are_left_out_and_one_that_is_alone_never_is() {
        let all = [endpoint(1), endpoint(2), endpoint(3)];
        let eject =
            |balancer| with(balancer, |options| options.eject = Some(Eject { failures: 2, for_s: 60 }));
        let balancer = eject(Balancer::new(all.iter().map(|endpoint| (Arc::clone(endpoint), 1)).collect()));
        assert!(!balancer.heard(&all[0], true));
        assert!(balancer.heard(&all[0], true), "two in a row");
        for _ in 0..5 {
            assert!(!balancer.heard(&all[1], true), "two of three would be more than half");
        }
        assert_eq!(shares(&balancer, 10)[1], 0);
        assert!(shares(&balancer, 10)[2] > 0);
        let fewer = eject(Balancer::new(vec![(Arc::clone(&all[0]), 1)]));
        assert!(fewer.pick(&[], None).is_some(), "it is all that is left");
        assert!(!fewer.heard(&all[0], true));
    }
}
