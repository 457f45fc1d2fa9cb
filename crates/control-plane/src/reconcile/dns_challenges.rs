//! DNS records of orders that have ended are removed, also after a crash: their rows say what was set.

use daemon::reconcile::Reconciler;

use crate::app::AppState;
use crate::dns_providers::challenge;

pub struct DnsChallenges(pub AppState);

impl Reconciler for DnsChallenges {
    fn name(&self) -> &'static str {
        "dns challenges"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        challenge::sweep(&self.0).await
    }
}
