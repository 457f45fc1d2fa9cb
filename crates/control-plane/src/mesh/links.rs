//! From what agents reported to links between nodes. Pure.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use protocol::report::{PeerReport, Probes};

use super::{Link, LinkState, Side};

/// Both directions of each pair of nodes.
pub(super) fn links(sides: &[Side], now: DateTime<Utc>) -> Vec<Link> {
    let names: HashMap<&str, &str> =
        sides.iter().map(|side| (side.public_key.as_str(), side.name.as_str())).collect();
    let mut links = Vec::new();
    for from in sides {
        let report = from.fresh(now);
        let peers: HashMap<&str, &PeerReport> = report
            .into_iter()
            .flat_map(|report| &report.peers)
            .map(|peer| (peer.public_key.as_str(), peer))
            .collect();
        for to in sides.iter().filter(|to| to.id != from.id) {
            let peer = peers.get(to.public_key.as_str()).copied();
            let via = peer.and_then(|peer| names.get(peer.via.as_deref()?)).map(|name| (*name).to_owned());
            links.push(Link { via, ..link(from, to, peer) });
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
        via: None,
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
    match (peer.answers(), &peer.via) {
        (false, _) => LinkState::Silent,
        (true, Some(_)) => LinkState::Relayed,
        (true, None) => LinkState::Direct,
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
            via: None,
            direct_s: None,
        })
    }

    #[test]
    fn a_link_is_there_while_probes_come_back_or_hands_are_shaken() {
        for (age, silent, expected) in [
            (None, None, LinkState::Silent),
            (None, Some(90), LinkState::Silent),
            (Some(20), None, LinkState::Direct),
            (Some(200), None, LinkState::Silent),
            // Made anew a moment ago.
            (None, Some(0), LinkState::Direct),
            (None, Some(3), LinkState::Silent),
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
