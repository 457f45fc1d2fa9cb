//! Joining and signing in: the plain-HTTP part of the agents' conversation with the control plane.
//!
//! `POST /v1/nodes/enroll` (public listener, by join token) · `POST /v1/nodes/declare` (mesh listener, by mesh
//! address) · `POST /v1/nodes/leave` (mesh listener, by token) · `POST /v1/nodes/rotate` (mesh
//! listener, by token) · `POST /v1/workers/register` (mesh listener, API key → token) ·
//! `POST /v1/workers/refresh-token` (mesh listener, token → token) · `GET /v1/workers/ws`.

use std::net::{Ipv4Addr, SocketAddr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::identity::{AgentKind, ApiKey, NodeIdentity, Role};
use crate::labels::Labels;
use crate::spec::MeshPeer;

/// Body of `POST /v1/nodes/enroll`. The token travels in `Authorization: Bearer`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct EnrolRequest {
    /// Host name: 1 to 63 of `a-z`, `0-9` and `-`.
    pub name: String,
    /// The roles that the host was set up for. Each must be among those of the token.
    pub roles: Vec<Role>,
    /// WireGuard public key, base64. Its private half never leaves the host.
    pub public_key: String,
    /// Where other nodes reach this host's tunnel, if it knows: address and UDP port.
    #[cfg_attr(feature = "control-plane", schema(value_type = Option<String>))]
    pub endpoint: Option<SocketAddr>,
    /// Labels that it begins with. Left out when there are none, because a control plane of the version before refuses
    /// what it does not know.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// DNS suffix that it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// Answer to both ways of joining. The only time that the API key is shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Joined {
    pub identity: NodeIdentity,
    /// Length of the mesh prefix, for example 24.
    pub prefix: u8,
    pub peers: Vec<MeshPeer>,
}

/// Body of `POST /v1/nodes/declare`: a node that the control plane's configuration names asks for its identity.
/// It proves itself by its mesh address, which `WireGuard` ties to its key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclareRequest {
    pub public_key: String,
    pub mesh_address: Ipv4Addr,
    pub endpoint: Option<SocketAddr>,
}

/// Body of `POST /v1/nodes/leave`: the host stops being a node. The access token travels in `Authorization: Bearer`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaveRequest {
    /// Also when instances should still run on it.
    pub force: bool,
}

/// Answer to `leave`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Left {
    /// The control plane's configuration names the node, and would make it known again.
    pub declared: bool,
}

/// Body of `POST /v1/nodes/rotate`: the host has made another API key and has it on its disk. The access token travels
/// in `Authorization: Bearer`. Answered with 204; both keys are good until the new one is used.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// The one that the mesh agent's desired state asks for.
    pub rotation: Uuid,
    pub api_key: ApiKey,
}

/// Body of `POST /v1/workers/register`. The API key travels in `Authorization: Bearer`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    pub agent: AgentKind,
    /// The agent's version, for example `0.1.0`.
    pub version: String,
}

/// Answer to `register` and `refresh-token`.
#[derive(Clone, Serialize, Deserialize)]
pub struct AccessToken {
    /// JWT, to be sent as `Authorization: Bearer`.
    pub token: String,
    pub expires_at: DateTime<Utc>,
}

/// How long an access token is good for, in seconds (seed: 15 minutes).
pub const TOKEN_LIFETIME_S: i64 = 15 * 60;
/// How long before its end a token is exchanged for a new one, in seconds (seed: 2 minutes).
pub const REFRESH_BEFORE_S: i64 = 2 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    /// The form of the version before, which refuses fields that it does not know.
    #[test]
    fn a_host_without_labels_joins_in_the_former_form() {
        let former = r#"{"name":"w1","roles":["worker"],"public_key":"key","endpoint":null}"#;
        let request: EnrolRequest = serde_json::from_str(former).expect("read");
        assert!(request.labels.is_empty() && request.zone.is_none());
        assert_eq!(serde_json::to_string(&request).expect("written"), former);
        let labelled = EnrolRequest {
            labels: Labels::from([("disk".to_owned(), "nvme".to_owned())]),
            zone: Some("de.example.com".to_owned()),
            ..request
        };
        let text = serde_json::to_string(&labelled).expect("written");
        assert!(text.ends_with(r#""labels":{"disk":"nvme"},"zone":"de.example.com"}"#), "{text}");
    }
}
