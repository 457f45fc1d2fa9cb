//! SQL of what lies on workers, and of clean-ups.

use chrono::{DateTime, TimeDelta, Utc};
use protocol::ids::NodeId;
use protocol::question::{AnswerKind, CleanableImage};
use protocol::storage::{MAX_CONTAINERS, MAX_VOLUMES, StorageReport};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::bus::{self, Topic};
use crate::http::page::PageQuery;
use crate::nodes::storage::{Cleanup, CleanupState};

/// After so long without an answer nobody believes that one comes.
const PATIENCE: TimeDelta = TimeDelta::minutes(10);

/// Stores what a worker holds in the place of what it held.
pub async fn take(conn: &mut PgConnection, node: NodeId, mut report: StorageReport) -> sqlx::Result<()> {
    report.containers.truncate(MAX_CONTAINERS);
    report.volumes.truncate(MAX_VOLUMES);
    sqlx::query!(
        "insert into node_storage (node_id, report) values ($1, $2)
         on conflict (node_id) do update set report = excluded.report, reported_at = now()",
        node as _,
        Json(report) as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What it told last, and when.
pub async fn of(
    conn: &mut PgConnection,
    node: NodeId,
) -> sqlx::Result<Option<(DateTime<Utc>, StorageReport)>> {
    let row = sqlx::query!(
        r#"select reported_at, report as "report: Json<StorageReport>" from node_storage where node_id = $1"#,
        node as _
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.reported_at, row.report.0)))
}

/// Those of the images that a release is made of: what becomes of them the rules of images say.
pub async fn of_releases(conn: &mut PgConnection, images: &[String]) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"select distinct image_id as "image!" from releases where image_id = any($1)
           union select image_id from image_orders where image_id = any($1) and action = 'hold'"#,
        images
    )
    .fetch_all(conn)
    .await
}

pub async fn start_cleanup(
    conn: &mut PgConnection,
    id: Uuid,
    node: NodeId,
    by: &str,
    images: &[String],
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into node_cleanups (id, node_id, started_by, images) values ($1, $2, $3, $4)",
        id,
        node as _,
        by,
        images
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The worker says what became of a clean-up; `false` when the answer is to something else.
pub async fn finish_cleanup(
    conn: &mut PgConnection,
    id: Uuid,
    node: NodeId,
    outcome: &AnswerKind,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update node_cleanups set outcome = $3, finished_at = now()
         where id = $1 and node_id = $2 and finished_at is null",
        id,
        node as _,
        Json(outcome) as _
    )
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    bus::say(conn, Topic::Nodes, node).await?;
    Ok(true)
}

/// Clean-ups of a node, the newest first, or one of them.
pub async fn cleanups(
    conn: &mut PgConnection,
    node: NodeId,
    page: &PageQuery,
    only: Option<Uuid>,
) -> sqlx::Result<Vec<Cleanup>> {
    let rows = sqlx::query!(
        r#"select id, started_by, at, cardinality(images) as "images!", outcome as "outcome: Json<AnswerKind>",
                  finished_at
           from node_cleanups
           where node_id = $1 and ($2::uuid is null or id < $2) and ($3::uuid is null or id = $3)
           order by id desc limit $4"#,
        node as _,
        page.cursor,
        only,
        page.limit() + 1
    )
    .fetch_all(conn)
    .await?;
    let cleanup = rows.into_iter().map(|row| {
        let (state, removed, left, problem) = match row.outcome.map(|outcome| outcome.0) {
            Some(AnswerKind::Cleaned(cleaned)) => (CleanupState::Done, cleaned.removed, cleaned.left, None),
            Some(AnswerKind::Failed { message }) => {
                (CleanupState::Failed, Vec::new(), Vec::new(), Some(message))
            }
            Some(_) => {
                (CleanupState::Failed, Vec::new(), Vec::new(), Some("it answered something else".to_owned()))
            }
            None if row.at < Utc::now() - PATIENCE => {
                (CleanupState::Unanswered, Vec::new(), Vec::new(), None)
            }
            None => (CleanupState::Running, Vec::new(), Vec::new(), None),
        };
        Cleanup {
            id: row.id,
            started_by: row.started_by,
            at: row.at,
            state,
            finished_at: row.finished_at,
            images: u32::try_from(row.images).unwrap_or(0),
            freed_bytes: freed(&removed),
            removed,
            left,
            problem,
        }
    });
    Ok(cleanup.collect())
}

/// What their removal frees or freed, each by itself.
pub fn freed(images: &[CleanableImage]) -> u64 {
    images.iter().map(|image| image.frees_bytes).fold(0, u64::saturating_add)
}

/// Forgets what is older than some days.
pub async fn sweep(conn: &mut PgConnection, days: u16) -> sqlx::Result<()> {
    sqlx::query!("delete from node_cleanups where at < now() - make_interval(days => $1)", i32::from(days))
        .execute(conn)
        .await?;
    Ok(())
}
