//! Which endpoint of a peer to dial. Pure: what is seen of the peer and the time come in.
//!
//! A peer that answers is never moved. One that does not is dialled at its next endpoint after a pause, which grows with
//! each round through all of them. The direct way to a relayed peer is tried in rounds: made anew, the peer has no
//! session, and hands shaken before the end of the round say that the way works.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long a peer may be silent at one endpoint before the next is dialled: time for two handshakes.
const PAUSE: Duration = Duration::from_secs(15);
const MAX_PAUSE: Duration = Duration::from_mins(2);
/// One try of the direct way to a relayed peer: time for two handshakes, the first of which begins after two seconds.
const ROUND: Duration = Duration::from_secs(10);

/// What is known of a peer right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Answers,
    Silent,
    /// Too early to say.
    Unknown,
    /// It is reached through a relay, and shook hands over the direct way so long ago, or never.
    Relayed(Option<Duration>),
}

/// How to dial a peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dial {
    pub(super) endpoint: Option<SocketAddr>,
    /// The peer is to be made anew, at this endpoint.
    pub(super) afresh: bool,
}

/// The ways to all peers, by public key.
#[derive(Debug, Default)]
pub(super) struct Ways(BTreeMap<String, Way>);

#[derive(Debug)]
struct Way {
    /// The endpoint that the control plane named first. Another one is dialled at once.
    first: Option<SocketAddr>,
    at: Option<SocketAddr>,
    /// It was dialled there, or became silent there; of a relayed peer, when this round began.
    since: Instant,
    silent: bool,
    pause: Duration,
    /// Endpoints dialled since it answered.
    tried: usize,
    /// The direct way to a relayed peer has worked in each round since then.
    direct: Option<Instant>,
    relayed: bool,
}

impl Ways {
    /// Where to dial the peer `key`, whose endpoints are `candidates`, the wanted one first. `last` is where it was
    /// dialled before this agent began, `learnt` where the device sends its packets.
    pub(super) fn dial(
        &mut self,
        key: &str,
        candidates: &[SocketAddr],
        last: Option<SocketAddr>,
        learnt: Option<SocketAddr>,
        seen: Seen,
        now: Instant,
    ) -> Dial {
        let way = self.0.entry(key.to_owned()).or_insert_with(|| Way::new(candidates, last, now));
        way.next(candidates, learnt, seen, now)
    }

    /// Forgets all peers but these.
    pub(super) fn keep(&mut self, is_peer: impl Fn(&str) -> bool) {
        self.0.retain(|key, _| is_peer(key));
    }

    /// Since when the direct way to a relayed peer works.
    pub(super) fn direct(&self, key: &str) -> Option<Instant> {
        self.0.get(key)?.direct
    }

    /// Whether something may have to be dialled elsewhere by now.
    pub(super) fn due(&self, now: Instant) -> bool {
        let due = |way: &Way| {
            let pause = if way.relayed { ROUND } else { way.pause };
            (way.relayed || way.silent) && now.saturating_duration_since(way.since) >= pause
        };
        self.0.values().any(due)
    }

    /// The relayed peers whose direct way works.
    pub(super) fn healed(&self) -> Vec<String> {
        self.0.iter().filter(|(_, way)| way.direct.is_some()).map(|(key, _)| key.clone()).collect()
    }
}

impl Way {
    fn new(candidates: &[SocketAddr], last: Option<SocketAddr>, now: Instant) -> Self {
        let first = candidates.first().copied();
        Self {
            first,
            at: last.filter(|last| candidates.contains(last)).or(first),
            since: now,
            silent: false,
            pause: PAUSE,
            tried: 0,
            direct: None,
            relayed: false,
        }
    }

    fn next(
        &mut self,
        candidates: &[SocketAddr],
        learnt: Option<SocketAddr>,
        seen: Seen,
        now: Instant,
    ) -> Dial {
        if self.first != candidates.first().copied() {
            *self = Self { relayed: self.relayed, ..Self::new(candidates, None, now) };
            return Dial { endpoint: self.at, afresh: false };
        }
        let relayed = matches!(seen, Seen::Relayed(_));
        if relayed != self.relayed {
            // What was tried before says nothing about now.
            *self = Self { at: self.at, relayed, ..Self::new(candidates, None, now) };
        }
        let afresh = match seen {
            Seen::Relayed(shaken) => self.round(candidates, learnt, shaken, now),
            Seen::Silent => self.silence(candidates, learnt, now),
            Seen::Answers => {
                (self.silent, self.pause, self.tried) = (false, PAUSE, 0);
                false
            }
            Seen::Unknown => false,
        };
        Dial { endpoint: self.at, afresh }
    }

    fn silence(&mut self, candidates: &[SocketAddr], learnt: Option<SocketAddr>, now: Instant) -> bool {
        let elsewhere = candidates.iter().any(|candidate| Some(*candidate) != learnt);
        if !elsewhere {
            return false;
        }
        if !self.silent {
            (self.silent, self.since) = (true, now);
        }
        if now.saturating_duration_since(self.since) < self.pause {
            return false;
        }
        self.advance(candidates, learnt);
        self.since = now;
        self.tried += 1;
        if self.tried.is_multiple_of(candidates.len()) {
            self.pause = (self.pause * 2).min(MAX_PAUSE);
        }
        true
    }

    fn round(
        &mut self,
        candidates: &[SocketAddr],
        learnt: Option<SocketAddr>,
        shaken: Option<Duration>,
        now: Instant,
    ) -> bool {
        let round = now.saturating_duration_since(self.since);
        if round < ROUND {
            return false;
        }
        let worked = shaken.is_some_and(|ago| ago <= round);
        if worked {
            self.direct.get_or_insert(self.since);
            // Where it answered is where it is dialled again, also after the relay.
            self.at = learnt.or(self.at);
        } else {
            self.direct = None;
            self.advance(candidates, learnt);
        }
        self.since = now;
        self.at.or(learnt).is_some()
    }

    /// To the next endpoint, leaving out the one where the device sends its packets without an answer.
    fn advance(&mut self, candidates: &[SocketAddr], learnt: Option<SocketAddr>) {
        let at = candidates.iter().position(|candidate| Some(*candidate) == self.at);
        let start = at.map_or(0, |at| at + 1);
        let mut others = candidates.iter().cycle().skip(start).take(candidates.len());
        let other = others.find(|candidate| candidates.len() == 1 || Some(**candidate) != learnt);
        self.at = other.copied().or(self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u8) -> SocketAddr {
        SocketAddr::from(([198, 51, 100, n], 51821))
    }

    /// Looks every second at a peer with these endpoints that answers where `answers` says so, and notes each place
    /// where it is dialled anew, and when.
    fn dialled(candidates: &[u8], seconds: u64, answers: impl Fn(u64, u8) -> bool) -> Vec<(u64, u8)> {
        let candidates: Vec<SocketAddr> = candidates.iter().copied().map(at).collect();
        let (mut ways, start) = (Ways::default(), Instant::now());
        let mut current = candidates[0];
        let mut moves = Vec::new();
        for second in 0..seconds {
            let place = candidates.iter().find(|one| **one == current).expect("one of them");
            let SocketAddr::V4(v4) = place else { panic!("v4") };
            let seen = if answers(second, v4.ip().octets()[3]) { Seen::Answers } else { Seen::Silent };
            let now = start + Duration::from_secs(second);
            let dial = ways.dial("k", &candidates, None, Some(current), seen, now);
            if dial.afresh {
                current = dial.endpoint.expect("there are endpoints");
                let SocketAddr::V4(v4) = current else { panic!("v4") };
                moves.push((second, v4.ip().octets()[3]));
            }
        }
        moves
    }

    #[test]
    fn a_peer_that_answers_is_never_moved() {
        assert_eq!(dialled(&[1, 2, 3], 600, |_, _| true), []);
    }

    #[test]
    fn a_silent_peer_is_dialled_at_one_endpoint_after_the_other_until_it_answers() {
        assert_eq!(dialled(&[1, 2, 3], 600, |_, at| at == 3), [(15, 2), (30, 3)]);
        assert_eq!(dialled(&[1], 600, |_, _| false), [], "there is nothing else to try");
    }

    #[test]
    fn pauses_grow_while_nothing_works_and_are_short_again_after_an_answer() {
        let moves = dialled(&[1, 2], 1000, |second, _| second == 500);
        let times: Vec<u64> = moves.iter().map(|(second, _)| *second).collect();
        let pauses: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(pauses[..5], [15, 30, 30, 60, 60], "{moves:?}");
        let after = times.iter().find(|second| **second > 500).expect("goes on");
        assert_eq!(*after, 516);
    }

    #[test]
    fn a_peer_that_flaps_stays_where_it_is() {
        assert_eq!(dialled(&[1, 2], 3600, |second, _| second % 14 == 0), []);
    }

    #[test]
    fn the_declared_endpoint_is_dialled_again_when_a_learnt_one_became_silent() {
        let (mut ways, start) = (Ways::default(), Instant::now());
        let late = start + PAUSE;
        let first = ways.dial("k", &[at(1)], None, Some(at(9)), Seen::Silent, start);
        assert!(!first.afresh, "it may be back in a moment");
        let dial = ways.dial("k", &[at(1)], None, Some(at(9)), Seen::Silent, late);
        assert_eq!(dial, Dial { endpoint: Some(at(1)), afresh: true });
    }

    #[test]
    fn what_worked_before_a_restart_is_dialled_first_unless_another_endpoint_is_declared() {
        let (mut ways, now) = (Ways::default(), Instant::now());
        let mut dial = |candidates: &[SocketAddr]| {
            ways.dial("k", candidates, Some(at(2)), None, Seen::Unknown, now).endpoint
        };
        assert_eq!(dial(&[at(1), at(2)]), Some(at(2)));
        assert_eq!(dial(&[at(5), at(2)]), Some(at(5)));
    }

    /// Looks at a relayed peer every second; the way is there in these seconds.
    fn direct(seconds: u64, there: impl Fn(u64) -> bool) -> (Vec<u64>, Option<u64>) {
        let (mut ways, start) = (Ways::default(), Instant::now());
        let (mut made, mut shaken) = (0, None);
        let mut rounds = Vec::new();
        for second in 0..=seconds {
            let now = start + Duration::from_secs(second);
            if second >= made + 2 && shaken.is_none_or(|at| at < made) && there(second) {
                shaken = Some(second);
            }
            let ago = shaken.map(|at| Duration::from_secs(second - at));
            if ways.dial("k", &[at(1)], None, Some(at(1)), Seen::Relayed(ago), now).afresh {
                (made, shaken) = (second, None);
                rounds.push(second);
            }
        }
        let now = start + Duration::from_secs(seconds);
        (rounds, ways.direct("k").map(|since| (now - since).as_secs()))
    }

    #[test]
    fn the_direct_way_is_tried_in_rounds_and_counts_from_the_first_that_worked() {
        assert_eq!(direct(30, |_| false), (vec![10, 20, 30], None));
        assert_eq!(direct(40, |second| second > 15).1, Some(30));
        assert_eq!(direct(40, |second| second < 25).1, None, "it was cut again");
    }
}
