//! What the route table is made from: apps, their host names, and their instances in rotation.

pub mod api;
pub mod settings;
pub mod store;
#[cfg(test)]
mod tests;

use protocol::ids::NodeId;
use protocol::spec::ProxySpec;
use sqlx::PgConnection;

use crate::{nodes, plan};

/// Routers up to which Traefik does well: it looks through them one after the other.
const TRAEFIK_ROUTERS: i64 = 1000;

/// What is wrong with so many routes on a proxy whose requests `engine` carries.
pub fn crowded(engine: Option<&str>, routes: i64) -> Option<String> {
    (engine == Some("traefik") && routes > TRAEFIK_ROUTERS).then(|| {
        format!(
            "Traefik carries {routes} routes, and is made for up to {TRAEFIK_ROUTERS}: each request looks through all of them. Use the built-in engine: remove `[traefik]` from its proxy.toml"
        )
    })
}

/// What one worker answers for by itself: the apps of the direct zones that point at it. `None` without such a node.
pub async fn of_worker(conn: &mut PgConnection, id: NodeId) -> sqlx::Result<Option<ProxySpec>> {
    let Some(worker) = nodes::store::known(conn, id).await? else { return Ok(None) };
    let served = store::direct(conn, id).await?;
    Ok(Some(plan::zone::spec(worker.mesh_address, served)))
}
