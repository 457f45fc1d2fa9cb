//! Images: which are kept, where their copies are, and which go. What workers hold is compared with what releases,
//! instances and deployments need; the difference is an explicit list in each worker's desired state.

pub mod registry;
pub mod rule;
pub mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use protocol::ids::AppId;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

/// What a node's images take.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NodeImages {
    /// Images on the node, whoever made them.
    pub count: i64,
    /// Bytes of all of them, layers that several share counted once.
    pub size_bytes: i64,
    /// Of what no kept release needs, and of cache beyond its limit: about to be removed.
    pub reclaimable_bytes: i64,
    /// What builds left for later builds.
    pub cache_bytes: i64,
    /// Images that the node has yet to fetch, so that there is a copy of each.
    pub copies_waiting: i64,
    /// What could not be fetched or removed yet, and why.
    pub problems: Vec<String>,
}

/// Images of the app's releases that are kept and can be had, so that a release of them can serve without a build.
pub async fn kept_of(conn: &mut PgConnection, app: AppId, keep: u8) -> sqlx::Result<BTreeSet<String>> {
    let images = store::of_releases(conn, Some(app)).await?;
    let kept = rule::kept(&images, usize::from(keep));
    let there = images.iter().filter(|image| image.available && kept.contains(image.image.as_str()));
    Ok(there.map(|image| image.image.clone()).collect())
}
