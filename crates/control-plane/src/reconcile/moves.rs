//! Brings instances to other nodes, a few at a time: those of nodes that are to be empty, and those that a rebalance
//! moves. What is wanted is in the tables, so that it goes on after a restart.

use std::time::Duration;

use daemon::reconcile::Reconciler;
use serde_json::json;
use sqlx::PgConnection;
use tracing::info;

use crate::app::AppState;
use crate::bus::{self, Topic};
use crate::placement::moves::{Begun, Cause, MoveState, begin};
use crate::placement::store::moves::{self, Open};
use crate::{apps, audit};

/// Moves at the same time, each with one instance more than its app has otherwise.
const AT_ONCE: i64 = 4;
/// Those away from nodes that are gone: what they move serves nobody, and takes nothing from anybody.
const LOST_AT_ONCE: i64 = 16;
/// Moves that are tried in one pass.
const TRIED: i64 = 100;

pub struct Moves(pub AppState);

impl Reconciler for Moves {
    fn name(&self) -> &'static str {
        "moves"
    }

    /// Each pass looks at all that moves and all that is drained, and nothing of that is over in less.
    fn rest(&self) -> Duration {
        Duration::from_millis(200)
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let db = &self.0.db;
        let mut tx = db.begin().await?;
        settle(&mut tx).await?;
        let wanted = moves::want_drained(&mut tx).await?;
        let empty = moves::finish_drains(&mut tx).await?;
        for node in &empty {
            info!(node.id = %node, "drained");
            bus::say(&mut tx, Topic::Nodes, node).await?;
        }
        if wanted > 0 {
            bus::say(&mut tx, Topic::Nodes, "").await?;
        }
        moves::sweep(&mut tx).await?;
        let mut room = AT_ONCE - moves::under_way(&mut tx, false).await?;
        let mut room_for_lost = LOST_AT_ONCE - moves::under_way(&mut tx, true).await?;
        let waiting = moves::waiting(&mut tx, TRIED).await?;
        tx.commit().await?;
        for wanted in waiting {
            let room = if wanted.cause == Cause::Lost { &mut room_for_lost } else { &mut room };
            if *room > 0 && attempt(&self.0, &wanted).await? {
                *room -= 1;
            }
        }
        Ok(())
    }
}

/// Takes note of the moves whose deployments are over.
async fn settle(conn: &mut PgConnection) -> anyhow::Result<()> {
    for ended in moves::ended(conn).await? {
        if ended.well {
            moves::end(conn, ended.id, MoveState::Done, None).await?;
        } else {
            let why =
                ended.failure.map_or_else(|| "it was cancelled".to_owned(), |failure| failure.0.message);
            let problem = match ended.number {
                Some(number) => format!("deployment {number}: {why}"),
                None => why,
            };
            moves::end(conn, ended.id, MoveState::Failed, Some(&problem)).await?;
        }
        bus::say(conn, Topic::Nodes, "").await?;
    }
    Ok(())
}

/// Whether the move has begun.
async fn attempt(app: &AppState, wanted: &Open) -> anyhow::Result<bool> {
    let mut tx = app.db.begin().await?;
    let begun = begin(app, &mut tx, wanted).await?;
    match &begun {
        Begun::Under(deployment) => {
            info!(instance.id = %wanted.instance, app.id = %wanted.app, deployment.id = %deployment, "move: {} ({})", wanted.from, wanted.reason);
            moves::begin(&mut tx, wanted.id, *deployment).await?;
            bus::say(&mut tx, Topic::Nodes, "").await?;
        }
        Begun::Blocked(why) => {
            moves::block(&mut tx, wanted.id, why).await?;
            if wanted.cause == Cause::Lost && wanted.problem.is_none() {
                record_wait(&mut tx, wanted, why).await?;
            }
        }
        Begun::Refused(why) => moves::end(&mut tx, wanted.id, MoveState::Failed, Some(why)).await?,
        // It ended or was replaced by something else.
        Begun::Over => moves::end(&mut tx, wanted.id, MoveState::Done, None).await?,
        Begun::CalledOff => {}
    }
    tx.commit().await?;
    Ok(matches!(begun, Begun::Under(_)))
}

/// The app waits for a node that is gone: told once, when it begins to.
async fn record_wait(conn: &mut PgConnection, wanted: &Open, why: &str) -> anyhow::Result<()> {
    let organization = apps::store::organization(conn, wanted.app).await?;
    let target = format!("app:{}", apps::store::slug(conn, wanted.app).await?);
    let detail = json!({ "node": wanted.from, "instance": wanted.instance, "why": why });
    audit::record_of(conn, organization, "system", "app.wait", &target, detail).await?;
    Ok(bus::say(conn, Topic::Apps, wanted.app).await?)
}
