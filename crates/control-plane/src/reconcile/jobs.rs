//! Jobs whose agent was gone for the whole lease have failed, and say so. They are not tried again.

use daemon::reconcile::Reconciler;
use protocol::job::{Failure, Stage};
use sqlx::PgConnection;
use tracing::warn;

use crate::app::AppState;
use crate::bus::{self, Topic};
use crate::deployments::store::progress;
use crate::jobs::LEASE_S;
use crate::jobs::store::{self, Lost};
use crate::{certificates, generations};

pub struct Jobs(pub AppState);

impl Reconciler for Jobs {
    fn name(&self) -> &'static str {
        "jobs"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let mut tx = self.0.db.begin().await?;
        for lost in store::lock_lost(&mut tx).await? {
            give_up(&mut tx, &lost).await?;
        }
        let counts = store::count(&mut tx).await?;
        tx.commit().await?;
        for (kind, state, count) in counts {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            metrics::gauge!("wisehosting_jobs", "kind" => kind, "state" => state).set(count);
        }
        Ok(())
    }
}

async fn give_up(conn: &mut PgConnection, lost: &Lost) -> anyhow::Result<()> {
    let node = lost.node_name.as_deref().unwrap_or("a node that was removed");
    warn!(job.id = %lost.id, node.name = node, "a job is lost: its agent did not come back");
    let failure = failure(node);
    store::finish(conn, lost.id, "failed", Some(&failure.message)).await?;
    if let Some(deployment) = lost.deployment_id {
        progress::fail(conn, deployment, &failure).await?;
    }
    if let Some(host) = &lost.host {
        certificates::inbox::failed(conn, host, &failure.message).await?;
        if certificates::store::forget_challenges(conn, lost.id).await? {
            generations::raise(conn, generations::Consumer::Routes).await?;
        }
        bus::say(conn, Topic::Certificates, host).await?;
    }
    Ok(())
}

fn failure(node: &str) -> Failure {
    Failure {
        code: "worker_lost".to_owned(),
        message: format!("{node} was not heard of for {} minutes while it worked on this.", LEASE_S / 60.0),
        hint: Some(format!("Look at `wh node show {node}` and at the host itself, then deploy again.")),
        stage: Stage::Build,
        exit_code: None,
        out_of_memory: false,
        last_lines: Vec::new(),
        probe: None,
    }
}
