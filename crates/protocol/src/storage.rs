//! What lies on a worker besides the instances: containers of others, and volumes.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::numbers::Space;

/// Containers in one [`StorageReport`].
pub const MAX_CONTAINERS: usize = 200;
/// Volumes in one [`StorageReport`].
pub const MAX_VOLUMES: usize = 500;
/// Characters of a name in one [`StorageReport`]; longer ones are cut.
pub const MAX_NAME: usize = 200;

/// What a worker's Podman holds that is not ours, each time whole: on connect, when it is another one, and every ten
/// minutes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StorageReport {
    /// Containers without a label of ours, at most [`MAX_CONTAINERS`].
    pub containers: Vec<OtherContainer>,
    /// How many there are.
    pub container_count: u32,
    /// At most [`MAX_VOLUMES`], the largest first.
    pub volumes: Vec<Volume>,
    pub volume_count: u32,
    /// The disk that Podman's storage is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Space>,
    /// When sizes were measured last: that is not done each time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured_at: Option<DateTime<Utc>>,
}

/// A container that somebody else made. Nothing of its environment and its command is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct OtherContainer {
    pub id: String,
    pub name: String,
    pub image: String,
    /// In Podman's words: `running`, `exited` …
    pub state: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Bytes that it wrote over its image. Null before that is measured.
    pub size_bytes: Option<u64>,
}

/// A volume of Podman's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct Volume {
    pub name: String,
    pub size_bytes: u64,
    /// Containers that use it.
    pub containers: u32,
}
