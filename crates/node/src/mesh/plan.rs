//! What to change so that the device has the wanted peers. Pure: the device's state in, printable steps out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use protocol::spec::MeshPeer;

use super::keys;

/// Seconds between packets that keep a way through NAT open; with a stale endpoint on the other side they are also
/// what repairs the tunnel (trap 10).
pub(super) const KEEPALIVE_S: u16 = 25;
/// Of a peer to whom no packets go: they are what makes it shake hands, and its first one comes after so long.
const TRY_S: u16 = 2;

/// A peer as the device has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CurrentPeer {
    pub(super) public_key: String,
    pub(super) allowed: BTreeSet<String>,
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) keepalive_s: Option<u16>,
    pub(super) handshake_age: Option<Duration>,
}

/// A peer as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Its `endpoint` is the one to dial.
    pub(super) peer: MeshPeer,
    /// Whose packets go to it and come from it: its own, and those of peers that it relays; none for a relayed peer.
    pub(super) allowed: BTreeSet<Ipv4Addr>,
    /// To be made anew, at its endpoint and without a session.
    pub(super) afresh: bool,
    /// Beside the same peer under the key that it uses: this one it may use next, or has used before.
    pub(super) spare: bool,
}

impl Wanted {
    pub(super) fn keepalive_s(&self) -> u16 {
        if self.allowed.is_empty() { TRY_S } else { KEEPALIVE_S }
    }
}

/// The endpoint that was last set for each public key. What the device has may differ, by roaming.
pub(super) type SetEndpoints = BTreeMap<String, Option<SocketAddr>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Remove {
        public_key: String,
    },
    Add(Wanted),
    /// In place; the userspace device cannot do this.
    Change(Wanted),
}

impl Step {
    pub(super) fn public_key(&self) -> &str {
        match self {
            Self::Remove { public_key } => public_key,
            Self::Add(wanted) | Self::Change(wanted) => &wanted.peer.public_key,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, Wanted { peer, allowed, .. }) = match self {
            Self::Remove { public_key } => return write!(f, "remove {public_key}"),
            Self::Add(wanted) => ("add", wanted),
            Self::Change(wanted) => ("change", wanted),
        };
        write!(f, "{verb} {} ({})", peer.public_key, peer.name)?;
        if allowed.is_empty() {
            write!(f, " for no packets")?;
        }
        for address in allowed {
            write!(f, " {address}")?;
        }
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
    wanted: &[Wanted],
    set: &SetEndpoints,
    in_place: bool,
) -> Vec<Step> {
    let keys: BTreeSet<&str> = wanted.iter().map(|wanted| wanted.peer.public_key.as_str()).collect();
    let current: BTreeMap<&str, &CurrentPeer> =
        current.iter().map(|peer| (peer.public_key.as_str(), peer)).collect();
    let remove = |key: &str| Step::Remove { public_key: key.to_owned() };
    let mut removals: Vec<Step> =
        current.keys().filter(|key| !keys.contains(*key)).map(|key| remove(key)).collect();
    let mut others = Vec::new();
    for wanted in wanted {
        let Some(has) = current.get(wanted.peer.public_key.as_str()) else {
            others.push(Step::Add(wanted.clone()));
            continue;
        };
        // A relayed peer begins without a session, so that its first handshake says something.
        let afresh = wanted.afresh || (wanted.allowed.is_empty() && !has.allowed.is_empty());
        match changed(has, wanted, set) {
            None => {}
            Some(setting) if in_place && !afresh => others.push(Step::Change(setting)),
            Some(setting) => {
                removals.push(remove(&setting.peer.public_key));
                others.push(Step::Add(setting));
            }
        }
    }
    removals.append(&mut others);
    removals
}

/// The setting that makes `has` into `wanted`, if they differ. A learnt endpoint stays unless another one is *wanted*
/// than was set before: the device knows better than the control plane where a roaming node is (trap 10).
fn changed(has: &CurrentPeer, wanted: &Wanted, set: &SetEndpoints) -> Option<Wanted> {
    let endpoint = wanted.peer.endpoint;
    let moved = endpoint.is_some()
        && has.endpoint != endpoint
        && (wanted.afresh || has.endpoint.is_none() || set.get(&wanted.peer.public_key) != Some(&endpoint));
    let same_addresses = has.allowed.len() == wanted.allowed.len()
        && wanted.allowed.iter().all(|address| has.allowed.contains(&format!("{address}/32")));
    let same = same_addresses && has.keepalive_s == Some(wanted.keepalive_s()) && !moved && !wanted.afresh;
    let endpoint = if moved { endpoint } else { has.endpoint.or(endpoint) };
    (!same).then(|| Wanted { peer: MeshPeer { endpoint, ..wanted.peer.clone() }, ..wanted.clone() })
}

/// Which addresses each peer is for. What `relayed` says of keys that are not among the peers, or of a relay that is
/// relayed itself, counts for nothing: such a peer keeps its own address.
pub(super) fn routed(peers: Vec<MeshPeer>, relayed: &BTreeMap<String, String>) -> Vec<Wanted> {
    let keys: BTreeSet<String> = peers.iter().map(|peer| peer.public_key.clone()).collect();
    let via = |peer: &MeshPeer| {
        relayed.get(&peer.public_key).filter(|via| keys.contains(*via) && !relayed.contains_key(*via))
    };
    let mut allowed: BTreeMap<String, BTreeSet<Ipv4Addr>> = BTreeMap::new();
    for peer in &peers {
        let through = via(peer).unwrap_or(&peer.public_key);
        allowed.entry(through.clone()).or_default().insert(peer.mesh_address);
    }
    let wanted = |peer: MeshPeer| Wanted {
        allowed: allowed.remove(&peer.public_key).unwrap_or_default(),
        peer,
        afresh: false,
        spare: false,
    };
    peers.into_iter().map(wanted).collect()
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

/// The peer `wanted` under the key that it does not use: heard when it shakes hands with it, and not dialled.
pub(super) fn spare(wanted: &Wanted, public_key: &str) -> Wanted {
    let peer = MeshPeer { public_key: public_key.to_owned(), endpoint: None, ..wanted.peer.clone() };
    Wanted { peer, allowed: BTreeSet::new(), afresh: false, spare: true }
}

/// What [`plan`] is to know next time.
pub(super) fn endpoints(wanted: &[Wanted]) -> SetEndpoints {
    wanted.iter().map(|wanted| (wanted.peer.public_key.clone(), wanted.peer.endpoint)).collect()
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

    fn direct(peers: &[MeshPeer]) -> Vec<Wanted> {
        routed(peers.to_vec(), &BTreeMap::new())
    }

    fn set(peers: &[MeshPeer]) -> SetEndpoints {
        endpoints(&direct(peers))
    }

    fn device(wanted: &[Wanted]) -> Vec<CurrentPeer> {
        wanted.iter().map(taken).collect()
    }

    /// What the device has after it was given this.
    fn taken(wanted: &Wanted) -> CurrentPeer {
        CurrentPeer {
            public_key: wanted.peer.public_key.clone(),
            allowed: wanted.allowed.iter().map(|address| format!("{address}/32")).collect(),
            endpoint: wanted.peer.endpoint,
            keepalive_s: Some(wanted.keepalive_s()),
            handshake_age: None,
        }
    }

    fn has(peer: &MeshPeer) -> CurrentPeer {
        taken(&direct(std::slice::from_ref(peer))[0])
    }

    fn text(steps: &[Step]) -> String {
        let lines: Vec<String> = steps.iter().map(Step::to_string).collect();
        lines.join("\n")
    }

    #[test]
    fn steps_read_as_what_will_happen() {
        let set = set(&[peer(2, Some(20)), peer(3, Some(30))]);
        let current = [has(&peer(2, Some(20))), has(&peer(3, Some(30))), has(&peer(4, None))];
        let wanted = direct(&[peer(2, Some(20)), peer(3, Some(31)), peer(5, None)]);
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
        let set = set(&[peer(2, Some(20))]);
        let roamed = [has(&peer(2, Some(99)))];
        assert!(plan(&roamed, &direct(&[peer(2, Some(20))]), &set, false).is_empty());
        assert!(plan(&roamed, &direct(&[peer(2, None)]), &set, false).is_empty());
        let moved = direct(&[peer(2, Some(21))]);
        assert_eq!(plan(&roamed, &moved, &set, true), [Step::Change(moved[0].clone())]);
    }

    #[test]
    fn a_change_of_address_keeps_the_learnt_endpoint() {
        let set = set(&[peer(2, Some(20))]);
        let mut roamed = has(&peer(2, Some(99)));
        roamed.allowed = BTreeSet::from(["10.50.0.77/32".to_owned()]);
        let kept = direct(&[peer(2, Some(99))]).remove(0);
        assert_eq!(plan(&[roamed], &direct(&[peer(2, Some(20))]), &set, true), [Step::Change(kept)]);
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

    fn any_relays() -> impl Strategy<Value = BTreeMap<String, String>> {
        prop::collection::btree_map((1..9_u8).prop_map(key), (1..9_u8).prop_map(key), 0..4)
    }

    fn any_wanted() -> impl Strategy<Value = Vec<Wanted>> {
        (any_peers(), any_relays()).prop_map(|(peers, relayed)| routed(peers, &relayed))
    }

    #[test]
    fn a_relayed_peer_gives_its_address_to_the_relay_and_begins_without_a_session() {
        let peers = [peer(2, Some(20)), peer(3, Some(30))];
        let current = device(&direct(&peers));
        let relayed = BTreeMap::from([(key(2), key(3))]);
        let wanted = routed(peers.to_vec(), &relayed);
        insta::assert_snapshot!(text(&plan(&current, &wanted, &set(&peers), true)), @r"
        remove AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=
        add AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI= (n2) for no packets at 198.51.100.20:51821
        change AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM= (n3) 10.50.0.2 10.50.0.3 at 198.51.100.30:51821
        ");
        // And back: the session that shook hands stays.
        insta::assert_snapshot!(text(&plan(&device(&wanted), &direct(&peers), &set(&peers), true)), @r"
        change AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI= (n2) 10.50.0.2 at 198.51.100.20:51821
        change AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM= (n3) 10.50.0.3 at 198.51.100.30:51821
        ");
    }

    #[test]
    fn a_peer_made_anew_goes_where_it_is_to_be_dialled() {
        let set = set(&[peer(2, Some(20))]);
        let mut wanted = direct(&[peer(2, Some(20))]);
        wanted[0].afresh = true;
        let steps = plan(&[has(&peer(2, Some(99)))], &wanted, &set, true);
        assert_eq!(steps, [Step::Remove { public_key: key(2) }, Step::Add(wanted[0].clone())]);
    }

    proptest! {
        /// Applying the steps gives a device for which there is nothing to do, and the userspace device is never
        /// asked to change or to add a peer that it has.
        #[test]
        fn one_pass_is_enough(
            before in any_wanted(),
            wanted in any_wanted(),
            in_place: bool,
        ) {
            let set = endpoints(&before);
            let current = device(&before);
            let mut device: BTreeMap<String, CurrentPeer> =
                current.iter().map(|peer| (peer.public_key.clone(), peer.clone())).collect();
            for step in plan(&current, &wanted, &set, in_place) {
                match step {
                    Step::Remove { public_key } => prop_assert!(device.remove(&public_key).is_some()),
                    Step::Change(wanted) => {
                        prop_assert!(in_place);
                        prop_assert!(device.insert(wanted.peer.public_key.clone(), taken(&wanted)).is_some());
                    }
                    Step::Add(wanted) => {
                        prop_assert!(device.insert(wanted.peer.public_key.clone(), taken(&wanted)).is_none());
                    }
                }
            }
            let current: Vec<_> = device.values().cloned().collect();
            prop_assert_eq!(current.len(), wanted.len());
            prop_assert!(plan(&current, &wanted, &endpoints(&wanted), in_place).is_empty());
        }

        /// Every address belongs to one peer, whatever is said of relays.
        #[test]
        fn every_address_has_one_way(peers in any_peers(), relayed in any_relays()) {
            let wanted = routed(peers.clone(), &relayed);
            let mut addresses: Vec<Ipv4Addr> =
                wanted.iter().flat_map(|wanted| wanted.allowed.clone()).collect();
            addresses.sort_unstable();
            prop_assert_eq!(addresses, peers.iter().map(|peer| peer.mesh_address).collect::<Vec<_>>());
        }
    }
}
