//! This replica knows from which addresses proxies forward requests to it.

use daemon::reconcile::Reconciler;
use protocol::identity::Role;

use crate::app::AppState;
use crate::nodes;

pub struct KnownProxies(pub AppState);

impl Reconciler for KnownProxies {
    fn name(&self) -> &'static str {
        "known proxies"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let app = &self.0;
        let mut conn = app.db.acquire().await?;
        let nodes = nodes::store::all(&mut conn).await?;
        let proxies = nodes.iter().filter(|node| node.roles.contains(&Role::Proxy));
        app.proxies.replace(proxies.map(|node| node.mesh_address).collect());
        Ok(())
    }
}
