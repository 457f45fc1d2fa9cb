//! Carries out what `plan::rollout` decides, one transaction per deployment; lets old instances go once nobody uses
//! them; clears away what ended deployments left.

use std::collections::BTreeSet;

use daemon::reconcile::Reconciler;
use protocol::ids::{DeploymentId, InstanceId, NodeId};
use protocol::job::Stage;
use sqlx::PgConnection;
use tracing::info;

use super::{after, stops};
use crate::app::AppState;
use crate::bus::{self, Topic};
use crate::deployments::store::progress;
use crate::deployments::store::situations::{self, Rolling};
use crate::deployments::store::tasks::{self, Preparation};
use crate::deployments::store::{rollout, undo};
use crate::generations::{self, Consumer};
use crate::healing::lease;
use crate::instances::Task;
use crate::placement::config::Placement as Policy;
use crate::plan::rollout::{Situation, Step};
use crate::{placement, plan};

pub struct Rollouts(pub AppState);

impl Reconciler for Rollouts {
    fn name(&self) -> &'static str {
        "rollouts"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let db = &self.0.db;
        let mut tx = db.begin().await?;
        for deployment in rollout::startable(&mut tx).await? {
            rollout::start(&mut tx, deployment).await?;
        }
        tx.commit().await?;
        // One that cannot be read or moved on must not hold up the others.
        let mut failed = Ok(());
        let rolling = {
            let mut conn = db.acquire().await?;
            match to_advance(&mut conn, &self.0.config.placement).await {
                Ok(rolling) => rolling,
                Err(error) => {
                    failed = Err(anyhow::Error::from(error).context("all roll-outs at once"));
                    situations::ids(&mut conn).await?
                }
            }
        };
        for deployment in rolling {
            if let Err(error) = advance_far(&self.0, deployment).await {
                failed = Err(error.context(format!("deployment {deployment}")));
            }
        }
        let mut tx = db.begin().await?;
        clear_away(&mut tx).await?;
        stops::advance(&mut tx).await?;
        after::settle(&mut tx).await?;
        drain(&mut tx).await?;
        tx.commit().await?;
        failed
    }
}

/// Roll-outs that have a step to take, or wait for something else than they said. There may be a thousand that wait: each
/// that is held and looked at by itself costs what a step costs.
async fn to_advance(conn: &mut PgConnection, policy: &Policy) -> sqlx::Result<Vec<DeploymentId>> {
    let rolling = situations::rolling(conn).await?;
    let situations = situations::situations(conn, rolling, policy).await?;
    let has_to = |(rolling, situation): &(Rolling, Situation)| {
        // Whose leases are over is known under the app's lock alone.
        situation.exclusive || !rolling.waits(&plan::rollout::plan(situation))
    };
    Ok(situations.into_iter().filter(has_to).map(|(rolling, _)| rolling.id).collect())
}

/// Steps that lead straight to further steps are taken in one pass.
async fn advance_far(app: &AppState, id: DeploymentId) -> anyhow::Result<()> {
    while advance(app, id).await? {}
    Ok(())
}

/// Takes the next steps of one deployment; `true` when more may follow at once.
pub(crate) async fn advance(app: &AppState, id: DeploymentId) -> anyhow::Result<bool> {
    let mut tx = app.db.begin().await?;
    let Some(rolling) = situations::lock(&mut tx, id).await? else { return Ok(false) };
    let policy = &app.config.placement;
    let mut situation = situations::situation(&mut tx, &rolling, policy).await?;
    if situation.exclusive {
        situation.endings = lease::endings(app, &mut tx, rolling.app_id, id).await?;
    }
    let mut steps = plan::rollout::plan(&situation);
    if steps.contains(&Step::LookAtWorkers) {
        placement::store::lock(&mut tx).await?;
        situation.workers = Some(situations::workers(&mut tx, &rolling, policy).await?);
        steps = plan::rollout::plan(&situation);
    }
    let mut again = false;
    let mut waiting_for = None;
    for step in steps {
        match step {
            Step::Wait(what) => waiting_for = Some(what),
            step => {
                info!(deployment.id = %id, app.id = %rolling.app_id, %step, "roll-out");
                again |= matches!(step, Step::Prepared(_) | Step::Switch { .. } | Step::Abandon { .. });
                take(&mut tx, &rolling, policy, step).await?;
                rollout::stepped(&mut tx, id).await?;
            }
        }
    }
    rollout::set_waiting_for(&mut tx, id, waiting_for.as_deref()).await?;
    tx.commit().await?;
    Ok(again)
}

async fn take(conn: &mut PgConnection, rolling: &Rolling, policy: &Policy, step: Step) -> anyhow::Result<()> {
    let id = rolling.id;
    match step {
        Step::Run(place) => {
            tasks::start(conn, rolling, Task::PreDeploy, &place).await?;
            tasks::set_preparation(conn, id, Preparation::Begun).await?;
            generations::raise(conn, Consumer::Worker(place.node)).await?;
            progress::say_line(conn, id, &format!("Running the pre-deploy command on {}", place.name))
                .await?;
        }
        Step::Prepared(task) => {
            let on = rollout::unwant(conn, task).await?;
            raise_workers(conn, on).await?;
            tasks::set_preparation(conn, id, Preparation::Done).await?;
            progress::say_line(conn, id, "The pre-deploy command ended well").await?;
        }
        Step::Start(place) => {
            rollout::start_instance(conn, rolling, InstanceId::new(), &place).await?;
            generations::raise(conn, Consumer::Worker(place.node)).await?;
            progress::say_line(conn, id, &format!("Starting an instance on {}", place.name)).await?;
        }
        Step::Abandon { id: instance, node, in_rotation } => {
            if in_rotation {
                let generation = generations::raise(conn, Consumer::Routes).await?;
                rollout::take_out(conn, generation, &[instance]).await?;
            }
            let on = rollout::unwant(conn, instance).await?;
            raise_workers(conn, on).await?;
            progress::say_line(conn, id, &format!("{node} is gone: placing its instance elsewhere")).await?;
        }
        Step::Clear(leave) => {
            let generation = generations::raise(conn, Consumer::Routes).await?;
            rollout::take_out(conn, generation, &leave).await?;
            progress::say_line(conn, id, "Exclusive: the old instance ends before the new one starts")
                .await?;
        }
        Step::Probe => progress::enter(conn, id, Stage::Probe, None).await?,
        Step::Switch { enter, leave } => {
            let generation = generations::raise(conn, Consumer::Routes).await?;
            rollout::switch(conn, generation, &enter, &leave).await?;
            rollout::set_switched(conn, id, generation).await?;
            progress::enter(conn, id, Stage::Route, None).await?;
            let healthy = match enter.len() {
                0 => "Nothing has to start".to_owned(),
                1 => "The instance is healthy".to_owned(),
                count => format!("All {count} instances are healthy"),
            };
            progress::say_line(conn, id, &format!("{healthy}: switching over")).await?;
        }
        Step::GoLive => {
            rollout::go_live(conn, rolling).await?;
            progress::say_line(conn, id, "Live").await?;
            after::begin(conn, rolling, policy).await?;
        }
        Step::Fail(failure) => {
            progress::fail(conn, id, &failure).await?;
            progress::say_line(conn, id, &failure.message).await?;
        }
        // Who plans has looked at them.
        Step::LookAtWorkers | Step::Wait(_) => {}
    }
    bus::say(conn, Topic::Instances, rolling.app_id).await?;
    Ok(())
}

/// Instances that left the table stop once every connected proxy has a table without them and their drain time passed.
async fn drain(conn: &mut PgConnection) -> anyhow::Result<()> {
    let drained = rollout::drained(conn).await?;
    let apps: BTreeSet<_> = drained.iter().map(|(app, _)| *app).collect();
    raise_workers(conn, drained.into_iter().map(|(_, node)| node)).await?;
    for app in apps {
        for deployment in rollout::drains_over(conn, app).await? {
            progress::close(conn, deployment, Stage::Drain).await?;
            bus::say(conn, Topic::Deployments, deployment).await?;
        }
        bus::say(conn, Topic::Instances, app).await?;
    }
    Ok(())
}

/// Instances of deployments that failed or were cancelled: out of the table as `plan::undo` says, and stopped.
async fn clear_away(conn: &mut PgConnection) -> anyhow::Result<()> {
    for app in undo::due(conn).await? {
        let Some(step) = plan::undo::plan(&undo::situation(conn, app).await?) else { continue };
        let (enter, leave) = (step.enter.len(), step.leave.len());
        info!(app.id = %app, enter, leave, "undo a roll-out");
        let generation = generations::raise(conn, Consumer::Routes).await?;
        rollout::switch(conn, generation, &step.enter, &step.leave).await?;
        bus::say(conn, Topic::Instances, app).await?;
    }
    let left = rollout::left_over(conn).await?;
    raise_workers(conn, left).await
}

pub(super) async fn raise_workers(
    conn: &mut PgConnection,
    nodes: impl IntoIterator<Item = NodeId>,
) -> anyhow::Result<()> {
    let nodes: BTreeSet<NodeId> = nodes.into_iter().collect();
    for node in nodes {
        generations::raise(conn, Consumer::Worker(node)).await?;
    }
    Ok(())
}
