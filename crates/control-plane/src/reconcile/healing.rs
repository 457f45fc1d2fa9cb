//! Nodes that are gone: the proxies are no longer led to them, and what they ran is to be elsewhere once their time is
//! over. The moves are carried out by [`super::moves`].

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use daemon::reconcile::Reconciler;
use protocol::report::MeshReport;
use serde_json::json;
use sqlx::PgConnection;
use tracing::{info, warn};

use crate::app::AppState;
use crate::bus::{self, Topic};
use crate::generations::{self, Consumer};
use crate::healing::store::{self, Missing};
use crate::healing::{Company, Reach, grace, is_lost, reach, replicas};
use crate::placement::moves::Cause;
use crate::placement::store::moves;
use crate::{audit, mesh};

/// Between two passes.
const REST: Duration = Duration::from_millis(500);

pub struct Healing {
    app: AppState,
    start: Instant,
    company: Company,
}

impl Healing {
    pub fn new(app: AppState) -> Self {
        Self { app, start: Instant::now(), company: Company::default() }
    }

    /// As if it had been there for so long.
    #[cfg(test)]
    pub(crate) fn since(app: AppState, age: Duration) -> Self {
        let company = Company::default();
        let start = Instant::now().checked_sub(age).expect("this host has been up for as long");
        let mut healing = Self { app, start, company };
        healing.company.since(true, Duration::ZERO);
        healing
    }
}

impl Reconciler for Healing {
    fn name(&self) -> &'static str {
        "healing"
    }

    /// It looks at every app, and what it acts on takes seconds.
    fn rest(&self) -> Duration {
        REST
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let mut tx = self.app.db.begin().await?;
        let company = self.company.since(store::somebody(&mut tx).await?, self.start.elapsed());
        let config = &self.app.config.node_health;
        let missing = store::missing(&mut tx, None, config.flapping_h).await?;
        let said = if missing.is_empty() { Vec::new() } else { store::witnesses(&mut tx).await? };
        for (node, serial) in store::lease::of_missing(&mut tx).await? {
            self.app.leases.note(node, serial);
        }
        store::lease::forget(&mut tx).await?;
        let mut changed = false;
        for node in &missing {
            let reach = seen(node, &said);
            changed |= lead(&mut tx, node, reach).await?;
            let base = Duration::from_secs(config.grace_s.into());
            give_up(&mut tx, node, reach, base, node.missing.min(company)).await?;
        }
        if changed {
            generations::raise(&mut tx, Consumer::Routes).await?;
        }
        replicas::fill(&mut tx).await?;
        let back = store::call_off(&mut tx).await?;
        if !back.is_empty() {
            info!(nodes = back.join(", "), "nodes are back before their instances were elsewhere");
            bus::say(&mut tx, Topic::Nodes, "").await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

/// Whether the proxies reach the node.
pub(crate) fn seen(node: &Missing, said: &[(DateTime<Utc>, MeshReport)]) -> Reach {
    let of_node = said.iter().flat_map(|(at, report)| {
        let peers = report.peers.iter().filter(|peer| peer.public_key == node.public_key);
        peers.map(move |peer| (mesh::state_of_link(peer), node.since.is_some_and(|since| *at > since)))
    });
    reach(of_node)
}

/// Whether the routes are others by it.
async fn lead(conn: &mut PgConnection, node: &Missing, reach: Reach) -> sqlx::Result<bool> {
    let unreached = match (node.since, reach) {
        (None, _) | (_, Reach::Reached) => false,
        (_, Reach::Unreached) => true,
        (_, Reach::Unknown) => node.unreached,
    };
    let changed = store::set_unreached(conn, node.id, unreached).await?;
    if changed {
        let so = if unreached { "no proxy reaches the node" } else { "the node is reached again" };
        info!(node.id = %node.id, node.name = node.name, "{so}");
    }
    Ok(changed)
}

/// Wants the instances that waited long enough elsewhere.
async fn give_up(
    conn: &mut PgConnection,
    node: &Missing,
    reach: Reach,
    base: Duration,
    missing: Duration,
) -> sqlx::Result<()> {
    // None is shorter: a glance at the clock for most passes.
    let Some(since) = node.since.filter(|_| is_lost(node.status, reach, missing, Duration::ZERO)) else {
        return Ok(());
    };
    let reason = format!("{} is gone since {}", node.name, since.format("%Y-%m-%d %H:%M UTC"));
    let mut wanted = 0;
    for instance in store::stranded(conn, node.id).await? {
        let grace = grace(instance.grace.unwrap_or(base), node.before);
        if is_lost(node.status, reach, missing, grace) {
            let (cause, asked_by) = (Cause::Lost, "system");
            let new = moves::New { instance: instance.id, to: None, cause, reason: &reason, asked_by };
            wanted += i32::from(moves::insert(conn, &new).await?);
        }
    }
    if wanted > 0 {
        warn!(node.id = %node.id, node.name = node.name, instances = wanted, "{reason}: its instances are placed elsewhere");
        let target = format!("node:{}", node.name);
        let detail = json!({ "since": since, "instances": wanted, "gone_before": node.before });
        audit::record_system(conn, "system", "node.give-up", &target, detail).await?;
        bus::say(conn, Topic::Nodes, node.id).await?;
    }
    Ok(())
}
