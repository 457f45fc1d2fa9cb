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
    /// Of the grants that hold for longer than this process says.
    longer: Mutex<Watch>,
}

impl Default for Leases {
    fn default() -> Self {
        Self { start: Mutex::new(Instant::now()), watch: Mutex::default(), longer: Mutex::default() }
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

    /// Whether nothing holds any more of what the node was granted for so long, as often as `count` says.
    fn is_over(&self, node: NodeId, count: i64, ttl: Duration) -> bool {
        let mut longer = self.longer.lock().unwrap_or_else(PoisonError::into_inner);
        let start = *self.start.lock().unwrap_or_else(PoisonError::into_inner);
        longer.left(node, count, ttl, start.elapsed()).is_none()
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
    let granted = store::grant(conn, node, ttl).await?;
    // Of a configuration of before: whoever waits for the lease need not wait for that long again.
    if granted.longest > ttl && app.leases.is_over(node, granted.long, granted.longest) {
        store::shorten(conn, node, ttl).await?;
    }
    metrics::counter!("wisehosting_leases_granted_total").increment(1);
    let ttl_ms = u64::from(app.config.node_health.lease_s) * 1000;
    Ok(LeaseGrant { seq: request.seq, ttl_ms, instances: granted.instances })
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
