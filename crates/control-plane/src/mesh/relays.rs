//! Which pairs of nodes are relayed, and by whom. Pure: what agents reported goes in.
//!
//! A pair is relayed once one of the two has not heard the other for a while and there is a node that both reach
//! directly. Both then try the direct way in rounds and tell since when it works; it is taken again when it has worked
//! for both for some time, longer each time that it did not last.
//!
//! A node is told of all this by a control plane. The way to that one therefore changes only while another one reaches
//! the node: otherwise one of the two would go by a relay that the other never hears of.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use chrono::{DateTime, TimeDelta, Utc};
use protocol::identity::Role;
use protocol::ids::NodeId;
use protocol::report::{MAX_ADDRESSES, MeshReport, PROBE_EVERY_S, PeerReport, RelayAbility};

use super::Side;

/// Silence after which a pair is relayed. Longer than all need to notice that a node is off: that one is not relayed.
const CUT: TimeDelta = TimeDelta::seconds(10);
/// For the three to do as they were told, before anything is concluded from what they say.
const SETTLE: TimeDelta = TimeDelta::seconds(10);
/// How long the direct way has to work before it is taken again: two tries at least.
const STEADY: TimeDelta = TimeDelta::seconds(15);
/// The longest that a pair which flaps has to be steady.
const LONGEST: TimeDelta = TimeDelta::minutes(10);
/// A pair that has been direct for so long is like any other.
const FORGET: TimeDelta = TimeDelta::minutes(20);

/// A pair that is relayed, or was a while ago. `a` is the smaller id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relayed {
    pub a: NodeId,
    pub b: NodeId,
    pub relay: Option<NodeId>,
    /// How often it came back to the direct way lately.
    pub returns: i32,
    pub since: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Keep,
    Relay(NodeId),
    Direct,
    /// Nothing has to be remembered of it any more.
    Forget,
}

/// The nodes that say something now.
pub struct Fleet<'a> {
    sides: HashMap<NodeId, &'a Side>,
    /// By who says it and of which key.
    peers: HashMap<(NodeId, &'a str), &'a PeerReport>,
    now: DateTime<Utc>,
}

impl<'a> Fleet<'a> {
    pub fn new(sides: &'a [Side], now: DateTime<Utc>) -> Self {
        let mut peers = HashMap::new();
        for side in sides {
            let told = side.fresh(now).into_iter().flat_map(|report| &report.peers);
            peers.extend(told.map(|peer| ((side.id, peer.public_key.as_str()), peer)));
        }
        Self { sides: sides.iter().map(|side| (side.id, side)).collect(), peers, now }
    }

    pub fn side(&self, id: NodeId) -> Option<&'a Side> {
        self.sides.get(&id).copied()
    }

    pub fn name(&self, id: NodeId) -> &'a str {
        self.side(id).map_or("a node that is gone", |side| &side.name)
    }

    /// A decision in words.
    pub fn told(&self, decision: &Decision) -> String {
        match decision {
            Decision::Keep => "the pair stays as it is".to_owned(),
            Decision::Relay(relay) => {
                format!("the pair does not reach each other: relayed via {}", self.name(*relay))
            }
            Decision::Direct => "the pair reaches each other again: direct".to_owned(),
            Decision::Forget => "the pair is like any other again".to_owned(),
        }
    }

    /// What to do about a pair.
    pub fn decide(&self, a: NodeId, b: NodeId, row: Option<&Relayed>) -> Decision {
        let (Some(side_a), Some(side_b)) = (self.side(a), self.side(b)) else {
            return if row.is_some() { Decision::Forget } else { Decision::Keep };
        };
        let relayed = row.and_then(|row| Some((row, row.relay?)));
        let (a_says, b_says) = (self.says(side_a, side_b), self.says(side_b, side_a));
        let knows = |says: Option<&PeerReport>| says.is_some_and(|peer| peer.via.is_some());
        if relayed.is_some()
            && !(knows(a_says) && knows(b_says))
            && !self.has_another_control_plane(side_a, side_b)
        {
            // One of the two never heard of the relay, and nobody will tell it.
            return Decision::Direct;
        }
        // A node that says nothing is off or cut off from here: what was decided last stays.
        let (Some(a_says), Some(b_says)) = (a_says, b_says) else { return Decision::Keep };
        let both = [(side_a, a_says), (side_b, b_says)];
        let cut = both.iter().any(|(side, peer)| self.silence(side, peer) >= CUT);
        match relayed {
            Some((row, relay)) => {
                let gone = self.side(relay).is_none();
                let settled = self.now - row.since >= SETTLE;
                let steady = steady(row.returns);
                let works = both
                    .iter()
                    .all(|(side, peer)| self.direct(side, peer).is_some_and(|for_| for_ >= steady));
                if works && self.both_can_be_told(side_a, side_b) {
                    Decision::Direct
                } else if gone || (settled && cut) {
                    let another = self.relays(side_a, side_b).into_iter().find(|other| *other != relay);
                    another.map_or(Decision::Keep, Decision::Relay)
                } else {
                    Decision::Keep
                }
            }
            None if cut => {
                let first = self.relays(side_a, side_b).into_iter().next();
                first.map_or(Decision::Keep, Decision::Relay)
            }
            None if row.is_some_and(|row| self.now - row.since >= FORGET) => Decision::Forget,
            None => Decision::Keep,
        }
    }

    fn says(&self, of: &Side, peer: &Side) -> Option<&'a PeerReport> {
        self.peers.get(&(of.id, peer.public_key.as_str())).copied()
    }

    /// A report comes when something changes: silence goes on until the next.
    fn silence(&self, side: &Side, peer: &PeerReport) -> TimeDelta {
        if peer.answers() {
            return TimeDelta::zero();
        }
        let silent = peer.probes.map_or(0, |probes| u64::from(probes.silent) * PROBE_EVERY_S);
        seconds(silent) + self.since_report(side)
    }

    /// For how long the direct way between a relayed pair has worked.
    fn direct(&self, side: &Side, peer: &PeerReport) -> Option<TimeDelta> {
        Some(seconds(peer.direct_s.filter(|_| peer.via.is_some())?) + self.since_report(side))
    }

    fn since_report(&self, side: &Side) -> TimeDelta {
        side.reported_at.map_or(TimeDelta::zero(), |at| (self.now - at).max(TimeDelta::zero()))
    }

    /// Hosts of control planes that are none of these two.
    fn other_control_planes(&self, a: &Side, b: &Side) -> impl Iterator<Item = &'a Side> {
        let (a, b) = (a.id, b.id);
        self.sides
            .values()
            .copied()
            .filter(move |side| side.id != a && side.id != b && is_control_plane(side))
    }

    /// Whether there is one, if one of these two is a control plane's host.
    fn has_another_control_plane(&self, a: &Side, b: &Side) -> bool {
        !(is_control_plane(a) || is_control_plane(b)) || self.other_control_planes(a, b).next().is_some()
    }

    fn both_can_be_told(&self, a: &Side, b: &Side) -> bool {
        self.can_be_told(a, b) && self.can_be_told(b, a)
    }

    /// Whether a control plane that is none of the two reaches `side` directly, or none is needed for `peer`. A control
    /// plane's host is no exception: its own control plane may reach the database by that very way.
    fn can_be_told(&self, side: &Side, peer: &Side) -> bool {
        !is_control_plane(peer)
            || self.other_control_planes(side, peer).any(|other| self.reaches(side, other).is_some())
    }

    /// The nodes that can hand on what these two send each other, the shortest way first.
    fn relays(&self, a: &Side, b: &Side) -> Vec<NodeId> {
        if self.ability(a).is_none() || self.ability(b).is_none() {
            return Vec::new();
        }
        if !self.both_can_be_told(a, b) {
            return Vec::new();
        }
        let mut relays: Vec<(u64, &str, NodeId)> = Vec::new();
        for relay in self.sides.values().filter(|relay| relay.id != a.id && relay.id != b.id) {
            let is_public = relay.roles.iter().any(|role| matches!(role, Role::ControlPlane | Role::Proxy));
            if is_public
                && self.ability(relay) == Some(RelayAbility::Relays)
                && let (Some(to_a), Some(to_b)) = (self.reaches(a, relay), self.reaches(b, relay))
            {
                relays.push((to_a + to_b, relay.name.as_str(), relay.id));
            }
        }
        relays.sort_unstable();
        relays.into_iter().map(|(_, _, id)| id).collect()
    }

    fn ability(&self, side: &Side) -> Option<RelayAbility> {
        side.fresh(self.now)?.relay
    }

    /// Microseconds there and back, when both say that they reach each other directly.
    fn reaches(&self, side: &Side, relay: &Side) -> Option<u64> {
        let well = |from, to| self.says(from, to).filter(|peer| peer.via.is_none() && peer.answers());
        let (there, _) = (well(side, relay)?, well(relay, side)?);
        // One whose probes are not answered is no better than one far away.
        let rtt = there.probes.and_then(|probes| probes.rtt_us).unwrap_or(u32::MAX);
        Some(u64::from(rtt))
    }
}

fn is_control_plane(side: &Side) -> bool {
    side.roles.contains(&Role::ControlPlane)
}

fn seconds(seconds: u64) -> TimeDelta {
    TimeDelta::seconds(i64::try_from(seconds).unwrap_or(i64::MAX / 1000))
}

fn steady(returns: i32) -> TimeDelta {
    let doubled = 1 << returns.clamp(0, 10);
    (STEADY * doubled).min(LONGEST)
}

/// Where else a node may be dialled than at its declared endpoint: where nodes at known places see it, and its addresses on
/// networks of its own. `None` when it says nothing now: what is known stays.
pub fn candidates(side: &Side, sides: &[Side], now: DateTime<Utc>) -> Option<Vec<SocketAddr>> {
    let own = side.fresh(now)?;
    let declared = side.endpoint.as_ref().and_then(|endpoint| endpoint.parse().ok());
    let observed = sides.iter().filter(|other| !other.roles.iter().all(|role| *role == Role::Worker));
    let observed = observed.filter_map(|other| other.fresh(now)).filter_map(|report| seen_at(report, side));
    let observed: BTreeSet<SocketAddr> = observed.collect();
    let mut found: Vec<SocketAddr> = Vec::new();
    for candidate in observed.into_iter().chain(own.addresses.iter().copied()) {
        if Some(candidate) != declared && may_be_dialled(candidate) && !found.contains(&candidate) {
            found.push(candidate);
        }
    }
    found.truncate(MAX_ADDRESSES);
    Some(found)
}

fn seen_at(report: &MeshReport, side: &Side) -> Option<SocketAddr> {
    let peer = report.peers.iter().find(|peer| peer.public_key == side.public_key)?;
    peer.endpoint.filter(|_| peer.via.is_none() && peer.answers())
}

fn may_be_dialled(address: SocketAddr) -> bool {
    let ip = address.ip();
    let local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    address.port() != 0 && !local && !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast()
}

#[cfg(test)]
mod tests {
    use protocol::report::Probes;

    use super::*;
    use crate::nodes::Status;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).expect("in range")
    }

    fn id(n: u128) -> NodeId {
        NodeId(uuid::Uuid::from_u128(n))
    }

    /// What is said of a peer that answers after so many milliseconds, or has been silent for so many seconds.
    fn peer(of: &str, rtt_ms: Result<u32, u32>) -> PeerReport {
        let (silent, rtt_us) = match rtt_ms {
            Ok(ms) => (0, Some(ms * 1000)),
            Err(seconds) => (seconds / 2, None),
        };
        PeerReport {
            public_key: of.to_owned(),
            endpoint: format!("203.0.113.{}:51821", of.len()).parse().ok(),
            handshake_age_s: Some(170),
            received_bytes: 0,
            sent_bytes: 0,
            probes: Some(Probes { sent: 90, lost: silent, silent, rtt_us, mtu: None }),
            via: None,
            direct_s: None,
        }
    }

    /// a and b are workers that have not heard each other for 12 s; cp and p reach both.
    fn sides() -> Vec<Side> {
        let side = |n, name: &str, roles: &[Role], peers: Vec<PeerReport>| Side {
            id: id(n),
            name: name.to_owned(),
            roles: roles.to_vec(),
            mesh_address: [10, 50, 0, u8::try_from(n).expect("small")].into(),
            public_key: name.to_owned(),
            endpoint: Some(format!("198.51.100.{n}:51821")),
            status: Status::Online,
            wireguard: None,
            reported_at: Some(now()),
            report: Some(MeshReport { peers, relay: Some(RelayAbility::Relays), ..MeshReport::default() }),
        };
        let all =
            |rtt: u32| vec![peer("a", Ok(rtt)), peer("b", Ok(rtt)), peer("cp", Ok(1)), peer("p", Ok(1))];
        vec![
            side(1, "a", &[Role::Worker], vec![peer("b", Err(12)), peer("cp", Ok(30)), peer("p", Ok(5))]),
            side(2, "b", &[Role::Worker], vec![peer("a", Err(12)), peer("cp", Ok(1)), peer("p", Ok(5))]),
            side(3, "cp", &[Role::ControlPlane], all(1)),
            side(4, "p", &[Role::Proxy], all(1)),
        ]
    }

    fn of<'s>(sides: &'s mut [Side], from: &str, to: &str) -> &'s mut PeerReport {
        let side = sides.iter_mut().find(|side| side.name == from).expect("a side");
        let peers = &mut side.report.as_mut().expect("reports").peers;
        peers.iter_mut().find(|peer| peer.public_key == to).expect("a peer")
    }

    fn decide(sides: &[Side], row: Option<&Relayed>) -> Decision {
        Fleet::new(sides, now()).decide(id(1), id(2), row)
    }

    fn row(relay: Option<u128>, returns: i32, seconds: i64) -> Relayed {
        let since = now() - TimeDelta::seconds(seconds);
        Relayed { a: id(1), b: id(2), relay: relay.map(id), returns, since }
    }

    #[test]
    fn a_cut_pair_is_relayed_by_the_shortest_way_of_those_that_can() {
        let mut sides = sides();
        assert_eq!(decide(&sides, None), Decision::Relay(id(4)));
        of(&mut sides, "p", "b").probes = peer("b", Err(12)).probes;
        assert_eq!(decide(&sides, None), Decision::Relay(id(3)), "p does not hear b");
        sides[2].report.as_mut().expect("reports").relay = Some(RelayAbility::Follows);
        assert_eq!(decide(&sides, None), Decision::Keep, "cp has no nftables");
        let mut sides = self::sides();
        sides[3].roles = vec![Role::Worker];
        assert_eq!(decide(&sides, None), Decision::Relay(id(3)), "workers relay nobody");
        sides[0].report.as_mut().expect("reports").relay = None;
        assert_eq!(decide(&sides, None), Decision::Keep, "the agent of a is older");
    }

    #[test]
    fn silence_counts_from_one_side_goes_on_after_the_report_and_short_losses_are_none() {
        let mut sides = sides();
        *of(&mut sides, "b", "a") = peer("a", Ok(1));
        assert_eq!(decide(&sides, None), Decision::Relay(id(4)), "one direction is cut");
        *of(&mut sides, "a", "b") = peer("b", Err(6));
        assert_eq!(decide(&sides, None), Decision::Keep);
        sides[0].reported_at = Some(now() - TimeDelta::seconds(4));
        assert_eq!(decide(&sides, None), Decision::Relay(id(4)));
    }

    #[test]
    fn a_peer_that_was_made_anew_and_has_not_shaken_hands_yet_is_not_cut() {
        let mut sides = sides();
        for (from, to) in [("a", "b"), ("b", "a")] {
            *of(&mut sides, from, to) = PeerReport { handshake_age_s: None, ..peer(to, Ok(1)) };
        }
        for side in &mut sides {
            side.reported_at = Some(now() - TimeDelta::seconds(29));
        }
        assert_eq!(decide(&sides, None), Decision::Keep);
    }

    #[test]
    fn a_node_that_says_nothing_changes_nothing() {
        let mut sides = sides();
        sides[1].reported_at = Some(now() - TimeDelta::minutes(5));
        assert_eq!(decide(&sides, None), Decision::Keep);
        assert_eq!(decide(&sides, Some(&row(Some(4), 0, 100))), Decision::Keep);
    }

    /// Relayed via p, with the direct way working for so long.
    fn relayed(direct: [Option<u64>; 2]) -> Vec<Side> {
        let mut sides = sides();
        for ((from, to), direct_s) in [("a", "b"), ("b", "a")].into_iter().zip(direct) {
            *of(&mut sides, from, to) =
                PeerReport { via: Some("p".to_owned()), direct_s, ..peer(to, Ok(10)) };
        }
        sides
    }

    #[test]
    fn a_pair_comes_back_when_the_direct_way_has_worked_for_both_for_a_while() {
        for (direct, expected) in [
            ([None, None], Decision::Keep),
            ([Some(30), None], Decision::Keep),
            ([Some(30), Some(10)], Decision::Keep),
            ([Some(30), Some(15)], Decision::Direct),
        ] {
            assert_eq!(decide(&relayed(direct), Some(&row(Some(4), 0, 100))), expected, "{direct:?}");
        }
    }

    #[test]
    fn a_pair_that_flaps_stays_relayed_for_longer_each_time() {
        let returned = |returns| {
            (1..2000).find(|seconds| {
                let sides = relayed([Some(*seconds), Some(*seconds)]);
                decide(&sides, Some(&row(Some(4), returns, 5000))) == Decision::Direct
            })
        };
        let times: Vec<u64> = (0..8).filter_map(returned).collect();
        assert_eq!(times, [15, 30, 60, 120, 240, 480, 600, 600]);
        let mut direct = sides();
        *of(&mut direct, "a", "b") = peer("b", Ok(1));
        *of(&mut direct, "b", "a") = peer("a", Ok(1));
        assert_eq!(decide(&direct, Some(&row(None, 3, 60))), Decision::Keep, "remembered");
        assert_eq!(decide(&direct, Some(&row(None, 3, 1200))), Decision::Forget);
    }

    #[test]
    fn a_relay_that_dies_is_replaced_by_another_once_things_have_settled() {
        let mut sides = relayed([None, None]);
        for (from, to) in [("a", "b"), ("b", "a")] {
            of(&mut sides, from, to).probes = peer(to, Err(12)).probes;
        }
        for (from, to) in [("a", "p"), ("b", "p")] {
            *of(&mut sides, from, to) = peer(to, Err(12));
        }
        assert_eq!(decide(&sides, Some(&row(Some(4), 0, 5))), Decision::Keep);
        assert_eq!(decide(&sides, Some(&row(Some(4), 0, 15))), Decision::Relay(id(3)));
        sides.remove(3);
        assert_eq!(decide(&sides, Some(&row(Some(4), 0, 5))), Decision::Relay(id(3)), "it was removed");
        sides.remove(2);
        assert_eq!(decide(&sides, Some(&row(Some(4), 0, 15))), Decision::Keep, "there is no other");
        sides.remove(1);
        assert_eq!(decide(&sides, Some(&row(Some(4), 0, 15))), Decision::Forget, "b was removed");
    }

    #[test]
    fn the_way_to_a_control_plane_is_relayed_only_while_another_one_can_tell_the_node() {
        let to_cp =
            |sides: &[Side], row: Option<&Relayed>| Fleet::new(sides, now()).decide(id(1), id(3), row);
        let via_p = Relayed { b: id(3), ..row(Some(4), 0, 100) };
        let mut sides = sides();
        for (from, to) in [("a", "cp"), ("cp", "a")] {
            *of(&mut sides, from, to) = peer(to, Err(12));
        }
        assert_eq!(to_cp(&sides, None), Decision::Keep, "the only one");
        assert_eq!(to_cp(&sides, Some(&via_p)), Decision::Direct, "a never heard of the relay");
        sides[0].reported_at = None;
        assert_eq!(to_cp(&sides, Some(&via_p)), Decision::Direct, "nor says anything");
        sides[0].reported_at = Some(now());
        for (from, to) in [("a", "cp"), ("cp", "a")] {
            of(&mut sides, from, to).via = Some("p".to_owned());
        }
        assert_eq!(to_cp(&sides, Some(&via_p)), Decision::Keep, "the other one was removed; the relay works");
        for (from, to) in [("a", "cp"), ("cp", "a")] {
            of(&mut sides, from, to).direct_s = Some(30);
        }
        assert_eq!(to_cp(&sides, Some(&via_p)), Decision::Keep, "a could not be told of the way back");
        for (from, to) in [("a", "cp"), ("cp", "a")] {
            *of(&mut sides, from, to) = peer(to, Err(12));
        }

        sides[1].roles = vec![Role::ControlPlane];
        assert_eq!(to_cp(&sides, None), Decision::Keep, "b is one, and a does not reach it either");
        for (from, to) in [("a", "b"), ("b", "a")] {
            *of(&mut sides, from, to) = peer(to, Ok(1));
        }
        assert_eq!(to_cp(&sides, None), Decision::Relay(id(2)));
    }

    #[test]
    fn a_node_may_be_dialled_where_others_see_it_and_on_its_own_networks() {
        let mut sides = sides();
        let report = sides[0].report.as_mut().expect("reports");
        report.addresses =
            ["192.168.7.5:51821", "127.0.0.1:51821", "198.51.100.1:51821", "169.254.1.1:51821"]
                .map(|text| text.parse().expect("an address"))
                .to_vec();
        let found = candidates(&sides[0], &sides, now()).expect("it reports");
        let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            ["203.0.113.1:51821", "192.168.7.5:51821"],
            "the declared one comes first by itself"
        );
        sides[0].reported_at = None;
        assert_eq!(candidates(&sides[0], &sides, now()), None);
    }
}
