//! Carries out what `plan::stop` decides. The drain of the roll-outs ends what has left the table.

use sqlx::PgConnection;
use tracing::info;

use super::rollouts::raise_workers;
use crate::bus::{self, Topic};
use crate::deployments::store::{rollout, stop};
use crate::generations::{self, Consumer};
use crate::plan::stop::{Step, plan};

/// Takes the next steps of all stopped apps.
pub(super) async fn advance(conn: &mut PgConnection) -> anyhow::Result<()> {
    for (app, situation) in stop::situations(conn).await? {
        for step in plan(&situation) {
            match &step {
                Step::Wait(_) => continue,
                Step::Leave(ids) => {
                    let generation = generations::raise(conn, Consumer::Routes).await?;
                    rollout::take_out(conn, generation, ids).await?;
                }
                Step::End(ids) => {
                    let nodes = stop::end(conn, ids).await?;
                    raise_workers(conn, nodes).await?;
                }
            }
            info!(app.id = %app, %step, "stop");
            bus::say(conn, Topic::Instances, app).await?;
        }
    }
    Ok(())
}
