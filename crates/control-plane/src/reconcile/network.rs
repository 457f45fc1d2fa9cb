//! Tells the workers of changes in the private network, of all that have come together in a moment at once.

use std::time::Duration;

use daemon::reconcile::Reconciler;

use crate::app::AppState;
use crate::generations;
use crate::network::store;

/// A roll-out turns one instance after the other, and a host that comes back many: a change that is alone is told at once,
/// those after it together.
const REST: Duration = Duration::from_millis(200);

pub struct Network(pub AppState);

impl Reconciler for Network {
    fn name(&self) -> &'static str {
        "network"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let mut conn = self.0.db.acquire().await?;
        let (changes, nodes) = store::pending(&mut conn).await?;
        generations::raise_network(&mut conn, &nodes).await?;
        if !changes.is_empty() {
            store::told(&mut conn, &changes).await?;
        }
        Ok(())
    }

    fn rest(&self) -> Duration {
        REST
    }
}
