//! What agents say about their jobs. A job that does not run on the agent that speaks (any more) is left alone.

use anyhow::Context;
use protocol::ids::{DeploymentId, JobId, NodeId};
use protocol::job::{Built, Failure, Outcome, Stage};
use protocol::message::JobDone;
use protocol::report::{JobLog, JobProgress};
use sqlx::PgConnection;
use tracing::info;

use super::store;
use crate::app::AppState;
use crate::bus::{self, Topic};
use crate::deployments::store::progress;
use crate::releases::store::{NewRelease, create};
use crate::{certificates, variables};

pub async fn progress(conn: &mut PgConnection, node: NodeId, report: &JobProgress) -> sqlx::Result<()> {
    let job = store::lock_running(conn, report.job_id, node).await?;
    let Some(deployment) = job.and_then(|job| job.deployment_id) else { return Ok(()) };
    progress::enter(conn, deployment, report.stage, Some(report.at)).await?;
    match &report.recipe {
        Some(recipe) => progress::set_recipe(conn, deployment, recipe).await,
        None => Ok(()),
    }
}

pub async fn log(conn: &mut PgConnection, node: NodeId, log: &JobLog) -> sqlx::Result<()> {
    let job = store::lock_running(conn, log.job_id, node).await?;
    let Some(job) = job else { return Ok(()) };
    let Some(deployment) = job.deployment_id else {
        return certificates::store::attempts::log(conn, log.job_id, &log.lines).await;
    };
    if store::append_log(conn, deployment, &log.lines).await? {
        bus::say(conn, Topic::DeploymentLog, deployment).await?;
    }
    Ok(())
}

pub async fn done(
    app: &AppState,
    conn: &mut PgConnection,
    node: NodeId,
    done: JobDone,
) -> anyhow::Result<()> {
    let Some(job) = store::lock_running(conn, done.job_id, node).await? else {
        info!(job.id = %done.job_id, node.id = %node, "the end of a job that does not run: ignored");
        return Ok(());
    };
    match (job.deployment_id, job.host) {
        (Some(deployment), _) => build_done(app, conn, node, done.job_id, deployment, done.outcome).await,
        (None, Some(host)) => certificates::inbox::done(app, conn, done.job_id, &host, done.outcome).await,
        (None, None) => {
            Ok(store::finish(conn, done.job_id, "failed", Some("a job without a purpose")).await?)
        }
    }
}

async fn build_done(
    app: &AppState,
    conn: &mut PgConnection,
    node: NodeId,
    job: JobId,
    deployment: DeploymentId,
    outcome: Outcome,
) -> anyhow::Result<()> {
    let failure = match outcome {
        Outcome::Built(built) => match release(app, conn, node, deployment, &built).await? {
            Ok(()) => return Ok(store::finish(conn, job, "succeeded", None).await?),
            Err(failure) => failure,
        },
        Outcome::Failed(failure) | Outcome::Limited { failure, .. } => failure,
        Outcome::Cancelled => {
            store::finish(conn, job, "cancelled", None).await?;
            progress::cancelled(conn, deployment).await?;
            return Ok(());
        }
        Outcome::Issued(_) => anyhow::bail!("a build brought a certificate"),
    };
    store::finish(conn, job, "failed", Some(&failure.message)).await?;
    progress::fail(conn, deployment, &failure).await?;
    Ok(())
}

/// Makes the release and begins its roll-out.
async fn release(
    app: &AppState,
    conn: &mut PgConnection,
    node: NodeId,
    id: DeploymentId,
    built: &Built,
) -> anyhow::Result<Result<(), Failure>> {
    let deployment = progress::building(conn, id).await?;
    let Some(deployment) = deployment else { return Ok(Ok(())) };
    let mut settings = deployment.settings.0;
    let Some(port) = settings.port.or_else(|| built.exposed_ports.iter().min().copied()) else {
        return Ok(Err(no_port()));
    };
    settings.port = Some(port);
    let app_id = deployment.app_id;
    let built_with = match &deployment.build_variables {
        Some(names) => {
            let all = variables::open(&app.vault, app_id, &deployment.variables)?;
            Some(variables::seal(&app.vault, app_id, &variables::only(&all, names)))
        }
        None => None,
    };
    let (release, number) = create(
        conn,
        NewRelease {
            app_id,
            image_id: &built.image_id,
            image_reference: &built.reference,
            image_size_bytes: i64::try_from(built.size_bytes).unwrap_or(i64::MAX),
            image_node_id: Some(node),
            source: deployment.source,
            commit_id: built.commit.as_deref(),
            settings: &settings,
            variables: &deployment.variables,
            built_with: built_with.as_deref(),
        },
    )
    .await
    .context("cannot make the release")?;
    progress::roll_out(conn, id, release).await?;
    progress::forget_archive(conn, id).await?;
    progress::enter(conn, id, Stage::Start, None).await?;
    progress::say_line(conn, id, &format!("Release {number} made, port {port}")).await?;
    bus::say(conn, Topic::Apps, app_id).await?;
    Ok(Ok(()))
}

fn no_port() -> Failure {
    Failure {
        code: "no_port".to_owned(),
        message: "The image exposes no port, and the app's settings name none.".to_owned(),
        hint: Some(
            "Say `EXPOSE 8080` in the Containerfile, or set the app's port to the one it listens on."
                .to_owned(),
        ),
        stage: Stage::Build,
        exit_code: None,
        out_of_memory: false,
        last_lines: Vec::new(),
        probe: None,
    }
}
