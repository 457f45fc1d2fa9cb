//! Work that must run once runs on the replica that holds one Postgres advisory lock. The lock belongs to a
//! connection of its own and ends with it, so a replica that dies hands over at once. For the moment in which a
//! replica has lost the lock and not noticed, every pass also locks the rows that it changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daemon::reconcile::Reconciler;
use sqlx::{ConnectOptions, PgConnection};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::app::AppState;
use crate::db;

const CHECK: Duration = Duration::from_secs(2);

/// Whether this replica is the one.
#[derive(Debug, Clone, Default)]
pub(super) struct Leader(Arc<AtomicBool>);

impl Leader {
    /// `reconciler`, passing only while this replica is the one.
    pub(super) fn only<R: Reconciler>(&self, reconciler: R) -> Only<R> {
        Only { leader: self.clone(), reconciler }
    }

    pub(super) async fn run(self, app: AppState, stop: CancellationToken) -> anyhow::Result<()> {
        let lead = async {
            loop {
                if let Err(error) = self.lead(&app).await {
                    warn!(%error, "lost the leader's lock");
                }
                self.0.store(false, Ordering::Release);
                tokio::time::sleep(CHECK).await;
            }
        };
        stop.run_until_cancelled(lead).await;
        Ok(())
    }

    /// Returns when the lock cannot be had or is lost.
    async fn lead(&self, app: &AppState) -> sqlx::Result<()> {
        let options = app.db.connect_options();
        let connect = tokio::time::timeout(Duration::from_secs(5), options.connect());
        let mut conn: PgConnection = connect.await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        loop {
            // A Postgres that follows another one gives locks too, which say nothing to the others.
            db::leads(&mut conn).await?;
            let lock = sqlx::query_scalar!(
                r#"select pg_try_advisory_lock(hashtext('wisehosting leader')) as "held!""#
            )
            .fetch_one(&mut conn);
            // The lock counts how often it was taken; the connection's end releases it whole.
            let held = tokio::time::timeout(Duration::from_secs(5), lock)
                .await
                .map_err(|_| sqlx::Error::PoolTimedOut)??;
            if held {
                break;
            }
            tokio::time::sleep(CHECK).await;
        }
        info!(replica = %app.replica, "this control plane runs the loops that run once");
        self.0.store(true, Ordering::Release);
        loop {
            tokio::time::sleep(CHECK).await;
            db::leads(&mut conn).await?;
        }
    }
}

/// See [`Leader::only`].
pub(super) struct Only<R> {
    leader: Leader,
    reconciler: R,
}

impl<R: Reconciler> Reconciler for Only<R> {
    fn name(&self) -> &'static str {
        self.reconciler.name()
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        if self.leader.0.load(Ordering::Acquire) { self.reconciler.pass().await } else { Ok(()) }
    }

    fn rest(&self) -> Duration {
        self.reconciler.rest()
    }
}

#[cfg(test)]
mod tests {
    use sqlx::PgPool;

    use super::*;
    use crate::testing::TestApp;

    /// Waits until exactly one of `replicas` leads.
    async fn settled(replicas: &[Leader]) {
        let one = || replicas.iter().filter(|replica| replica.0.load(Ordering::Acquire)).count() == 1;
        let wait = async {
            while !one() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("one leads");
    }

    #[sqlx::test(migrator = "crate::db::MIGRATIONS")]
    async fn one_replica_leads_and_one_leads_again_after_the_lock_was_lost(pool: PgPool) {
        let app = TestApp::new(pool.clone()).await.app;
        let (replicas, stop) = ([Leader::default(), Leader::default()], CancellationToken::new());
        let test = async {
            settled(&replicas).await;
            let cut = sqlx::query(
                "select pg_terminate_backend(pid) from pg_locks join pg_database on oid = database
                 where locktype = 'advisory' and granted and datname = current_database()",
            );
            assert_eq!(cut.execute(&pool).await.expect("terminate").rows_affected(), 1, "locks");
            // Noticed within a check.
            tokio::time::sleep(CHECK * 2).await;
            settled(&replicas).await;
            stop.cancel();
        };
        let [first, second] = replicas.clone().map(|replica| replica.run(app.clone(), stop.clone()));
        let (first, second, ()) = tokio::join!(first, second, test);
        first.and(second).expect("run until stopped");
    }
}
