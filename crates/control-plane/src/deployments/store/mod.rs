pub mod ending;
pub mod keys;
pub mod preview;
pub mod progress;
pub mod rollout;
pub mod situations;
pub mod stop;
pub mod tasks;
pub mod undo;

use protocol::ids::{AppId, DeploymentId, InstanceId, JobId, OrganizationId, ReleaseId};
use protocol::job::{Failure, Recipe, Source, Stage};
use protocol::report::LogLine;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::{AppRef, Deployment, Kind, StageProgress, StageState, State};
use crate::apps::Settings;
use crate::jobs::store::queue;
use crate::jobs::waiting::{Slots, Waiting};

/// A deployment to be.
#[derive(Debug)]
pub struct New<'a> {
    pub id: DeploymentId,
    pub app_id: AppId,
    pub kind: Kind,
    pub source: Option<&'a Source>,
    pub settings: &'a Settings,
    /// Sealed as `app-variables:<app id>`.
    pub variables: &'a [u8],
    /// Names of those that build steps may mount; none when nothing is built.
    pub build_variables: Option<&'a [String]>,
    pub release_id: Option<ReleaseId>,
    /// The only instance that it replaces.
    pub replaces: Option<InstanceId>,
    pub message: &'a str,
    pub created_by: &'a str,
}

/// Makes a queued deployment with its stages; its number. The caller holds the app's row.
pub async fn insert(conn: &mut PgConnection, new: &New<'_>) -> sqlx::Result<i32> {
    let number = sqlx::query_scalar!(
        "insert into deployments (id, app_id, number, kind, source, settings, variables, release_id, replaces, message,
                                  created_by, build_variables, from_release)
         select $1, $2, coalesce(max(number), 0) + 1, $3, $4, $5, $6, $7, $8, $9, $10, $11,
                (select releases.number from deployments as live join releases on releases.id = live.release_id
                 where live.app_id = $2 and live.state = 'live')
         from deployments where app_id = $2
         returning number",
        new.id as _,
        new.app_id as _,
        new.kind as _,
        new.source.map(Json) as _,
        Json(new.settings) as _,
        new.variables,
        new.release_id as _,
        new.replaces as _,
        new.message,
        new.created_by,
        new.build_variables
    )
    .fetch_one(&mut *conn)
    .await?;
    for stage in Stage::ALL {
        let state = new.kind.first_state_of(stage);
        sqlx::query!(
            "insert into deployment_stages (deployment_id, stage, state, started_at)
             values ($1, $2, $3, case when $4 then now() end)",
            new.id as _,
            stage as _,
            state as _,
            state == StageState::Running
        )
        .execute(&mut *conn)
        .await?;
    }
    Ok(number)
}

/// Queues the job that makes the deployment's image.
pub async fn insert_job(
    conn: &mut PgConnection,
    id: JobId,
    deployment: DeploymentId,
    payload: &[u8],
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into jobs (id, kind, deployment_id, payload) values ($1, 'build', $2, $3)",
        id as _,
        deployment as _,
        payload
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Number of the newest deployment of the app that is not final.
pub async fn unfinished(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Option<i32>> {
    sqlx::query_scalar!(
        "select max(number) from deployments
         where app_id = $1 and state in ('queued', 'building', 'rolling-out')",
        app as _
    )
    .fetch_one(conn)
    .await
}

/// Which deployments of an organization.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    pub id: Option<DeploymentId>,
    pub app: Option<AppId>,
    pub before: Option<Uuid>,
    pub limit: i64,
}

/// Ids of the organization's deployments. Found first, because Postgres plans all that is shown of them for as many as
/// there are where it does not know how few are meant.
async fn page(
    conn: &mut PgConnection,
    organization: OrganizationId,
    filter: Filter,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"select deployments.id as "id: Uuid" from deployments
           join apps on apps.id = deployments.app_id
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id
           where projects.organization_id = $1 and deployments.id < $2
           order by deployments.id desc limit $3"#,
        organization as _,
        filter.before.unwrap_or(Uuid::max()),
        filter.limit + 1
    )
    .fetch_all(conn)
    .await
}

/// The same for one app, by its index.
async fn page_of_app(conn: &mut PgConnection, app: AppId, filter: Filter) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"select id as "id: Uuid" from deployments where app_id = $1 and id < $2 order by id desc limit $3"#,
        app as _,
        filter.before.unwrap_or(Uuid::max()),
        filter.limit + 1
    )
    .fetch_all(conn)
    .await
}

/// One deployment, if it is the organization's.
pub async fn view(
    conn: &mut PgConnection,
    organization: OrganizationId,
    id: DeploymentId,
    scheme: &str,
) -> sqlx::Result<Option<Deployment>> {
    let filter = Filter { id: Some(id), limit: 1, ..Filter::default() };
    Ok(views(conn, organization, filter, scheme).await?.pop())
}

/// Deployments as clients see them, newest first, one more than the limit.
pub async fn views(
    conn: &mut PgConnection,
    organization: OrganizationId,
    filter: Filter,
    scheme: &str,
) -> sqlx::Result<Vec<Deployment>> {
    let ids = match (filter.id, filter.app) {
        (Some(id), _) => vec![id.0],
        (None, Some(app)) => page_of_app(conn, app, filter).await?,
        (None, None) => page(conn, organization, filter).await?,
    };
    let rows = sqlx::query!(
        r#"select deployments.id, deployments.app_id, apps.slug, deployments.number, deployments.kind,
                  deployments.source as "source: Json<Source>", deployments.recipe, deployments.state, deployments.failure,
                  deployments.message, deployments.created_by, deployments.created_at, deployments.finished_at,
                  deployments.waiting_for, deployments.from_release,
                  releases.number as "release?", releases.commit_id as "commit?",
                  releases.image_size_bytes as "image_size_bytes?", apps.slug || '.' || zones.suffix as "hostname!",
                  (select min(earlier.number) from deployments earlier
                   where earlier.app_id = deployments.app_id and earlier.number < deployments.number
                     and earlier.state in ('queued', 'building', 'rolling-out')) as earlier,
                  case when jobs.id is not null then 1 + (
                      select count(*) from jobs ahead
                      where ahead.kind = jobs.kind and ahead.state = 'queued'
                        and (ahead.priority > jobs.priority or ahead.priority = jobs.priority and ahead.id < jobs.id)
                  ) end as queue_position
           from deployments
           join apps on apps.id = deployments.app_id
           join zones on zones.id = apps.zone_id
           join environments on environments.id = apps.environment_id
           join projects on projects.id = environments.project_id
           left join releases on releases.id = deployments.release_id
           left join jobs on jobs.deployment_id = deployments.id and jobs.state = 'queued'
           where projects.organization_id = $1
             and deployments.id = any($2) order by deployments.id desc"#,
        organization as _,
        &ids
    )
    .fetch_all(&mut *conn)
    .await?;
    let queued = rows.iter().any(|row| row.queue_position.is_some());
    let slots = if queued { queue::slots(conn).await? } else { Vec::new() };
    let mut deployments = Vec::new();
    for row in rows {
        deployments.push(Deployment {
            id: row.id,
            app: AppRef { id: row.app_id, slug: row.slug },
            number: row.number,
            kind: row.kind,
            source: row.source.map(|source| source.0),
            recipe: row.recipe.and_then(|recipe| serde_json::from_value::<Recipe>(recipe).ok()),
            state: row.state,
            waiting_for: waiting_for(row.state, row.kind, row.earlier, &slots).or(row.waiting_for),
            queue_position: row.queue_position,
            stages: Vec::new(),
            // A failure (or a recipe) of another version may not parse; the state still says that it failed.
            failure: row
                .failure
                .and_then(|failure| serde_json::from_value::<Failure>(failure).ok())
                .map(Into::into),
            release: row.release,
            from_release: row.from_release,
            commit: row.commit,
            image_size_bytes: row.image_size_bytes,
            url: format!("{scheme}://{}", row.hostname),
            message: row.message,
            created_by: row.created_by,
            created_at: row.created_at,
            finished_at: row.finished_at,
            duration_ms: row.finished_at.map(|end| (end - row.created_at).num_milliseconds()),
        });
    }
    add_stages(conn, &mut deployments).await?;
    Ok(deployments)
}

fn waiting_for(state: State, kind: Kind, earlier: Option<i32>, slots: &[Slots]) -> Option<String> {
    match (state, earlier) {
        (State::Queued, Some(number)) => Some(Waiting::Earlier(number).waiting_for()),
        (State::Queued, None) if kind.has_job() => Some(Waiting::of(None, slots).waiting_for()),
        _ => None,
    }
}

async fn add_stages(conn: &mut PgConnection, deployments: &mut [Deployment]) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = deployments.iter().map(|deployment| deployment.id.0).collect();
    let rows = sqlx::query!(
        "select deployment_id, stage, state, started_at, finished_at from deployment_stages
         where deployment_id = any($1)",
        &ids
    )
    .fetch_all(conn)
    .await?;
    for row in rows {
        if let Some(deployment) = deployments.iter_mut().find(|deployment| deployment.id == row.deployment_id)
        {
            deployment.stages.push(StageProgress {
                stage: row.stage,
                state: row.state,
                started_at: row.started_at,
                finished_at: row.finished_at,
            });
        }
    }
    for deployment in deployments {
        deployment.stages.sort_by_key(|progress| progress.stage);
    }
    Ok(())
}

/// Lines of a deployment's log after `after`.
pub async fn log(
    conn: &mut PgConnection,
    id: DeploymentId,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<LogLine>> {
    sqlx::query_as!(
        LogLine,
        "select seq, at, stream, text from deployment_log where deployment_id = $1 and seq > $2 order by seq limit $3",
        id as _,
        after,
        limit
    )
    .fetch_all(conn)
    .await
}

/// Holds the deployment's job and the deployment; its state.
pub async fn lock(conn: &mut PgConnection, id: DeploymentId) -> sqlx::Result<State> {
    sqlx::query!("select id from jobs where deployment_id = $1 for update", id as _)
        .fetch_optional(&mut *conn)
        .await?;
    sqlx::query_scalar!("select state from deployments where id = $1 for update", id as _)
        .fetch_one(conn)
        .await
}

/// Ends a deployment that somebody cancelled.
pub async fn set_cancelled(conn: &mut PgConnection, id: DeploymentId) -> sqlx::Result<()> {
    sqlx::query!("update deployments set state = 'cancelled', finished_at = now() where id = $1", id as _)
        .execute(&mut *conn)
        .await?;
    sqlx::query!(
        "update deployment_stages set state = 'skipped', finished_at = now()
         where deployment_id = $1 and state in ('waiting', 'running')",
        id as _
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "update jobs set state = 'cancelled', finished_at = now() where deployment_id = $1 and state = 'queued'",
        id as _
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "delete from archives using deployments
         where deployments.id = $1 and archives.id::text = deployments.source ->> 'archive_id'
           and not exists (
               select from deployments other where other.app_id = deployments.app_id
                 and other.source ->> 'archive_id' = archives.id::text
                 and other.state in ('queued', 'building', 'rolling-out')
           )",
        id as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Asks the worker that builds to stop; its job's id.
pub async fn request_cancel(conn: &mut PgConnection, id: DeploymentId) -> sqlx::Result<Option<JobId>> {
    sqlx::query_scalar!(
        "update jobs set cancel_requested = true where deployment_id = $1 and state in ('queued', 'running')
         returning id",
        id as _
    )
    .fetch_optional(conn)
    .await
}

/// The variables with which a deployment began, sealed, and the names of those that build steps may mount.
pub async fn variables(conn: &mut PgConnection, id: DeploymentId) -> sqlx::Result<(Vec<u8>, Vec<String>)> {
    let row = sqlx::query!("select variables, build_variables from deployments where id = $1", id as _)
        .fetch_one(conn)
        .await?;
    Ok((row.variables, row.build_variables.unwrap_or_default()))
}
