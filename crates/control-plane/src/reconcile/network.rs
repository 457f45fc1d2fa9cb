//! Tells the workers of changes in the private network. Each in a transaction of its own: whoever makes such changes
//! holds the generations of other consumers, in whatever order.

use daemon::reconcile::Reconciler;

use crate::app::AppState;
use crate::generations::{self, Consumer};
use crate::network::store;

pub struct Network(pub AppState);

impl Reconciler for Network {
    fn name(&self) -> &'static str {
        "network"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let mut conn = self.0.db.acquire().await?;
        let (changes, nodes) = store::pending(&mut conn).await?;
        for node in nodes {
            generations::raise(&mut conn, Consumer::Worker(node)).await?;
        }
        if !changes.is_empty() {
            store::told(&mut conn, &changes).await?;
        }
        Ok(())
    }
}
