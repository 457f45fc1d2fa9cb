//! Who a node's tunnel talks to: every other node.

use protocol::ids::NodeId;
use protocol::spec::{MeshPeer, MeshSpec};

use crate::nodes::store::Known;

/// The peers of `node`, by name.
pub fn spec(node: NodeId, all: &[Known]) -> MeshSpec {
    let mut peers: Vec<MeshPeer> = all
        .iter()
        .filter(|other| other.id != node)
        .map(|other| MeshPeer {
            name: other.name.clone(),
            public_key: other.public_key.clone(),
            mesh_address: other.mesh_address,
            endpoint: other.endpoint.as_deref().and_then(|endpoint| endpoint.parse().ok()),
        })
        .collect();
    peers.sort();
    MeshSpec { peers }
}
