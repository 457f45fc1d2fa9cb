//! From what agents reported to links between nodes. Pure.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use protocol::report::{PROBE_EVERY_S, PeerReport, Probes};

use super::{Link, LinkState, Side};

/// `WireGuard` gives a session up that was not renewed for so long.
const SESSION_S: u64 = 180;
/// Probes lost one after the other that are no accident.
const SILENT: u32 = 3;

/// Both directions of each pair of nodes.
pub(super) fn links(sides: &[Side], now: DateTime<Utc>) -> Vec<Link> {
    let mut links = Vec::new();
    for from in sides {
        let report = from.fresh(now);
        let peers: HashMap<&str, &PeerReport> = report
            .into_iter()
            .flat_map(|report| &report.peers)
            .map(|peer| (peer.public_key.as_str(), peer))
            .collect();
        for to in sides.iter().filter(|to| to.id != from.id) {
            links.push(link(from, to, peers.get(to.public_key.as_str()).copied()));
        }
    }
    links
}

fn link(from: &Side, to: &Side, peer: Option<&PeerReport>) -> Link {
    let probes = peer.and_then(|peer| peer.probes);
    Link {
        from: from.name.clone(),
        to: to.name.clone(),
        state: peer.map_or(LinkState::Unknown, state),
        endpoint: peer.and_then(|peer| peer.endpoint),
        handshake_age_s: peer.and_then(|peer| peer.handshake_age_s),
        received_bytes: peer.map_or(0, |peer| peer.received_bytes),
        sent_bytes: peer.map_or(0, |peer| peer.sent_bytes),
        rtt_ms: probes.and_then(|probes| probes.rtt_us).map(|us| f64::from(us) / 1000.0),
        loss: probes.filter(|probes| probes.sent > 0).map(loss),
        mtu: probes.and_then(|probes| probes.mtu),
    }
}

fn loss(probes: Probes) -> f64 {
    f64::from(probes.lost) * 100.0 / f64::from(probes.sent)
}

/// How the one who reports reaches the peer.
pub(crate) fn state(peer: &PeerReport) -> LinkState {
    let Some(age) = peer.handshake_age_s.filter(|age| *age < SESSION_S) else { return LinkState::Silent };
    // A handshake within the silence: the tunnel works, it is probes that are not answered.
    let silent = peer.probes.map_or(0, |probes| probes.silent);
    if silent < SILENT || age < u64::from(silent) * PROBE_EVERY_S {
        LinkState::Direct
    } else {
        LinkState::Silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(age: Option<u64>, silent: Option<u32>) -> LinkState {
        let probes = silent.map(|silent| Probes { sent: 90, lost: silent, silent, rtt_us: None, mtu: None });
        let public_key = "k".to_owned();
        state(&PeerReport {
            public_key,
            endpoint: None,
            handshake_age_s: age,
            received_bytes: 0,
            sent_bytes: 0,
            probes,
        })
    }

    #[test]
    fn a_link_is_there_while_probes_come_back_or_hands_are_shaken() {
        for (age, silent, expected) in [
            (None, None, LinkState::Silent),
            (None, Some(90), LinkState::Silent),
            (Some(20), None, LinkState::Direct),
            (Some(200), None, LinkState::Silent),
            (Some(100), Some(0), LinkState::Direct),
            (Some(100), Some(2), LinkState::Direct),
            // Cut a moment ago: the handshake is from before.
            (Some(100), Some(3), LinkState::Silent),
            // Its firewall lets no probes in.
            (Some(100), Some(90), LinkState::Direct),
        ] {
            assert_eq!(seen(age, silent), expected, "{age:?} {silent:?}");
        }
    }
}
