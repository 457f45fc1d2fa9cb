//! SQL of the commands of a release, which run as instances that serve nobody.

use std::time::Duration;

use protocol::ids::{AppId, DeploymentId, InstanceId, NodeId};
use protocol::job::Failure;
use protocol::report::InstanceReport;
use protocol::spec::Resources;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::progress;
use super::situations::{GONE_S, Rolling};
use crate::instances::Task;
use crate::plan::placement::Place;
use crate::plan::rollout::prepare::{self, Prepare};

/// How far the command before a roll-out is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "kebab-case")]
pub enum Preparation {
    Begun,
    /// It ended well.
    Done,
}

/// The command of the deployment is to run there.
pub async fn start(
    conn: &mut PgConnection,
    rolling: &Rolling,
    task: Task,
    place: &Place,
) -> sqlx::Result<()> {
    let Resources { memory_mb, cpu_millis, .. } = rolling.settings.resources;
    sqlx::query!(
        "insert into instances (id, app_id, release_id, deployment_id, node_id, host_port, task, memory_mb, cpu_millis)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        InstanceId::new() as _,
        rolling.app_id as _,
        rolling.release_id as _,
        rolling.id as _,
        place.node as _,
        place.port,
        task as _,
        i32::try_from(memory_mb).unwrap_or(i32::MAX),
        i32::try_from(cpu_millis).unwrap_or(i32::MAX)
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How far the command before the roll-out is.
pub async fn prepare(conn: &mut PgConnection, rolling: &Rolling) -> sqlx::Result<Prepare> {
    let has_command = rolling.kind.makes_release() && rolling.settings.deploy.pre_command.is_some();
    match rolling.preparation {
        Some(Preparation::Done) => return Ok(Prepare::Done),
        None if !has_command => return Ok(Prepare::Done),
        None => return Ok(Prepare::Due),
        Some(Preparation::Begun) => {}
    }
    let running = running(conn, Task::PreDeploy, Some(rolling.id)).await?;
    Ok(running.into_iter().next().map_or(Prepare::Lost, |running| Prepare::Runs(Box::new(running.task))))
}

/// The command before the roll-out is as far as that.
pub async fn set_preparation(
    conn: &mut PgConnection,
    id: DeploymentId,
    preparation: Preparation,
) -> sqlx::Result<()> {
    sqlx::query!("update deployments set preparation = $2 where id = $1", id as _, preparation as _)
        .execute(conn)
        .await?;
    Ok(())
}

/// A command that should still run.
#[derive(Debug)]
pub struct Running {
    pub deployment: DeploymentId,
    pub app: AppId,
    pub on: NodeId,
    pub task: prepare::Task,
}

/// Commands of a kind that should still run, of one deployment or of all.
pub async fn running(
    conn: &mut PgConnection,
    task: Task,
    of: Option<DeploymentId>,
) -> sqlx::Result<Vec<Running>> {
    let rows = sqlx::query!(
        r#"select instances.id, app_id, deployment_id, node_id, nodes.name, state,
                  report as "report: Json<InstanceReport>",
                  extract(epoch from now() - instances.created_at)::float8 as "age_s!",
                  coalesce(missing_since < now() - make_interval(secs => $3), false) as "gone!"
           from instances join nodes on nodes.id = instances.node_id
           where wanted and task = $1 and ($2::uuid is null or deployment_id = $2) order by instances.id"#,
        task as _,
        of as _,
        GONE_S
    )
    .fetch_all(conn)
    .await?;
    let running = rows.into_iter().map(|row| Running {
        deployment: row.deployment_id,
        app: row.app_id,
        on: row.node_id,
        task: prepare::Task {
            id: row.id,
            node: row.name,
            node_gone: row.gone,
            state: row.state,
            failure: row.report.and_then(|report| report.0.failure),
            age: Duration::try_from_secs_f64(row.age_s).unwrap_or_default(),
        },
    });
    Ok(running.collect())
}

/// A failure of a deployment that serves nevertheless.
pub async fn blame(conn: &mut PgConnection, id: DeploymentId, failure: &Failure) -> sqlx::Result<()> {
    sqlx::query!("update deployments set failure = $2 where id = $1", id as _, Json(failure) as _)
        .execute(&mut *conn)
        .await?;
    progress::say_line(conn, id, &failure.message).await
}
