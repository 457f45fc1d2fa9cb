//! A worker's report, taken in.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use protocol::ids::{AppId, InstanceId, NodeId};
use protocol::job::{CRASH_LOOPING, Failure};
use protocol::report::{InstanceReport, InstanceState, OverDisk};
use serde_json::json;
use sqlx::PgConnection;
use tracing::{info, warn};

use super::store::{self, Seen};
use crate::audit;
use crate::bus::{self, Topic};
use crate::generations::{self, Consumer};
use crate::network;

/// Stores what the worker sees. It names every instance each time, so one that it leaves out is not there.
pub async fn take(conn: &mut PgConnection, node: NodeId, reports: &[InstanceReport]) -> sqlx::Result<()> {
    let known = store::lock_on_node(conn, node).await?;
    let known: HashMap<InstanceId, &Seen> = known.iter().map(|seen| (seen.id, seen)).collect();
    let mut changes = Changes::default();
    let mut told: BTreeMap<InstanceId, &InstanceReport> = BTreeMap::new();
    for report in reports {
        if known.contains_key(&report.id) {
            told.insert(report.id, report);
        } else {
            info!(node.id = %node, instance.id = %report.id, "the worker reports an instance that nobody wants: it stops it by its spec");
        }
    }
    let news = store::observe(conn, &told.values().copied().collect::<Vec<_>>()).await?;
    for (id, report) in told.into_iter().filter(|(id, _)| news.contains(id)) {
        let seen = known[&id];
        changes.note(seen, report.state);
        if let Some(failure) = given_up(seen, report) {
            record(conn, node, report, failure).await?;
        }
        if let Some(over) = report.over_disk.filter(|_| !seen.over_disk) {
            record_disk(conn, node, id, over).await?;
        }
    }
    // Before its newest spec is in force, the worker may not have begun with an instance or still be stopping it.
    if store::worker_is_up_to_date(conn, node).await? {
        let reported: HashSet<InstanceId> = reports.iter().map(|report| report.id).collect();
        for seen in known.values().filter(|seen| !reported.contains(&seen.id)) {
            if seen.wanted {
                if seen.state != InstanceState::Pending {
                    store::lose(conn, seen.id).await?;
                    changes.note(seen, InstanceState::Pending);
                }
            } else {
                store::delete(conn, seen.id).await?;
                changes.apps.insert(seen.app_id);
            }
        }
    }
    changes.say(conn).await
}

/// Why the crash guard stopped an instance, if the report is the first to say so.
fn given_up<'a>(before: &Seen, report: &'a InstanceReport) -> Option<&'a Failure> {
    let news = report.state == InstanceState::Failed && before.state != InstanceState::Failed;
    report.failure.as_ref().filter(|failure| news && failure.code == CRASH_LOOPING)
}

async fn record(
    conn: &mut PgConnection,
    node: NodeId,
    report: &InstanceReport,
    failure: &Failure,
) -> sqlx::Result<()> {
    let Some(of) = store::origin(conn, report.id).await? else { return Ok(()) };
    warn!(app.id = %of.app_id, instance.id = %report.id, node.id = %node, "the crash guard stopped an instance");
    let detail = json!({
        "instance": report.id,
        "release": of.release,
        "restarts": report.restarts,
        "exit_code": failure.exit_code,
        "out_of_memory": failure.out_of_memory,
        "message": failure.message,
    });
    let actor = format!("node:{}", of.node);
    let target = format!("app:{}", of.app);
    audit::record_of(conn, of.organization_id, &actor, "app.crash-loop", &target, detail).await
}

async fn record_disk(
    conn: &mut PgConnection,
    node: NodeId,
    instance: InstanceId,
    over: OverDisk,
) -> sqlx::Result<()> {
    let Some(of) = store::origin(conn, instance).await? else { return Ok(()) };
    warn!(app.id = %of.app_id, instance.id = %instance, node.id = %node, "an instance has written more to its disk than it may");
    let detail = json!({
        "instance": instance,
        "release": of.release,
        "used_mb": over.used_bytes >> 20,
        "limit_mb": over.limit_mb,
    });
    let actor = format!("node:{}", of.node);
    audit::record_of(conn, of.organization_id, &actor, "app.disk-over", &format!("app:{}", of.app), detail)
        .await
}

#[derive(Debug, Default)]
struct Changes {
    apps: BTreeSet<AppId>,
    /// Instances that serve, and did not, or the other way round.
    turned: Vec<InstanceId>,
}

impl Changes {
    fn note(&mut self, before: &Seen, now: InstanceState) {
        self.apps.insert(before.app_id);
        let serves = |state| state == InstanceState::Healthy;
        if before.in_rotation && serves(before.state) != serves(now) {
            self.turned.push(before.id);
        }
    }

    async fn say(self, conn: &mut PgConnection) -> sqlx::Result<()> {
        if !self.turned.is_empty() {
            generations::raise(conn, Consumer::Routes).await?;
            network::store::instances_changed(conn, &self.turned).await?;
        }
        for app in self.apps {
            bus::say(conn, Topic::Instances, app).await?;
        }
        Ok(())
    }
}
