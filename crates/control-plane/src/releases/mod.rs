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

use crate::deployments::Kind;

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
    /// How it came to be.
    pub origin: Option<Origin>,
    /// Whether it serves.
    pub current: bool,
    /// Number of the release from which a rollback led back to it, while it serves because of that.
    pub rolled_back_from: Option<i32>,
    /// Whether its image is kept, so that it can serve again without a build.
    pub kept: bool,
}

/// The deployment that made a release.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = ReleaseOrigin)]
pub struct Origin {
    pub number: i32,
    pub kind: Kind,
    /// Who asked for it.
    pub created_by: String,
    pub message: String,
    /// Number of the release that served at that time: whose image it has, for one of new settings.
    pub from_release: Option<i32>,
    /// Milliseconds that it took; null while it is under way.
    pub duration_ms: Option<i64>,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Image {
    pub id: String,
    pub reference: String,
    pub size_bytes: i64,
}
