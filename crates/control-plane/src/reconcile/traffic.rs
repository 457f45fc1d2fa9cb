//! Counts of minutes become those of hours, and what is older than the configuration wants goes.

use chrono::Utc;
use daemon::reconcile::Reconciler;

use crate::app::AppState;
use crate::traffic::store::keep;

pub struct Traffic(pub AppState);

impl Reconciler for Traffic {
    fn name(&self) -> &'static str {
        "traffic"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        keep::roll_up(&self.0.db, Utc::now()).await?;
        keep::sweep(&self.0.db, &self.0.config.traffic).await?;
        Ok(())
    }
}
