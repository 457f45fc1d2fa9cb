//! How a deployment moves: its stages, its end, and the lines that the control plane adds to its log. Everything here
//! runs in the transaction of the change that it tells of.

use chrono::{DateTime, Utc};
use protocol::ids::{AppId, DeploymentId, ReleaseId};
use protocol::job::{Failure, Recipe, Stage};
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::{StageState, State, ending};
use crate::apps::Settings;
use crate::bus::{self, Topic};

/// `stage` runs since `at` (now, when absent); the ones before it are done or, having never run, skipped.
pub async fn enter(
    conn: &mut PgConnection,
    id: DeploymentId,
    stage: Stage,
    at: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    for earlier in Stage::ALL.into_iter().take_while(|earlier| *earlier < stage) {
        close(conn, id, earlier).await?;
    }
    set(conn, id, stage, StageState::Running, at).await?;
    bus::say(conn, Topic::Deployments, id).await
}

/// The deployment's source is built in this way.
pub async fn set_recipe(conn: &mut PgConnection, id: DeploymentId, recipe: &Recipe) -> sqlx::Result<()> {
    sqlx::query!("update deployments set recipe = $2 where id = $1", id as _, Json(recipe) as _)
        .execute(&mut *conn)
        .await?;
    bus::say(conn, Topic::Deployments, id).await
}

/// `stage` is over: done if it ran, skipped if it did not.
pub async fn close(conn: &mut PgConnection, id: DeploymentId, stage: Stage) -> sqlx::Result<()> {
    sqlx::query!(
        "update deployment_stages
         set state = case state when 'running' then 'done' else 'skipped' end,
             finished_at = case state when 'running' then now() end
         where deployment_id = $1 and stage = $2 and state in ('waiting', 'running')",
        id as _,
        stage as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn set(
    conn: &mut PgConnection,
    id: DeploymentId,
    stage: Stage,
    state: StageState,
    at: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into deployment_stages as old (deployment_id, stage, state, started_at)
         values ($1, $2, $3, case when $3 = 'running' then coalesce($4, now()) end)
         on conflict (deployment_id, stage) do update
         set state = excluded.state, started_at = coalesce(old.started_at, excluded.started_at)
         where old.state = 'waiting'",
        id as _,
        stage as _,
        state as _,
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What a release is made of, besides the image.
#[derive(Debug)]
pub struct Building {
    pub app_id: AppId,
    pub source: Option<Value>,
    pub settings: Json<Settings>,
    pub variables: Vec<u8>,
    pub build_variables: Option<Vec<String>>,
}

/// The deployment, if it is still building.
pub async fn building(conn: &mut PgConnection, id: DeploymentId) -> sqlx::Result<Option<Building>> {
    sqlx::query_as!(
        Building,
        r#"select app_id, source, settings as "settings: Json<Settings>", variables, build_variables
           from deployments where id = $1 and state = 'building'"#,
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// The deployment has its release, which is rolled out from here on.
pub async fn roll_out(conn: &mut PgConnection, id: DeploymentId, release: ReleaseId) -> sqlx::Result<()> {
    sqlx::query!(
        "update deployments set release_id = $2, state = $3, stepped_at = now() where id = $1",
        id as _,
        release as _,
        State::RollingOut as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The deployment failed, unless it had ended before. The old release keeps serving. The stage that was running is
/// the one that failed: an agent knows its own part only, and an instance may end while it is probed.
pub async fn fail(conn: &mut PgConnection, id: DeploymentId, failure: &Failure) -> sqlx::Result<()> {
    let running = sqlx::query_scalar!(
        "select stage from deployment_stages where deployment_id = $1 and state = 'running'
         order by started_at desc limit 1",
        id as _
    )
    .fetch_optional(&mut *conn)
    .await?;
    let failure = Failure { stage: running.unwrap_or(failure.stage), ..failure.clone() };
    if !end(conn, id, State::Failed, Some(&failure)).await? {
        return Ok(());
    }
    sqlx::query!(
        "update deployment_stages set state = 'failed', finished_at = coalesce(finished_at, now())
         where deployment_id = $1 and stage = $2",
        id as _,
        failure.stage as _
    )
    .execute(&mut *conn)
    .await?;
    ending::record_failure(conn, id, &failure).await
}

/// The deployment was cancelled, unless it had ended before.
pub async fn cancelled(conn: &mut PgConnection, id: DeploymentId) -> sqlx::Result<bool> {
    end(conn, id, State::Cancelled, None).await
}

async fn end(
    conn: &mut PgConnection,
    id: DeploymentId,
    state: State,
    failure: Option<&Failure>,
) -> sqlx::Result<bool> {
    let ended = sqlx::query!(
        "update deployments set state = $2, failure = $3, finished_at = now(), waiting_for = null
         where id = $1 and state in ('queued', 'building', 'rolling-out') returning app_id",
        id as _,
        state as _,
        failure.map(Json) as _
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(ended) = ended else { return Ok(false) };
    sqlx::query!(
        "update deployment_stages
         set state = case state when 'running' then 'done' else 'skipped' end,
             finished_at = case state when 'running' then now() end
         where deployment_id = $1 and state in ('waiting', 'running')",
        id as _
    )
    .execute(&mut *conn)
    .await?;
    forget_archive(conn, id).await?;
    bus::say(conn, Topic::Deployments, id).await?;
    bus::say(conn, Topic::Apps, ended.app_id).await?;
    // The app's next deployment may begin.
    bus::say(conn, Topic::Jobs, "").await?;
    Ok(true)
}

/// The uploaded source is needed no more, unless another deployment waits for it.
pub async fn forget_archive(conn: &mut PgConnection, id: DeploymentId) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from archives using deployments
         where deployments.id = $1 and archives.id::text = source ->> 'archive_id'
           and not exists (
               select 1 from deployments as other
               where other.id <> $1 and other.app_id = deployments.app_id
                 and other.source ->> 'archive_id' = archives.id::text and other.state in ('queued', 'building'))",
        id as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Adds a line of the control plane's own to the log, after all that are there. Only once no worker writes it any
/// more, because a job numbers its lines by itself.
pub async fn say_line(conn: &mut PgConnection, id: DeploymentId, text: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into deployment_log (deployment_id, seq, at, stream, text)
         select $1, coalesce(max(seq), 0) + 1, now(), 'system', $2 from deployment_log where deployment_id = $1",
        id as _,
        text
    )
    .execute(&mut *conn)
    .await?;
    bus::say(conn, Topic::DeploymentLog, id).await
}
