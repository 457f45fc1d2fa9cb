//! Leases of workers, see [`protocol::lease`]: what they are told, and when nothing of an exclusive app runs any more.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::ids::{AppId, DeploymentId, NodeId};
use protocol::lease::{LeaseGrant, LeaseRequest, Watch};
use sqlx::PgConnection;

use super::store::lease::{self as store, Other};
use crate::app::App;
use crate::plan::rollout::Ending;

/// When this process saw which grants first. On a clock that only goes on.
#[derive(Debug)]
pub struct Leases {
    start: Mutex<Instant>,
    watch: Mutex<Watch>,
}

impl Default for Leases {
    fn default() -> Self {
        Self { start: Mutex::new(Instant::now()), watch: Mutex::default() }
    }
}

impl Leases {
    /// Takes note of the grants that a node has had, so that its time counts from now.
    pub fn note(&self, node: NodeId, serial: i64) {
        let start = *self.start.lock().unwrap_or_else(PoisonError::into_inner);
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).note(node, serial, start.elapsed());
    }

    fn left(&self, node: NodeId, serial: i64, ttl: Duration) -> Option<Duration> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let start = *self.start.lock().unwrap_or_else(PoisonError::into_inner);
        watch.left(node, serial, ttl, start.elapsed())
    }

    /// As if so much later.
    #[cfg(test)]
    pub(crate) fn pass_time(&self, time: Duration) {
        let mut start = self.start.lock().unwrap_or_else(PoisonError::into_inner);
        *start = start.checked_sub(time).expect("this host has been up for as long");
    }
}

/// The answer to a worker. It holds once the transaction is committed.
pub async fn grant(
    app: &App,
    conn: &mut PgConnection,
    node: NodeId,
    request: LeaseRequest,
) -> sqlx::Result<LeaseGrant> {
    let ttl = Duration::from_secs(app.config.node_health.lease_s.into());
    let instances = store::grant(conn, node, ttl).await?;
    metrics::counter!("wisehosting_leases_granted_total").increment(1);
    Ok(LeaseGrant { seq: request.seq, ttl_ms: u64::from(app.config.node_health.lease_s) * 1000, instances })
}

/// The app's instances apart from those of the deployment that may still run. One of a node that is gone has ended with
/// its lease, unless it was made before its app became exclusive: that one only its worker can end.
pub async fn endings(
    app: &App,
    conn: &mut PgConnection,
    of: AppId,
    deployment: DeploymentId,
) -> sqlx::Result<Vec<Ending>> {
    let mut endings = Vec::new();
    for other in store::others(conn, of, deployment).await? {
        let mut left = None;
        if !other.wanted && other.exclusive && other.node_gone {
            let (serial, granted) = store::settled(conn, other.on).await?;
            let configured = Duration::from_secs(app.config.node_health.lease_s.into());
            left = app.leases.left(other.on, serial, granted.max(configured));
            if left.is_none() {
                continue;
            }
        }
        endings.push(ending(other, left));
    }
    Ok(endings)
}

fn ending(other: Other, lease_left: Option<Duration>) -> Ending {
    Ending { id: other.id, node: other.node, wanted: other.wanted, lease_left }
}
