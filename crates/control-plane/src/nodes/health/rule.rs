//! What follows from hearing of a node or not. Pure.

use std::time::Duration;

use super::config::NodeHealth;
use crate::nodes::Status;

/// From so many failures in a row a node is offline …
pub const OFFLINE_FROM: i32 = 3;
/// … and from so many unreachable.
pub const UNREACHABLE_FROM: i32 = 11;

/// By what a node was heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// An agent is connected, and its heartbeats arrive.
    Connected,
    /// It called by itself, without a connection.
    Called,
    /// It answered a check.
    Answered,
    /// By nothing: it did not answer a check.
    Nothing,
}

/// How a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub status: Status,
    /// Checks in a row that found nobody.
    pub failures: i32,
}

impl Standing {
    /// How it stands after `heard`. A host that was never connected is joining whatever a check finds there.
    pub fn after(self, heard: Heard) -> Self {
        if self.status == Status::Joining && matches!(heard, Heard::Answered | Heard::Nothing) {
            return self;
        }
        match heard {
            Heard::Connected | Heard::Called | Heard::Answered => {
                Self { status: Status::Online, failures: 0 }
            }
            Heard::Nothing => {
                let failures = self.failures.saturating_add(1);
                let status = match failures {
                    ..OFFLINE_FROM => self.status,
                    OFFLINE_FROM..UNREACHABLE_FROM => Status::Offline,
                    UNREACHABLE_FROM.. => Status::Unreachable,
                };
                Self { status, failures }
            }
        }
    }
}

/// Time from a check to the next one, after so many failures. `share` of up to a tenth is added, so that nodes that
/// went together are not asked in step.
pub fn wait(config: &NodeHealth, failures: i32, share: f64) -> Duration {
    let [first, few, some, many, most] = config.check_intervals_s;
    let seconds = match failures {
        ..=2 => first,
        3..=5 => few,
        6..=10 => some,
        11..=20 => many,
        21.. => most,
    };
    Duration::from_secs(seconds.into()).mul_f64(1.0 + share.clamp(0.0, 1.0) / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn standing(status: Status, failures: i32) -> Standing {
        Standing { status, failures }
    }

    #[test]
    fn a_node_that_says_nothing_goes_from_online_to_offline_to_unreachable() {
        let mut now = standing(Status::Online, 0);
        let config = NodeHealth::default();
        for failures in 1..=25 {
            now = now.after(Heard::Nothing);
            let (status, seconds) = match failures {
                1..=2 => (Status::Online, 30),
                3..=5 => (Status::Offline, 120),
                6..=10 => (Status::Offline, 300),
                11..=20 => (Status::Unreachable, 900),
                _ => (Status::Unreachable, 1800),
            };
            assert_eq!(now, standing(status, failures));
            assert_eq!(wait(&config, failures, 0.0).as_secs(), seconds, "after {failures}");
        }
        assert_eq!(wait(&config, 0, 0.0).as_secs(), 30);
    }

    #[test]
    fn whatever_is_heard_takes_all_failures_back() {
        for heard in [Heard::Connected, Heard::Called, Heard::Answered] {
            for (status, failures) in [(Status::Online, 2), (Status::Offline, 7), (Status::Unreachable, 99)] {
                assert_eq!(standing(status, failures).after(heard), standing(Status::Online, 0));
            }
        }
    }

    #[test]
    fn a_host_that_never_called_goes_on_joining_until_it_calls() {
        let joining = standing(Status::Joining, 0);
        assert_eq!([Heard::Answered, Heard::Nothing].map(|heard| joining.after(heard)), [joining; 2]);
        for heard in [Heard::Connected, Heard::Called] {
            assert_eq!(joining.after(heard).status, Status::Online);
        }
    }

    #[test]
    fn one_that_was_offline_before_it_was_counted_stays_so() {
        assert_eq!(standing(Status::Offline, 0).after(Heard::Nothing), standing(Status::Offline, 1));
    }

    #[test]
    fn what_is_added_to_an_interval_is_at_most_a_tenth() {
        let config = NodeHealth::default();
        for (share, ms) in [(0.0, 30_000), (0.5, 31_500), (1.0, 33_000), (9.0, 33_000)] {
            assert_eq!(wait(&config, 0, share).as_millis(), ms);
        }
    }
}
