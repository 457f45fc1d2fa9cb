//! What to change so that the device has the wanted peers. Pure: the device's state in, printable steps out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use protocol::spec::MeshPeer;

use super::keys;

/// Seconds between packets that keep a way through NAT open; with a stale endpoint on the other side they are also
/// what repairs the tunnel (trap 10).
pub(super) const KEEPALIVE_S: u16 = 25;

/// A peer as the device has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CurrentPeer {
    pub(super) public_key: String,
    pub(super) allowed: Vec<String>,
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) keepalive_s: Option<u16>,
}

/// The endpoint that was last set for each public key. What the device has may differ, by roaming.
pub(super) type SetEndpoints = BTreeMap<String, Option<SocketAddr>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Remove {
        public_key: String,
    },
    Add(MeshPeer),
    /// In place; the userspace device cannot do this.
    Change(MeshPeer),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, peer) = match self {
            Self::Remove { public_key } => return write!(f, "remove {public_key}"),
            Self::Add(peer) => ("add", peer),
            Self::Change(peer) => ("change", peer),
        };
        write!(f, "{verb} {} ({}) {}", peer.public_key, peer.name, peer.mesh_address)?;
        match peer.endpoint {
            Some(endpoint) => write!(f, " at {endpoint}"),
            None => write!(f, " without an endpoint"),
        }
    }
}

/// The steps from `current` to `wanted`, removals first, so that an address can move from one key to another.
///
/// With `in_place` false a changed peer is removed and added: the userspace device asserts that it never has to
/// modify a peer, and dies of it while the call still succeeds (trap 1).
pub(super) fn plan(
    current: &[CurrentPeer],
    wanted: &[MeshPeer],
    set: &SetEndpoints,
    in_place: bool,
) -> Vec<Step> {
    let keys: BTreeSet<&str> = wanted.iter().map(|peer| peer.public_key.as_str()).collect();
    let current: BTreeMap<&str, &CurrentPeer> =
        current.iter().map(|peer| (peer.public_key.as_str(), peer)).collect();
    let remove = |key: &str| Step::Remove { public_key: key.to_owned() };
    let mut removals: Vec<Step> =
        current.keys().filter(|key| !keys.contains(*key)).map(|key| remove(key)).collect();
    let mut others = Vec::new();
    for peer in wanted {
        match current.get(peer.public_key.as_str()).map(|has| changed(has, peer, set)) {
            Some(None) => {}
            Some(Some(peer)) if in_place => others.push(Step::Change(peer)),
            Some(Some(peer)) => {
                removals.push(remove(&peer.public_key));
                others.push(Step::Add(peer));
            }
            None => others.push(Step::Add(peer.clone())),
        }
    }
    removals.append(&mut others);
    removals
}

/// The setting that makes `has` into `wanted`, if they differ. A learnt endpoint stays unless another one is *wanted*
/// than was set before: the device knows better than the control plane where a roaming node is (trap 10).
fn changed(has: &CurrentPeer, wanted: &MeshPeer, set: &SetEndpoints) -> Option<MeshPeer> {
    let moved = wanted.endpoint.is_some()
        && has.endpoint != wanted.endpoint
        && (has.endpoint.is_none() || set.get(&wanted.public_key) != Some(&wanted.endpoint));
    let same_address = has.allowed == [format!("{}/32", wanted.mesh_address)];
    let same = same_address && has.keepalive_s == Some(KEEPALIVE_S) && !moved;
    let endpoint = if moved { wanted.endpoint } else { has.endpoint.or(wanted.endpoint) };
    (!same).then(|| MeshPeer { endpoint, ..wanted.clone() })
}

/// The peers that this node needs: those of the spec, and always the control planes' (`bootstrap`), because a spec
/// without them would cut the branch on which the next spec arrives. The spec wins where it speaks of the same key or
/// address, but a known endpoint is better than none. The node itself, doubles and unusable keys are left out.
pub(super) fn wanted_peers(
    spec: &[MeshPeer],
    bootstrap: &[MeshPeer],
    own_key: &str,
    own_address: Ipv4Addr,
) -> Vec<MeshPeer> {
    let (mut keys, mut addresses) = (BTreeSet::from([own_key]), BTreeSet::from([own_address]));
    let mut wanted = Vec::new();
    for peer in spec.iter().chain(bootstrap) {
        let free = !keys.contains(peer.public_key.as_str()) && !addresses.contains(&peer.mesh_address);
        if free && keys::is_public_key(&peer.public_key) {
            keys.insert(&peer.public_key);
            addresses.insert(peer.mesh_address);
            let known = || bootstrap.iter().find(|other| other.public_key == peer.public_key)?.endpoint;
            wanted.push(MeshPeer { endpoint: peer.endpoint.or_else(known), ..peer.clone() });
        }
    }
    wanted.sort_by_key(|peer| peer.mesh_address);
    wanted
}

/// What [`plan`] is to know next time.
pub(super) fn endpoints(wanted: &[MeshPeer]) -> SetEndpoints {
    wanted.iter().map(|peer| (peer.public_key.clone(), peer.endpoint)).collect()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use proptest::prelude::*;

    use super::*;

    fn key(n: u8) -> String {
        base64::engine::general_purpose::STANDARD.encode([n; 32])
    }

    fn endpoint(n: u8) -> SocketAddr {
        SocketAddr::from(([198, 51, 100, n], 51821))
    }

    fn peer(n: u8, at: Option<u8>) -> MeshPeer {
        MeshPeer {
            name: format!("n{n}"),
            public_key: key(n),
            mesh_address: [10, 50, 0, n].into(),
            endpoint: at.map(endpoint),
        }
    }

    fn has(peer: &MeshPeer) -> CurrentPeer {
        CurrentPeer {
            public_key: peer.public_key.clone(),
            allowed: vec![format!("{}/32", peer.mesh_address)],
            endpoint: peer.endpoint,
            keepalive_s: Some(KEEPALIVE_S),
        }
    }

    fn text(steps: &[Step]) -> String {
        let lines: Vec<String> = steps.iter().map(Step::to_string).collect();
        lines.join("\n")
    }

    #[test]
    fn steps_read_as_what_will_happen() {
        let set = endpoints(&[peer(2, Some(20)), peer(3, Some(30))]);
        let current = [has(&peer(2, Some(20))), has(&peer(3, Some(30))), has(&peer(4, None))];
        let wanted = [peer(2, Some(20)), peer(3, Some(31)), peer(5, None)];
        insta::assert_snapshot!(text(&plan(&current, &wanted, &set, false)), @r"
        remove BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=
        remove AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=
        add AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM= (n3) 10.50.0.3 at 198.51.100.31:51821
        add BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU= (n5) 10.50.0.5 without an endpoint
        ");
        insta::assert_snapshot!(text(&plan(&current, &wanted, &set, true)), @r"
        remove BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=
        change AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM= (n3) 10.50.0.3 at 198.51.100.31:51821
        add BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU= (n5) 10.50.0.5 without an endpoint
        ");
    }

    #[test]
    fn an_endpoint_learnt_by_roaming_is_left_alone_until_another_one_is_wanted() {
        let set = endpoints(&[peer(2, Some(20))]);
        let roamed = [has(&peer(2, Some(99)))];
        assert!(plan(&roamed, &[peer(2, Some(20))], &set, false).is_empty());
        assert!(plan(&roamed, &[peer(2, None)], &set, false).is_empty());
        assert_eq!(plan(&roamed, &[peer(2, Some(21))], &set, true), [Step::Change(peer(2, Some(21)))]);
    }

    #[test]
    fn a_change_of_address_keeps_the_learnt_endpoint() {
        let set = endpoints(&[peer(2, Some(20))]);
        let mut roamed = has(&peer(2, Some(99)));
        roamed.allowed = vec!["10.50.0.77/32".to_owned()];
        assert_eq!(plan(&[roamed], &[peer(2, Some(20))], &set, true), [Step::Change(peer(2, Some(99)))]);
    }

    #[test]
    fn a_spec_without_the_control_plane_does_not_cut_it_off_and_never_names_oneself() {
        let control_plane = peer(1, Some(10));
        let wanted = wanted_peers(&[], std::slice::from_ref(&control_plane), &key(9), [10, 50, 0, 9].into());
        assert_eq!(wanted, std::slice::from_ref(&control_plane));
        let spec = [peer(9, None), peer(2, None), peer(1, Some(11)), peer(2, Some(3))];
        let wanted = wanted_peers(&spec, &[control_plane], &key(9), [10, 50, 0, 9].into());
        assert_eq!(wanted, [peer(1, Some(11)), peer(2, None)]);
    }

    #[test]
    fn a_spec_without_an_endpoint_does_not_take_the_known_one_of_the_control_plane() {
        let wanted = wanted_peers(&[peer(1, None)], &[peer(1, Some(10))], &key(9), [10, 50, 0, 9].into());
        assert_eq!(wanted, [peer(1, Some(10))]);
    }

    #[test]
    fn a_control_plane_with_a_new_key_replaces_the_bootstrap_peer_and_bad_keys_are_left_out() {
        let renewed = MeshPeer { public_key: key(8), ..peer(1, Some(10)) };
        let bad = MeshPeer { public_key: "x y".to_owned(), ..peer(3, None) };
        let wanted =
            wanted_peers(&[renewed.clone(), bad], &[peer(1, Some(10))], &key(9), [10, 50, 0, 9].into());
        assert_eq!(wanted, [renewed]);
    }

    fn any_peers() -> impl Strategy<Value = Vec<MeshPeer>> {
        prop::collection::btree_map(1..9_u8, prop::option::of(1..4_u8), 0..6)
            .prop_map(|peers| peers.into_iter().map(|(n, at)| peer(n, at)).collect())
    }

    proptest! {
        /// Applying the steps gives a device for which there is nothing to do, and the userspace device is never
        /// asked to change or to add a peer that it has.
        #[test]
        fn one_pass_is_enough(before in any_peers(), wanted in any_peers(), in_place: bool) {
            let mut device: BTreeMap<String, CurrentPeer> =
                before.iter().map(|peer| (peer.public_key.clone(), has(peer))).collect();
            let current: Vec<_> = device.values().cloned().collect();
            for step in plan(&current, &wanted, &endpoints(&before), in_place) {
                match step {
                    Step::Remove { public_key } => prop_assert!(device.remove(&public_key).is_some()),
                    Step::Change(peer) => {
                        prop_assert!(in_place);
                        prop_assert!(device.insert(peer.public_key.clone(), has(&peer)).is_some());
                    }
                    Step::Add(peer) => {
                        prop_assert!(device.insert(peer.public_key.clone(), has(&peer)).is_none());
                    }
                }
            }
            let current: Vec<_> = device.values().cloned().collect();
            prop_assert_eq!(current.len(), wanted.len());
            prop_assert!(plan(&current, &wanted, &endpoints(&wanted), in_place).is_empty());
        }
    }
}
