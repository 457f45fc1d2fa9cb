//! Changes, said by the transaction that makes them (`pg_notify`) and heard by every control plane. Hearing one makes
//! things fast; nothing depends on it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgListener;
use sqlx::{Acquire, PgConnection, PgPool};
use tokio::sync::broadcast;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::db;

const CHANNEL: &str = "wisehosting";
/// After so long without a change Postgres is asked whether it is still there.
const QUIET: Duration = Duration::from_secs(10);

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    Apps,
    Deployments,
    /// New lines in a deployment's log.
    DeploymentLog,
    Instances,
    /// New lines of an app.
    AppLog,
    Nodes,
    /// Who reaches whom; the id is the node that says so.
    Mesh,
    Certificates,
    /// The id is the app.
    Domains,
    Notices,
    Jobs,
    /// Somebody waits for an agent's answer, or it came; the id is the question.
    Questions,
    /// A consumer's desired state; the id is the consumer.
    Generations,
    /// Changes may have been missed: look at everything.
    Resync,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Change {
    pub topic: Topic,
    pub id: String,
}

/// Says a change in the caller's transaction; it is heard when that commits.
pub async fn say(conn: &mut PgConnection, topic: Topic, id: impl ToString) -> sqlx::Result<()> {
    let change = Change { topic, id: id.to_string() };
    let text = serde_json::to_string(&change).expect("plain strings");
    sqlx::query!("select pg_notify($1, $2)", CHANNEL, text).execute(conn).await?;
    Ok(())
}

/// Hands changes to everyone in this process. A slow listener loses the oldest and gets a lag error, which it treats
/// as [`Topic::Resync`].
#[derive(Debug, Clone)]
pub struct Bus(broadcast::Sender<Change>);

impl Default for Bus {
    fn default() -> Self {
        Self(broadcast::Sender::new(4096))
    }
}

impl Bus {
    pub fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }

    /// Listens to Postgres until `stop`, across reconnects.
    pub async fn run(self, pool: PgPool, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                Err(error) = self.forward(&pool) => warn!(%error, "lost the notification connection"),
                () = stop.cancelled() => return Ok(()),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn forward(&self, pool: &PgPool) -> sqlx::Result<()> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        let resync = || Change { topic: Topic::Resync, id: String::new() };
        self.publish(resync());
        loop {
            let Ok(heard) = timeout(QUIET, listener.try_recv()).await else {
                // Nothing to hear and nobody there look the same.
                db::leads(listener.acquire().await?).await?;
                continue;
            };
            // None: the connection broke and was made again, so something may have been missed.
            let change = match heard? {
                Some(notification) => {
                    serde_json::from_str(notification.payload()).unwrap_or_else(|_| resync())
                }
                None => resync(),
            };
            self.publish(change);
        }
    }

    fn publish(&self, change: Change) {
        // Err means that nobody listens, which is fine.
        let _ = self.0.send(change);
    }
}

/// One listener of a [`Bus`].
#[derive(Debug)]
pub struct Listener(broadcast::Receiver<Change>);

impl Listener {
    /// The next change; `None` when the process stops.
    pub async fn next(&mut self) -> Option<Change> {
        match self.0.recv().await {
            Ok(change) => Some(change),
            Err(broadcast::error::RecvError::Lagged(_)) => {
                Some(Change { topic: Topic::Resync, id: String::new() })
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// Waits until something about one of `topics` (and `id`, unless empty) may have changed.
    pub async fn until(&mut self, topics: &[Topic], id: &str) -> Option<Change> {
        loop {
            let change = self.next().await?;
            let about = topics.contains(&change.topic) && (id.is_empty() || change.id == id);
            if about || change.topic == Topic::Resync {
                return Some(change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[sqlx::test(migrator = "crate::db::MIGRATIONS")]
    async fn changes_are_heard_again_after_the_connection_was_cut(pool: PgPool) {
        let (bus, stop) = (Bus::default(), CancellationToken::new());
        let mut changes = bus.listen();
        let test = async {
            let mut next = async || timeout(Duration::from_secs(10), changes.next()).await.expect("in time");
            assert_eq!(next().await.expect("runs").topic, Topic::Resync, "when the connection is made");
            sqlx::query(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and query ilike 'listen %'",
            )
            .execute(&pool)
            .await
            .expect("terminate");
            assert_eq!(next().await.expect("runs").topic, Topic::Resync, "when it is made again");
            let mut conn = pool.acquire().await.expect("connection");
            say(&mut conn, Topic::Apps, "a").await.expect("say");
            assert_eq!(next().await, Some(Change { topic: Topic::Apps, id: "a".to_owned() }));
            stop.cancel();
        };
        let (ended, ()) = tokio::join!(bus.clone().run(pool.clone(), stop.clone()), test);
        ended.expect("runs until stopped");
    }
}
