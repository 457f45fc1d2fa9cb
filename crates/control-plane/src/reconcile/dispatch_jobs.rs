//! Queued jobs go to agents with room; the ones of the agents that are connected here are sent.

use daemon::reconcile::Reconciler;

use crate::app::AppState;
use crate::jobs::dispatch;

pub struct DispatchJobs(pub AppState);

impl Reconciler for DispatchJobs {
    fn name(&self) -> &'static str {
        "dispatch jobs"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        dispatch::claim_all(&self.0).await?;
        dispatch::to_connected(&self.0).await
    }
}
