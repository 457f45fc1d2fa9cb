//! Who a node's tunnel talks to: every other node that is not revoked, directly or through a relay.

use std::collections::HashMap;
use std::net::SocketAddr;

use protocol::ids::NodeId;
use protocol::spec::{KeyChange, MeshPeer, MeshSpec};

use crate::mesh::relays::Relayed;
use crate::mesh::rotations::Rotation;
use crate::nodes::store::Known;

/// The ways between nodes beside the declared endpoints, and keys that are about to change.
#[derive(Debug, Default)]
pub struct Ways {
    pub candidates: HashMap<NodeId, Vec<SocketAddr>>,
    pub relayed: Vec<Relayed>,
    pub rotations: Vec<Rotation>,
}

/// The peers of `node`, by name, and the ways to them.
pub fn spec(node: NodeId, all: &[Known], ways: &Ways) -> MeshSpec {
    let others = || all.iter().filter(|other| other.id != node && !other.revoked);
    let mut peers: Vec<MeshPeer> = others().map(peer).collect();
    peers.sort();
    let candidates = others().filter_map(|other| {
        let candidates = ways.candidates.get(&other.id).filter(|candidates| !candidates.is_empty())?;
        Some((other.public_key.clone(), candidates.clone()))
    });
    let rotation = all.iter().find(|one| one.id == node).and_then(|one| one.rotation);
    let mut spec = MeshSpec { peers, rotation, candidates: candidates.collect(), ..MeshSpec::default() };
    for change in &ways.rotations {
        if change.node == node {
            let to = change.told_at.and_then(|_| change.next_key.clone());
            spec.key_change = Some(KeyChange { rotation: change.rotation, to });
        } else if let Some(next) = &change.next_key
            && let Some(other) = others().find(|other| other.id == change.node)
        {
            spec.next_keys.insert(other.public_key.clone(), next.clone());
        }
    }
    let valid = all.iter().filter(|known| !known.revoked);
    let known: HashMap<NodeId, &Known> = valid.map(|known| (known.id, known)).collect();
    for pair in &ways.relayed {
        let of = |id: NodeId| known.get(&id).copied();
        let (Some(a), Some(b), Some(relay)) = (of(pair.a), of(pair.b), pair.relay.and_then(of)) else {
            continue;
        };
        let mut through =
            |other: &Known| spec.relayed.insert(other.public_key.clone(), relay.public_key.clone());
        match node {
            node if node == a.id => drop(through(b)),
            node if node == b.id => drop(through(a)),
            node if node == relay.id => spec.relays.push([a.mesh_address, b.mesh_address]),
            _ => {}
        }
    }
    spec.relays.sort_unstable();
    spec
}

fn peer(node: &Known) -> MeshPeer {
    MeshPeer {
        name: node.name.clone(),
        public_key: node.public_key.clone(),
        mesh_address: node.mesh_address,
        endpoint: node.endpoint.as_deref().and_then(|endpoint| endpoint.parse().ok()),
    }
}
