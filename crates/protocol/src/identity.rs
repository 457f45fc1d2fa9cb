//! Who a node is, and what its agents are.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::NodeId;

/// What a host is for. A host may have several roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(
    feature = "control-plane",
    derive(sqlx::Type, utoipa::ToSchema),
    sqlx(type_name = "text", rename_all = "kebab-case")
)]
pub enum Role {
    ControlPlane,
    Worker,
    Proxy,
}

/// Which of a node's processes is speaking. Each has its own link and its own desired state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(
    feature = "control-plane",
    derive(sqlx::Type, utoipa::ToSchema),
    sqlx(type_name = "text", rename_all = "kebab-case")
)]
pub enum AgentKind {
    /// Runs on every node: joins it, keeps its tunnel.
    Mesh,
    Worker,
    Proxy,
    /// The front door of a worker for the direct zones that point at it; a part of the worker's process.
    Ingress,
}

impl AgentKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mesh => "mesh",
            Self::Worker => "worker",
            Self::Proxy => "proxy",
            Self::Ingress => "ingress",
        }
    }
}

impl std::fmt::Display for AgentKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::Worker => "worker",
            Self::Proxy => "proxy",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a node has after joining. The mesh agent writes it to `identity.json` (mode 0640) in its state folder;
/// the other agents of the host read it there.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeIdentity {
    pub node_id: NodeId,
    pub name: String,
    pub mesh_address: Ipv4Addr,
    /// Shown once by the control plane; see [`ApiKey`].
    pub api_key: ApiKey,
    /// Base URLs of the control planes on the mesh, for example `http://10.50.0.1:8081`.
    pub control_planes: Vec<String>,
}

/// A node's long-lived secret, `whn_` and 64 hexadecimal digits. Has no `Debug` that shows it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApiKey(String);

impl ApiKey {
    /// A new key from the system's random source.
    pub fn generate() -> Self {
        let bytes: [u8; 32] = rand::random();
        Self(format!("whn_{}", hex::encode(bytes)))
    }

    pub fn new(key: String) -> Self {
        Self(key)
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it looks like one that [`ApiKey::generate`] makes.
    pub fn is_well_formed(&self) -> bool {
        let digits = self.0.strip_prefix("whn_").unwrap_or_default();
        digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }

    /// The key that signs envelopes: `sha256(api_key)`, computed by both sides and never sent (seed, "Auth flow").
    pub fn signing_key(&self) -> SigningKey {
        SigningKey(Sha256::digest(self.0.as_bytes()).into())
    }

    /// What the control plane keeps to recognise the key: a digest in another domain than the signing key's, so
    /// that a stolen table signs nothing (T4). The key has 256 random bits, so a slow hash would add nothing.
    pub fn login_digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"wisehosting node login v1\0");
        hash.update(self.0.as_bytes());
        hex::encode(hash.finalize())
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// HMAC-SHA256 key of a node's envelopes.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(pub [u8; 32]);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl std::fmt::Debug for NodeIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeIdentity")
            .field("node_id", &self.node_id)
            .field("name", &self.name)
            .field("mesh_address", &self.mesh_address)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_digest_is_not_the_signing_key() {
        let key = ApiKey::generate();
        assert_ne!(key.login_digest(), hex::encode(key.signing_key().0));
    }

    #[test]
    fn only_what_looks_like_a_key_is_one() {
        let key = ApiKey::generate();
        assert!(key.is_well_formed());
        for wrong in [&key.expose()[..67], &key.expose().to_uppercase(), &key.expose()[4..], "whn_"] {
            assert!(!ApiKey::new(wrong.to_owned()).is_well_formed(), "{wrong}");
        }
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let key = ApiKey::generate();
        assert!(!format!("{key:?}{:?}", key.signing_key()).contains(&key.expose()[4..12]));
    }
}
