//! The addresses of the mesh. A larger pool in the configuration reaches all nodes by itself.

use anyhow::Context;
use tracing::{info, warn};

use super::store;
use crate::app::AppState;
use crate::generations::{self, Consumer};

/// Tells all nodes of a pool that the configuration has changed.
pub async fn settle(app: &AppState) -> anyhow::Result<()> {
    let cidr = app.config.mesh.cidr;
    let mut tx = app.db.begin().await?;
    let changed = store::set_pool(&mut tx, cidr).await.context("cannot note the addresses of the mesh")?;
    if changed {
        generations::raise(&mut tx, Consumer::Mesh).await?;
        info!(%cidr, "the mesh has other addresses than before");
    }
    for node in store::outside(&mut tx, cidr).await? {
        let remedy = "set a `mesh.cidr` that contains it, or remove the node and join it again";
        warn!(node.name = node, %cidr, remedy, "the address of a node is not in `mesh.cidr`: others do not reach it");
    }
    tx.commit().await?;
    Ok(())
}
