//! Handing out jobs. Any control plane claims for any connected agent; the one that holds the agent's socket sends.

use std::collections::HashSet;

use anyhow::Context;
use protocol::identity::AgentKind;
use protocol::job::{BuildSecrets, Work};
use sqlx::PgConnection;
use tracing::{info, warn};

use super::store;
use crate::app::AppState;
use crate::hub::Key;
use crate::{deployments, git_access, http, registries, variables};

/// Claims until there is no job to start or no agent with room.
pub async fn claim_all(app: &AppState) -> anyhow::Result<()> {
    for agent in [AgentKind::Worker, AgentKind::Proxy] {
        let mut free = store::Free::of(agent);
        loop {
            let mut tx = app.db.begin().await?;
            let Some(claimed) = store::claim(&mut tx, &mut free).await.context("cannot claim a job")? else {
                break;
            };
            tx.commit().await?;
            info!(job.id = %claimed.id, node.id = %claimed.node, node.name = claimed.node_name, "scheduler: assigned job {} to {}", claimed.id, claimed.node_name);
        }
    }
    Ok(())
}

/// Sends what agents that are connected here have not been sent. One look finds what that is for all of them.
pub async fn to_connected(app: &AppState) -> anyhow::Result<()> {
    let assigned = store::assigned(&mut *app.db.acquire().await?).await?;
    let mut without = HashSet::new();
    for job in assigned {
        let key = Key { node: job.node, kind: job.agent };
        if app.hub.lacks_job(key, job.id) {
            without.insert(key);
        } else if job.cancel_requested {
            app.hub.cancel_job(key, job.id);
        }
    }
    for key in without {
        to_agent(app, key).await?;
    }
    Ok(())
}

/// Starts and cancels the jobs of one agent, each once per connection. A job that the agent runs already is not
/// changed by being started again.
pub async fn to_agent(app: &AppState, key: Key) -> anyhow::Result<()> {
    let mut conn = app.db.acquire().await?;
    for job in store::running(&mut conn, key.node, key.kind).await? {
        if app.hub.lacks_job(key, job.id) {
            match job.open(&app.vault) {
                Ok(mut open) => match tell_secrets(app, &mut conn, &mut open.work).await {
                    Ok(()) => app.hub.start_job(key, open),
                    Err(error) => warn!(job.id = %job.id, ?error, "a job's secrets cannot be opened"),
                },
                Err(error) => warn!(job.id = %job.id, %error, "a job cannot be opened"),
            }
        }
        if job.cancel_requested {
            app.hub.cancel_job(key, job.id);
        }
    }
    Ok(())
}

/// Adds what a build may know and its row does not have: the row is there for longer than the build.
async fn tell_secrets(app: &AppState, conn: &mut PgConnection, work: &mut Work) -> http::Result<()> {
    let Work::Build(build) = work else { return Ok(()) };
    let registries = registries::store::logins(conn, &app.vault, build.app_id).await?;
    let (sealed, mounted) = deployments::store::variables(conn, build.deployment_id).await?;
    let variables = variables::open(&app.vault, build.app_id, &sealed)?;
    let git = git_access::store::open(conn, &app.vault, build.app_id).await?;
    *build.secrets = BuildSecrets { registries, variables, mounted, git };
    Ok(())
}
