//! What an operator watches, counted from the tables: nodes, agents, tunnels, instances, deployments, certificates.
//! Every replica says the same of the tables, and its own of its pool.

pub mod store;
#[cfg(test)]
mod tests;

use daemon::reconcile::Reconciler;
use metrics::gauge;
use protocol::ids::NodeId;
use protocol::numbers::Space;
use sqlx::PgPool;

use crate::app::{App, AppState};
use crate::notices;

/// Sets the gauges. One that is no longer set goes from `/metrics` by itself: `daemon::status`.
pub struct Census(pub AppState);

impl Reconciler for Census {
    fn name(&self) -> &'static str {
        "census"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let app = &self.0;
        pool(&app.db);
        app.hub.gauges();
        let mut conn = app.db.acquire().await?;
        let mut names = Vec::new();
        for node in store::nodes(&mut conn).await? {
            names.push((node.id, node.name.clone()));
            gauge!("wisehosting_node_online", "node" => node.name.clone()).set(flag(node.online));
            gauge!("wisehosting_node_check_failures", "node" => node.name.clone()).set(node.failures);
            if let Some(offset) = node.clock_offset_s {
                gauge!("wisehosting_node_clock_offset_seconds", "node" => node.name.clone()).set(offset);
            }
            if let Some(peers) = node.peers {
                gauge!("wisehosting_mesh_peers", "node" => node.name.clone()).set(count(peers));
                gauge!("wisehosting_mesh_peers_silent", "node" => node.name.clone()).set(count(node.silent));
                gauge!("wisehosting_mesh_peers_relayed", "node" => node.name).set(count(node.relayed));
            }
        }
        hosts(app, &names);
        for agent in store::agents(&mut conn).await? {
            gauge!("wisehosting_agent_connected", "node" => agent.node, "agent" => agent.kind.as_str())
                .set(flag(agent.connected));
        }
        for (state, number) in store::instances(&mut conn).await? {
            gauge!("wisehosting_instances", "state" => state).set(count(number));
        }
        for (outcome, number) in store::finished_deployments(&mut conn).await? {
            gauge!("wisehosting_deployments_last_hour", "outcome" => outcome).set(count(number));
        }
        for (kind, severity, number) in notices::store::counts(&mut conn).await? {
            gauge!("wisehosting_notices", "kind" => kind, "severity" => severity).set(count(number));
        }
        for certificate in store::certificates(&mut conn).await? {
            let host = certificate.host;
            gauge!("wisehosting_certificate_failures", "host" => host.clone())
                .set(f64::from(certificate.failures));
            if let Some(end) = certificate.ends_at {
                gauge!("wisehosting_certificate_not_after_seconds", "host" => host).set(end);
            }
        }
        Ok(())
    }
}

/// How the hosts are doing that tell this replica.
#[expect(clippy::cast_precision_loss, reason = "a ratio has three digits of meaning")]
fn hosts(app: &App, names: &[(NodeId, String)]) {
    let ratio = |space: Space| space.used_bytes as f64 / space.total_bytes.max(1) as f64;
    for (id, node) in names {
        let Some(now) = app.numbers.of(*id) else { continue };
        gauge!("wisehosting_node_cpu_ratio", "node" => node.clone()).set(f64::from(now.cpu_percent) / 100.0);
        gauge!("wisehosting_node_memory_ratio", "node" => node.clone()).set(ratio(now.memory));
        gauge!("wisehosting_node_load", "node" => node.clone()).set(f64::from(now.load));
        for (disk, space) in [("root", Some(now.root)), ("containers", now.containers)] {
            if let Some(space) = space {
                gauge!("wisehosting_node_disk_ratio", "node" => node.clone(), "disk" => disk)
                    .set(ratio(space));
            }
        }
    }
}

fn pool(db: &PgPool) {
    let (open, idle) = (db.size(), u32::try_from(db.num_idle()).unwrap_or(u32::MAX));
    gauge!("wisehosting_database_connections", "state" => "idle").set(idle);
    gauge!("wisehosting_database_connections", "state" => "used").set(open.saturating_sub(idle));
    gauge!("wisehosting_database_connections_max").set(db.options().get_max_connections());
}

fn flag(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

#[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 nodes")]
fn count(number: i64) -> f64 {
    number as f64
}
