//! Workers to whom nothing but the private network is new are told that alone, and all of them from one look at the tables:
//! what a project reaches is the same on every worker. An app of a large project that comes or goes costs as little as it
//! changes, not the desired state of every worker that has another app of the project.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::ids::{NodeId, ProjectId};
use sqlx::PgConnection;
use tracing::debug;

use crate::app::AppState;
use crate::generations::{self, Consumer};
use crate::hub::{Key, Seen};
use crate::{network, plan};

/// Sends each of the workers what is new to it. Who has missed more than the network by now is left to the next pass.
pub(super) async fn send(app: &AppState, keys: &[Key]) -> anyhow::Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    // What is called generation 7 is generation 7, as in `dispatch_specs`.
    let mut tx = app.db.begin().await?;
    sqlx::query!("set transaction isolation level repeatable read").execute(&mut *tx).await?;
    let current = generations::all(&mut tx).await?;
    let nodes: Vec<NodeId> = keys.iter().map(|key| key.node).collect();
    let on = network::store::projects_on(&mut tx, &nodes).await?;
    let seen = seen(&mut tx, on.values().flatten().copied().collect()).await?;
    tx.commit().await?;
    for key in keys {
        let Some(current) = current.get(&Consumer::of(key.node, key.kind).to_string()) else { continue };
        let Some(from) = current.only_network_since else { continue };
        let projects = on.get(&key.node).into_iter().flatten().filter_map(|project| seen.get(project));
        let projects: Vec<_> = projects.cloned().collect();
        debug!(node.id = %key.node, generation = current.generation, "change of the private network sent");
        app.hub.send_network(*key, from, current.generation, &projects);
    }
    Ok(())
}

async fn seen(
    conn: &mut PgConnection,
    projects: BTreeSet<ProjectId>,
) -> sqlx::Result<BTreeMap<ProjectId, Arc<Seen>>> {
    let projects: Vec<ProjectId> = projects.into_iter().collect();
    let viewers = network::store::viewers_of(conn, &projects).await?;
    let reached = network::store::reached(conn, &projects).await?;
    let apps: BTreeSet<_> = reached.iter().map(|one| one.app_id).collect();
    let serving = network::store::serving(conn, apps).await?;
    let projects = plan::network::projects(viewers, &reached, &serving).into_iter();
    Ok(projects.map(|(id, project)| (id, Arc::new(Seen::from(project)))).collect())
}
