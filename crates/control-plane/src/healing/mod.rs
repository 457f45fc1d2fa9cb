//! What follows when a node is gone: the proxies are no longer led to it, what ran there is placed elsewhere once its
//! time of grace is over, and instances of exclusive apps once their lease is too. And what workers put right by
//! themselves.

pub mod api;
pub mod corrections;
pub mod lease;
pub mod replicas;
pub mod store;
#[cfg(test)]
mod tests;
pub mod troubles;

use std::time::Duration;

use crate::mesh::LinkState;
use crate::nodes::Status;

/// How often the time of grace doubles at most.
const DOUBLINGS: u32 = 4;

/// Whether the proxies reach a node that the control plane does not hear from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// One does: it is the control plane that is cut off from it.
    Reached,
    /// None does that has said so.
    Unreached,
    /// None has said.
    Unknown,
}

/// From what the proxies said of their tunnels to the node: the state, and whether that was after it went missing. The
/// silence before that is part of it; an answer before that is not.
pub fn reach(said: impl IntoIterator<Item = (LinkState, bool)>) -> Reach {
    let mut reach = Reach::Unknown;
    for (state, after) in said {
        if state == LinkState::Silent {
            reach = Reach::Unreached;
        } else if state != LinkState::Unknown && after {
            return Reach::Reached;
        }
    }
    reach
}

/// How long a node may be gone before its instances are placed elsewhere. One that went `before` already that often is
/// likely to come back again, and everything would follow it to and fro.
pub fn grace(base: Duration, before: i64) -> Duration {
    let doublings = u32::try_from(before).unwrap_or(0).min(DOUBLINGS);
    base * (1 << doublings)
}

/// Whether a node is to be given up, for instances that wait for it as long as `grace`. One that answers checks, or that
/// a proxy reaches, serves: its instances would run twice.
pub fn is_lost(status: Status, reach: Reach, missing: Duration, grace: Duration) -> bool {
    matches!(status, Status::Offline | Status::Unreachable) && reach != Reach::Reached && missing >= grace
}

/// Since when this control plane has had somebody to talk to. As long as it is cut off from everybody it is not the nodes
/// that are gone: their time counts from when the first one is back.
#[derive(Debug, Default, Clone, Copy)]
pub struct Company(Option<Duration>);

impl Company {
    /// Takes note of whether an agent of another host is connected; for how long one is without a pause. `now` is of a
    /// clock that only goes on.
    pub fn since(&mut self, somebody: bool, now: Duration) -> Duration {
        self.0 = somebody.then(|| self.0.unwrap_or(now));
        self.0.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }
}

#[cfg(test)]
mod rules {
    use super::*;

    #[test]
    fn a_node_is_given_up_only_when_nobody_reaches_it_for_long_enough() {
        let minutes = Duration::from_mins;
        let lost = |status, reach, missing| is_lost(status, reach, minutes(missing), minutes(5));
        assert!(lost(Status::Offline, Reach::Unreached, 5) && lost(Status::Unreachable, Reach::Unknown, 5));
        assert!(!lost(Status::Offline, Reach::Unreached, 4), "it may come back");
        assert!(!lost(Status::Offline, Reach::Reached, 60), "it serves");
        assert!(!lost(Status::Online, Reach::Unknown, 60), "it answers checks: only its agents are gone");
        assert!(!lost(Status::Joining, Reach::Unknown, 60));
    }

    #[test]
    fn one_proxy_that_reaches_it_is_enough_and_old_words_say_nothing() {
        use LinkState::{Direct, Silent, Unknown};
        assert_eq!(reach([]), Reach::Unknown);
        assert_eq!(reach([(Unknown, true), (Direct, false)]), Reach::Unknown, "before it went");
        assert_eq!(reach([(Silent, false), (Unknown, true)]), Reach::Unreached);
        assert_eq!(reach([(Silent, true), (Direct, true)]), Reach::Reached);
    }

    #[test]
    fn a_node_that_comes_and_goes_is_waited_for_longer_and_longer() {
        let seconds = |before| grace(Duration::from_mins(5), before).as_secs();
        assert_eq!([0, 1, 2, 4, 5, 1000].map(seconds), [300, 600, 1200, 4800, 4800, 4800]);
    }

    #[test]
    fn nobody_is_given_up_by_one_who_was_alone() {
        let (mut company, at) = (Company::default(), Duration::from_secs);
        assert_eq!(company.since(true, at(10)), at(0), "a process that starts knows nothing");
        assert_eq!(company.since(true, at(70)), at(60));
        assert_eq!(company.since(false, at(80)), at(0));
        assert_eq!(company.since(true, at(90)), at(0));
        assert_eq!(company.since(true, at(95)), at(5));
    }
}
