//! Releases: immutable images with the settings and variables that they run with, numbered per app.

pub mod api;
pub mod compare;
pub mod pending;
pub mod store;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use protocol::ids::{DeploymentId, ReleaseId};
use protocol::job::Source;
use serde::Serialize;

/// One release.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Release {
    pub id: ReleaseId,
    pub number: i32,
    pub image: Image,
    pub source: Option<Source>,
    /// Commit that was built, for git sources.
    pub commit: Option<String>,
    pub created_at: DateTime<Utc>,
    /// The deployment that made it.
    pub deployment_id: Option<DeploymentId>,
    /// Whether it serves.
    pub current: bool,
    /// Whether its image is kept, so that it can serve again without a build.
    pub kept: bool,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Image {
    pub id: String,
    pub reference: String,
    pub size_bytes: i64,
}
