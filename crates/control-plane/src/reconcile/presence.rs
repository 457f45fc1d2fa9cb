//! This replica says which agents it holds, so that their nodes are online and their jobs not lost.

use daemon::reconcile::Reconciler;
use tokio_util::sync::CancellationToken;

use crate::app::AppState;
use crate::hub::Key;
use crate::{jobs, nodes};

pub struct Presence(pub AppState);

impl Reconciler for Presence {
    fn name(&self) -> &'static str {
        "presence"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let app = &self.0;
        let held: Vec<_> = app.hub.connected().into_iter().map(|key| (key.node, key.kind)).collect();
        let mut tx = app.db.begin().await?;
        let lost = nodes::store::health::hold(&mut tx, app.replica, &held).await?;
        jobs::store::renew_all(&mut tx, app.replica).await?;
        tx.commit().await?;
        for (node, kind) in lost {
            app.hub.close(Key { node, kind });
        }
        Ok(())
    }
}

/// When the process stops, its agents go elsewhere at once.
pub async fn end(app: AppState, stop: CancellationToken) -> anyhow::Result<()> {
    stop.cancelled().await;
    app.hub.close_all();
    let mut conn = app.db.acquire().await?;
    nodes::store::health::let_go(&mut conn, app.replica).await?;
    Ok(())
}
