//! What the control plane keeps of a node's API key besides the digest that recognises it: the key by which both sign
//! what they say to each other, sealed.

use protocol::identity::{ApiKey, SigningKey};
use protocol::ids::NodeId;

use crate::vault::{Purpose, Vault, VaultError};

pub(super) fn seal(vault: &Vault, node: NodeId, api_key: &ApiKey) -> Vec<u8> {
    vault.seal(Purpose::NodeSigningKey, &of(node), &api_key.signing_key().0)
}

/// An error where the row was sealed by another vault, for another node, or changed since.
pub(crate) fn open(vault: &Vault, node: NodeId, sealed: &[u8]) -> Result<SigningKey, VaultError> {
    let key = vault.open(Purpose::NodeSigningKey, &of(node), sealed)?;
    Ok(SigningKey(key.try_into().map_err(|_| VaultError::Damaged)?))
}

fn of(node: NodeId) -> String {
    format!("node:{node}")
}
