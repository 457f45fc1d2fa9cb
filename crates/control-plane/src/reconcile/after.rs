//! The command that a new release runs once it is live. Whatever becomes of it, the release serves.

use sqlx::PgConnection;
use tracing::info;

use super::rollouts::raise_workers;
use crate::bus::{self, Topic};
use crate::deployments::store::situations::{self, Rolling};
use crate::deployments::store::{progress, rollout, tasks};
use crate::generations::{self, Consumer};
use crate::instances::Task;
use crate::placement;
use crate::placement::config::Placement as Policy;
use crate::plan::placement::{choose, in_words};
use crate::plan::rollout::prepare::{End, cut_short};

const CODE: &str = "post_deploy_failed";

/// The deployment is live: its command begins, if its release is new and has one.
pub(super) async fn begin(conn: &mut PgConnection, rolling: &Rolling, policy: &Policy) -> anyhow::Result<()> {
    if !rolling.kind.makes_release() || rolling.settings.deploy.post_command.is_none() {
        return Ok(());
    }
    let id = rolling.id;
    placement::store::lock(conn).await?;
    let workers = situations::workers(conn, rolling, policy).await?;
    let choice = choose(&rolling.wish(policy).of_command(), workers, 1);
    let Some(place) = choice.places.into_iter().next() else {
        let why = in_words(&choice.refusals);
        let message = format!("The post-deploy command was not run: no worker has room for it ({why}).");
        return Ok(tasks::blame(conn, id, &cut_short(CODE, message)).await?);
    };
    tasks::start(conn, rolling, Task::PostDeploy, &place).await?;
    generations::raise(conn, Consumer::Worker(place.node)).await?;
    Ok(progress::say_line(conn, id, &format!("Running the post-deploy command on {}", place.name)).await?)
}

/// Takes note of the commands that have ended.
pub(super) async fn settle(conn: &mut PgConnection) -> anyhow::Result<()> {
    for running in tasks::running(conn, Task::PostDeploy, None).await? {
        let Some(end) = running.task.end(&Task::PostDeploy.to_string(), CODE) else { continue };
        let (id, on) = (running.deployment, rollout::unwant(conn, running.task.id).await?);
        raise_workers(conn, on).await?;
        info!(deployment.id = %id, app.id = %running.app, well = matches!(end, End::Well), "the post-deploy command has ended");
        match end {
            End::Well => progress::say_line(conn, id, "The post-deploy command ended well").await?,
            End::Failed(failure) => tasks::blame(conn, id, &failure).await?,
        }
        bus::say(conn, Topic::Deployments, id).await?;
    }
    Ok(())
}
