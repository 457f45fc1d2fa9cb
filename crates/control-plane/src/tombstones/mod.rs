//! Deleted apps, which can be brought back until their time is over.

pub mod api;
pub mod store;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use protocol::ids::AppId;
use serde::Serialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::audit;
use crate::bus::{self, Topic};
use crate::generations::{self, Consumer};

/// For how many days a deleted app can be brought back.
pub const KEPT_DAYS: i32 = 7;

/// A deleted app.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Tombstone {
    pub id: AppId,
    pub slug: String,
    pub deleted_at: DateTime<Utc>,
    pub deleted_by: String,
    /// When it is removed for good; until then its slug and hostname are its own.
    pub gone_at: DateTime<Utc>,
    pub pieces: Pieces,
}

/// How much of each kind an app has. Containers are removed at once, all else when its time is over.
#[derive(Debug, Clone, Copy, Default, Serialize, utoipa::ToSchema)]
pub struct Pieces {
    /// Containers that are still there.
    pub containers: i64,
    pub variables: i64,
    pub releases: i64,
    pub deployments: i64,
    pub uploads: i64,
    pub certificates: i64,
    pub domains: i64,
    /// Tokens and keys for its repository.
    pub git_access: i64,
}

/// What was removed for good with one app.
#[derive(Debug, Default)]
pub struct Removed {
    pub pieces: Pieces,
    pub deployment_log_lines: u64,
    pub log_lines: u64,
    /// Images that no release of it needs any more. They are left to the workers' own clean-up.
    pub images: Vec<String>,
}

impl Removed {
    /// Piece by piece, for the audit log.
    fn report(&self, tombstone: &Tombstone) -> Value {
        let mut removed = json!(self.pieces);
        removed["deployment_log_lines"] = self.deployment_log_lines.into();
        removed["log_lines"] = self.log_lines.into();
        json!({
            "deleted_at": tombstone.deleted_at,
            "deleted_by": tombstone.deleted_by,
            "removed": removed,
            "images": self.images,
        })
    }
}

/// Removes for good the apps whose time is over and of which nothing runs, each in a transaction of its own.
pub async fn sweep(app: &App) -> anyhow::Result<()> {
    let due = {
        let mut conn = app.db.acquire().await?;
        store::sweep_caches(&mut conn).await?;
        store::due(&mut conn, KEPT_DAYS).await?
    };
    // One that cannot be removed must not keep the others.
    let mut failed = Ok(());
    for id in due {
        if let Err(error) = remove(app, id).await {
            failed = Err(error.context(format!("deleted app {id}")));
        }
    }
    failed
}

async fn remove(app: &App, id: AppId) -> anyhow::Result<()> {
    let mut tx = app.db.begin().await?;
    // Somebody may have brought it back in between.
    let Some(tombstone) = store::lock_due(&mut tx, id, KEPT_DAYS).await? else { return Ok(()) };
    let organization = store::organization(&mut tx, id).await?;
    for node in store::remove_caches(&mut tx, id).await? {
        generations::raise(&mut tx, Consumer::Worker(node)).await?;
    }
    let removed = store::remove(&mut tx, id).await?;
    let target = format!("app:{}", tombstone.slug);
    let report = removed.report(&tombstone);
    audit::record_of(&mut tx, organization, "system", "app.remove", &target, report).await?;
    // The proxies let its certificate go.
    generations::raise(&mut tx, Consumer::Routes).await?;
    bus::say(&mut tx, Topic::Apps, id).await?;
    tx.commit().await?;
    Ok(())
}
