//! Minutes of hosts go into the tables, those of all that tell this replica at once.

use chrono::Utc;
use daemon::reconcile::Reconciler;

use crate::app::AppState;
use crate::nodes::store::numbers;

/// Stores the minutes that are over. Every replica, for its own connections.
pub struct NodeMinutes(pub AppState);

impl Reconciler for NodeMinutes {
    fn name(&self) -> &'static str {
        "node minutes"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let minutes = self.0.numbers.closed(Utc::now());
        if minutes.is_empty() {
            return Ok(());
        }
        let stored = async {
            let mut conn = self.0.db.acquire().await?;
            numbers::insert(&mut conn, &minutes).await
        };
        if let Err(error) = stored.await {
            self.0.numbers.give_back(minutes);
            return Err(error.into());
        }
        Ok(())
    }
}

/// Minutes become hours, and what is older than the configuration wants goes. One replica for all.
pub struct NodeHours(pub AppState);

impl Reconciler for NodeHours {
    fn name(&self) -> &'static str {
        "node hours"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        numbers::roll_up(&self.0.db, Utc::now()).await?;
        numbers::sweep(&self.0.db, &self.0.config.node_numbers).await?;
        Ok(())
    }
}
