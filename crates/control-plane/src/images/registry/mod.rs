//! Registries in which organizations keep their built images: what is there, in an explicit list, and what workers are to
//! push there and to remove from there. A push is never part of a deployment: it is tried until it is done, and what
//! stands in its way is shown.

pub mod rule;
pub mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use chrono::{TimeDelta, Utc};
use protocol::ids::NodeId;
use protocol::registry::{CopyAction, CopyReport};
use serde_json::json;
use sqlx::PgConnection;

use super::rule::World;
use crate::audit;
use crate::bus::{self, Topic};
use crate::generations::{self, Consumer};
use crate::nodes::store::Known;
use rule::Entry;

/// Brings the list in line with what is needed. The nodes whose orders are others now.
pub async fn carry_out(
    conn: &mut PgConnection,
    entries: &[Entry],
    world: &World,
    needed: &BTreeSet<&str>,
    grace: TimeDelta,
) -> sqlx::Result<BTreeSet<NodeId>> {
    let wanted = store::wanted(conn).await?;
    let mut changed = BTreeSet::new();
    for next in rule::plan(&wanted, entries, world, needed, grace, Utc::now()) {
        let before = entries.iter().find(|entry| entry.key == next.key);
        if before == Some(&next) {
            continue;
        }
        store::put(conn, &next).await?;
        let order = |entry: &Entry| (entry.action, entry.node);
        if before.map(order) != Some(order(&next)) {
            changed.extend(before.and_then(|entry| entry.node));
            changed.extend(next.node);
        }
    }
    Ok(changed)
}

/// What a worker says of its orders.
pub async fn take(conn: &mut PgConnection, node: &Known, reports: &[CopyReport]) -> sqlx::Result<()> {
    let mut over = false;
    for report in reports {
        if let Some(problem) = &report.problem {
            store::set_problem(conn, node.id, report, problem).await?;
            continue;
        }
        let (done, action) = match report.action {
            CopyAction::Push => (store::pushed(conn, node.id, report).await?, "image.push"),
            CopyAction::Remove => (store::removed(conn, node.id, report).await?, "image.unpush"),
        };
        let Some(organization) = done else { continue };
        over = true;
        let (actor, target) = (format!("node:{}", node.name), format!("image:{}", report.reference));
        let detail = json!({ "node": node.name, "image": report.image_id });
        audit::record_of(conn, organization, &actor, action, &target, detail).await?;
    }
    if over {
        generations::raise(conn, Consumer::Worker(node.id)).await?;
        bus::say(conn, Topic::Nodes, node.id).await?;
    }
    Ok(())
}
