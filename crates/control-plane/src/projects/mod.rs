//! Projects: what belongs together, with one or more environments.

pub mod api;
pub mod store;
#[cfg(test)]
mod tests;

use protocol::ids::ProjectId;
use serde::Serialize;

/// One project.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Project {
    pub id: ProjectId,
    pub slug: String,
    pub name: String,
}
