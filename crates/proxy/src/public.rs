//! What serves the public, however the process learns its routes: listeners, upkeep, and their soft end.

use std::sync::Arc;
use std::time::Duration;

use daemon::lifecycle::Lifecycle;
use ingress::{Drain, Gateway, Scheme};
use tokio::net::TcpListener;
use tracing::{info, warn};

/// Time for running requests after a stop.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

/// The listeners of a gateway.
#[derive(Debug)]
pub(crate) struct Public {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) http: Option<TcpListener>,
    pub(crate) https: Option<TcpListener>,
}

impl Public {
    /// Serves until the process is told to stop, and lets what runs then finish within [`GRACE`].
    pub(crate) fn spawn(self, lifecycle: &mut Lifecycle) -> std::io::Result<()> {
        let stop = lifecycle.stopping();
        let drain = Drain::new(stop.clone());
        for (name, listener, scheme) in
            [("http", self.http, Scheme::Http), ("https", self.https, Scheme::Https)]
        {
            let Some(listener) = listener else { continue };
            info!(address = %listener.local_addr()?, scheme = scheme.as_str(), "listening");
            let serving = ingress::serve(Arc::clone(&self.gateway), listener, scheme, drain.clone());
            lifecycle.spawn(name, async move { Ok(serving.await?) });
        }
        let (maintained, stopping) = (self.gateway, stop.clone());
        lifecycle.spawn("upstream upkeep", async move {
            maintained.maintain(stopping).await;
            Ok(())
        });
        lifecycle.spawn("drain", async move {
            stop.cancelled().await;
            let cut = drain.finish(GRACE).await;
            if cut > 0 {
                warn!(
                    connections = cut,
                    grace_s = GRACE.as_secs(),
                    "cut connections that did not finish in time"
                );
            }
            Ok(())
        });
        Ok(())
    }
}
