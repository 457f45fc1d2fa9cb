//! Jobs whose agent was gone for the whole lease have failed, and say so. They are not tried again.
//!
//! A lease also runs out while Postgres or all control planes are away, and then says nothing about the agent. So a
//! replica looks on for a while, in which agents come back, before it gives up anything.

use std::time::Duration;

use daemon::reconcile::Reconciler;
use protocol::job::{Failure, Stage};
use sqlx::PgConnection;
use tokio::time::Instant;
use tracing::warn;

use crate::app::AppState;
use crate::bus::{self, Topic};
use crate::deployments::store::progress;
use crate::jobs::LEASE_S;
use crate::jobs::store::{self, Lost};
use crate::{certificates, generations};

/// Longer than agents take to come back and to have their leases renewed.
const LOOK_ON: Duration = Duration::from_mins(1);
/// Passes further apart than this have missed something in between.
const GAP: Duration = Duration::from_secs(45);

pub struct Jobs {
    app: AppState,
    watch: Watch,
}

impl Jobs {
    pub fn new(app: AppState) -> Self {
        Self { app, watch: Watch::default() }
    }
}

impl Reconciler for Jobs {
    fn name(&self) -> &'static str {
        "jobs"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let mut tx = self.app.db.begin().await?;
        if self.watch.lasts(Instant::now()) >= LOOK_ON {
            for lost in store::lock_lost(&mut tx).await? {
                give_up(&mut tx, &lost).await?;
            }
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

/// For how long the tables have been looked at without a gap.
#[derive(Default)]
struct Watch(Option<(Instant, Instant)>);

impl Watch {
    /// They are looked at now.
    fn lasts(&mut self, now: Instant) -> Duration {
        let since = match self.0 {
            Some((since, last)) if now - last <= GAP => since,
            _ => now,
        };
        self.0 = Some((since, now));
        now - since
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
        certificates::inbox::failed(conn, lost.id, host, &failure, None).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_given_up_just_after_an_outage() {
        let (start, mut watch) = (Instant::now(), Watch::default());
        let mut after = |seconds| watch.lasts(start + Duration::from_secs(seconds)) >= LOOK_ON;
        assert!(![0, 15, 30, 45].into_iter().any(&mut after), "just started");
        assert!(after(60) && after(75));
        assert!(
            ![1000, 1015, 1030, 1045].into_iter().any(&mut after),
            "nobody looked for a quarter of an hour"
        );
        assert!(after(1060));
    }
}
