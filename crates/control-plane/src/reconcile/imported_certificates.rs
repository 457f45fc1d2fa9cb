//! Which host names have an imported certificate: changes when one ends, and when an app gets a name.

use daemon::reconcile::Reconciler;

use crate::app::AppState;
use crate::certificates::imports::store;

pub struct ImportedCertificates(pub AppState);

impl Reconciler for ImportedCertificates {
    fn name(&self) -> &'static str {
        "imported certificates"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let mut tx = self.0.db.begin().await?;
        store::settle(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }
}
