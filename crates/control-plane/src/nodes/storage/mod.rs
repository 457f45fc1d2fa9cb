//! What lies on a worker besides its instances, and clean-ups that people ask for.

pub mod api;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use protocol::numbers::Space;
use protocol::question::{CleanableImage, LeftImage};
use protocol::storage::{OtherContainer, Volume};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::images::NodeImages;

/// What a worker holds, as it told last.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NodeStorage {
    /// Null before it told.
    pub reported_at: Option<DateTime<Utc>>,
    /// Containers that are not managed; up to 200.
    pub containers: Vec<OtherContainer>,
    pub container_count: u32,
    /// The largest first; up to 500.
    pub volumes: Vec<Volume>,
    pub volume_count: u32,
    /// When sizes were measured: every ten minutes.
    pub measured_at: Option<DateTime<Utc>>,
    /// The disk of Podman's storage.
    pub disk: Option<Space>,
    pub images: Option<NodeImages>,
}

/// What a clean-up would remove.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CleanupPreview {
    /// The largest first; up to 500. Volumes and images that an app keeps are never among them.
    pub images: Vec<CleanableImage>,
    /// What all of it frees.
    pub frees_bytes: u64,
}

/// A clean-up that somebody asked for.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Cleanup {
    pub id: Uuid,
    pub started_by: String,
    pub at: DateTime<Utc>,
    pub state: CleanupState,
    pub finished_at: Option<DateTime<Utc>>,
    /// How many images were to go.
    pub images: u32,
    pub removed: Vec<CleanableImage>,
    pub freed_bytes: u64,
    /// What stayed after all.
    pub left: Vec<LeftImage>,
    /// Why nothing was done.
    pub problem: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CleanupState {
    Running,
    Done,
    Failed,
    /// Its worker has not said for ten minutes what became of it.
    Unanswered,
}
