//! Which of two keys a peer uses, while it is about to change its own. Pure: what is seen of the peer comes in.
//!
//! The tunnel has the peer under both keys, and its packets go to one of them. With which of the two it shook hands last
//! is what it uses; nobody else's word is needed for that, so a peer that lost its power in between is found under
//! whichever key it comes back with. The userspace device hears only one of them at a place (a socket of its own goes
//! there), which is why it follows the peer's call, and why a peer that is silent is looked for under the other key.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a peer may be silent under one key before the other is tried: time for a handshake and a probe.
const PATIENCE: Duration = Duration::from_secs(5);
/// For how long after its call a peer that can be heard under both keys is looked at all the time.
const HURRY: Duration = Duration::from_secs(10);

/// What is seen of a peer with two keys.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Look {
    /// Age of the last handshake with the key that it has had.
    pub(super) old: Option<Duration>,
    /// With the next one.
    pub(super) next: Option<Duration>,
    /// Packets to it go to its next key.
    pub(super) routed: bool,
    /// It answers no probes.
    pub(super) silent: bool,
    /// It said that it uses its next key now.
    pub(super) called: bool,
    /// The device hears the peer under both keys.
    pub(super) hears_both: bool,
}

/// All peers with two keys, by the one that the control plane knows as theirs.
#[derive(Debug, Default)]
pub(super) struct Turns(BTreeMap<String, Turn>);

#[derive(Debug)]
struct Turn {
    next: String,
    uses_next: bool,
    since: Instant,
    called: Option<Instant>,
}

impl Turns {
    /// Forgets all but these.
    pub(super) fn keep(&mut self, next_keys: &BTreeMap<String, String>) {
        self.0.retain(|key, turn| next_keys.get(key) == Some(&turn.next));
    }

    /// Whether the peer `key` is under `next` by now.
    pub(super) fn uses_next(&mut self, key: &str, next: &str, look: Look, now: Instant) -> bool {
        let turn = self.0.entry(key.to_owned()).or_insert_with(|| Turn {
            next: next.to_owned(),
            uses_next: look.routed,
            since: now,
            called: None,
        });
        turn.look(look, now)
    }

    /// Whether a peer is about to be heard under its next key, any moment.
    pub(super) fn hurry(&self, now: Instant) -> bool {
        self.0.values().any(|turn| {
            !turn.uses_next && turn.called.is_some_and(|at| now.saturating_duration_since(at) < HURRY)
        })
    }
}

impl Turn {
    fn look(&mut self, look: Look, now: Instant) -> bool {
        if look.called {
            self.called = Some(now);
        }
        let used = if self.uses_next { look.next } else { look.old };
        let waited = now.saturating_duration_since(self.since) >= PATIENCE;
        let lost = look.silent && waited && used.is_none_or(|age| age >= PATIENCE);
        let uses_next = if look.called && !look.hears_both {
            true
        } else if lost {
            !self.uses_next
        } else {
            match (look.old, look.next) {
                (None, None) => self.uses_next,
                (old, next) => next.is_some_and(|next| old.is_none_or(|old| next < old)),
            }
        };
        if uses_next != self.uses_next || look.called {
            (self.uses_next, self.since) = (uses_next, now);
        }
        uses_next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One look after the other, a second apart.
    fn seen(looks: &[Look]) -> Vec<bool> {
        let (mut turns, begun) = (Turns::default(), Instant::now());
        let at = |second| begun + Duration::from_secs(second);
        (0..).zip(looks).map(|(second, look)| turns.uses_next("old", "next", *look, at(second))).collect()
    }

    fn shaken(old: Option<u64>, next: Option<u64>) -> Look {
        let age = |age: Option<u64>| age.map(Duration::from_secs);
        Look { old: age(old), next: age(next), ..Look::default() }
    }

    #[test]
    fn a_peer_is_under_the_key_with_which_it_shook_hands_last() {
        let looks = [
            (Look::default(), false),
            (shaken(Some(50), None), false),
            (shaken(Some(51), Some(0)), true),
            // Made anew under the other key: it stays where it was.
            (Look::default(), true),
            (shaken(None, Some(0)), true),
            // It came back with the old one.
            (shaken(Some(0), Some(2)), false),
        ];
        let expected: Vec<bool> = looks.iter().map(|(_, uses_next)| *uses_next).collect();
        assert_eq!(seen(&looks.map(|(look, _)| look)), expected);
    }

    #[test]
    fn an_agent_that_begins_again_goes_on_where_packets_go() {
        assert_eq!(seen(&[Look { routed: true, ..Look::default() }]), [true]);
    }

    #[test]
    fn a_call_is_followed_by_a_device_that_hears_one_key_and_hurries_one_that_hears_both() {
        let called = Look { called: true, ..shaken(Some(50), None) };
        assert_eq!(seen(&[called, Look::default()]), [true, true]);
        let both = Look { hears_both: true, ..called };
        assert_eq!(seen(&[both]), [false]);
        let (mut turns, now) = (Turns::default(), Instant::now());
        assert!(!turns.hurry(now));
        turns.uses_next("old", "next", both, now);
        assert!(turns.hurry(now) && !turns.hurry(now + HURRY));
        turns.uses_next("old", "next", shaken(Some(50), Some(0)), now);
        assert!(!turns.hurry(now), "it is there");
    }

    #[test]
    fn a_silent_peer_is_looked_for_under_the_other_key_and_then_the_first_again() {
        let silent = Look { silent: true, ..Look::default() };
        let found = seen(&[silent; 12]);
        assert_eq!(found, [vec![false; 5], vec![true; 5], vec![false; 2]].concat());
        // It shook hands a moment ago: its answer to a probe is on its way.
        let back = Look { silent: true, ..shaken(None, Some(1)) };
        assert_eq!(seen(&[[silent; 6], [back; 6]].concat())[6..], [true; 6]);
    }

    #[test]
    fn a_peer_that_got_another_next_key_begins_anew() {
        let mut turns = Turns::default();
        let now = Instant::now();
        assert!(turns.uses_next("old", "next", shaken(None, Some(0)), now));
        turns.keep(&BTreeMap::from([("old".to_owned(), "another".to_owned())]));
        assert!(!turns.uses_next("old", "another", Look::default(), now));
    }
}
