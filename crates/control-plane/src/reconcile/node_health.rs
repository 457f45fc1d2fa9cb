//! Nodes whose agents are all gone are offline.

use daemon::reconcile::Reconciler;

use crate::app::AppState;
use crate::nodes;

pub struct NodeHealth(pub AppState);

impl Reconciler for NodeHealth {
    fn name(&self) -> &'static str {
        "node health"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let mut tx = self.0.db.begin().await?;
        nodes::store::health::refresh_all(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }
}
