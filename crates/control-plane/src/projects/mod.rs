//! Projects: what belongs together, with one or more environments.

pub mod api;
pub mod store;
#[cfg(test)]
mod tests;

use protocol::ids::ProjectId;
use serde::Serialize;

use crate::http::{Code, Error, Result};
use crate::tombstones::KEPT_DAYS;

/// One project.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Project {
    pub id: ProjectId,
    /// Part of its apps' private names, and the same for as long as it exists.
    pub slug: String,
    pub name: String,
    /// Apps in it, deleted ones left out.
    pub apps: i64,
    /// Deleted apps of it that can still come back.
    pub deleted_apps: i64,
}

/// What is said of a slug that is no project's.
pub fn absent(slug: &str) -> Error {
    Error::not_found(format_args!("project {slug}"))
        .field("project")
        .hint("`wh project ls` lists the projects, and `wh project create SLUG` makes one")
}

/// A project can be removed once nothing of it is left that runs or can come back.
fn check_empty(project: &Project) -> Result<()> {
    let Project { slug, apps, deleted_apps, .. } = project;
    let (left, remedy) = match (apps, deleted_apps) {
        (0, 0) => return Ok(()),
        (0, deleted) => (
            counted(*deleted, "deleted app"),
            format!(
                "A deleted app is gone for good after {KEPT_DAYS} days: `wh apps ls --deleted` tells when. Until then `wh apps undelete APP` brings it back"
            ),
        ),
        (apps, _) => (
            counted(*apps, "app"),
            format!(
                "Delete them first: `wh apps ls --project {slug}` lists them, `wh apps rm APP` deletes one; a deleted app counts until it is gone for good, after {KEPT_DAYS} days"
            ),
        ),
    };
    Err(in_use(format!("project {slug} has {left}")).hint(remedy))
}

/// Something is in the way of a removal.
fn in_use(message: String) -> Error {
    Error::new(Code::ProjectInUse, message).field("project")
}

fn counted(count: i64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
