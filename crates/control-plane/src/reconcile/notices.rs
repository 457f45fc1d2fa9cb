//! What is off is told, what is worse is told again, what is over is resolved.

use daemon::reconcile::Reconciler;
use sqlx::PgConnection;
use tracing::{info, warn};

use crate::app::AppState;
use crate::notices::{Step, Trouble, plan, store};
use crate::{certificates, healing, mesh, nodes};

pub struct Notices(pub AppState);

impl Reconciler for Notices {
    fn name(&self) -> &'static str {
        "notices"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let mut tx = self.0.db.begin().await?;
        let open = store::open(&mut tx).await?;
        let troubles = troubles(&mut tx).await?;
        for step in plan(&open, &troubles) {
            store::take(&mut tx, &step).await?;
            log(&step);
        }
        tx.commit().await?;
        Ok(())
    }
}

/// All that is off now; each feature adds its own.
async fn troubles(conn: &mut PgConnection) -> sqlx::Result<Vec<Trouble>> {
    let mut found = certificates::troubles::find(conn).await?;
    found.extend(nodes::health::troubles::find(conn).await?);
    found.extend(healing::troubles::find(conn).await?);
    found.extend(nodes::keys::troubles(conn).await?);
    found.extend(mesh::rotations::troubles(conn).await?);
    Ok(found)
}

fn log(step: &Step<'_>) {
    match step {
        Step::Raise(Trouble { kind, subject, text, .. })
        | Step::Tell(_, Trouble { kind, subject, text, .. }) => {
            warn!(notice.kind = kind, notice.subject = subject, "{text}");
        }
        Step::Resolve(id) => info!(notice.id = %id, "a notice is resolved"),
        Step::Reword(..) => {}
    }
}
