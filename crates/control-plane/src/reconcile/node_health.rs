//! Nodes that nobody hears from are asked whether they are there.

use std::pin::pin;

use daemon::reconcile::Reconciler;
use futures_util::{StreamExt, stream};
use tracing::warn;

use crate::app::{App, AppState};
use crate::nodes::health::{checked, probe};
use crate::nodes::store::checks::{self, Due};
use crate::nodes::store::health;

/// Nodes asked at the same time, and in one pass: with nobody there a pass takes as long as its checks wait, one after
/// the other.
const AT_ONCE: usize = 16;
const IN_A_PASS: i64 = 128;

pub struct NodeHealth(pub AppState);

impl Reconciler for NodeHealth {
    fn name(&self) -> &'static str {
        "node health"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let app = &*self.0;
        let mut tx = app.db.begin().await?;
        health::refresh_all(&mut tx, &app.config.node_health).await?;
        tx.commit().await?;
        let due = checks::due(&mut *app.db.acquire().await?, IN_A_PASS).await?;
        let mut results = pin!(stream::iter(due).map(|due| check(app, due)).buffer_unordered(AT_ONCE));
        while let Some(result) = results.next().await {
            if let Err(error) = result {
                warn!(error = format!("{error:#}"), "a check of a node is made again");
            }
        }
        Ok(())
    }
}

async fn check(app: &App, due: Due) -> anyhow::Result<()> {
    let config = &app.config.node_health;
    let found = probe::ask(app, due.mesh_address, &due.roles, due.ports).await?;
    let mut tx = app.db.begin().await?;
    let Some(node) = checks::lock(&mut tx, config, due.id).await? else { return Ok(()) };
    // Whoever asked it meanwhile has counted that.
    if node.checked_at == due.checked_at {
        checked(&mut tx, config, &node, &found).await?;
        tx.commit().await?;
    }
    Ok(())
}
