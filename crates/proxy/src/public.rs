//! What serves the public, however the process learns its routes: listeners, upkeep, and their soft end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use daemon::lifecycle::Lifecycle;
use ingress::{Drain, Gateway, Scheme};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Seconds between SIGTERM and the end of idle connections, unless set: time for clients that are active to be told.
pub(crate) const DRAIN_S: u16 = 1;
/// The most that may be set.
pub(crate) const DRAIN_LONGEST_S: u16 = 600;
/// Time for running requests after the drain.
const GRACE: Duration = Duration::from_secs(30);
/// What a drain takes beyond [`GRACE`] at most.
const MORE: Duration = Duration::from_secs(3);

/// The listeners of a gateway.
#[derive(Debug)]
pub(crate) struct Public {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) http: Option<TcpListener>,
    pub(crate) https: Option<TcpListener>,
    /// Where apps' own ports are listened on, if they are.
    pub(crate) streams: Option<IpAddr>,
}

/// The end of a process that serves the public.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    /// SIGTERM came: `/health` says so, and so do answers.
    pub(crate) begun: CancellationToken,
    /// Everything was served: what serving needs may end.
    pub(crate) served: CancellationToken,
    /// From the begin until idle connections are closed.
    wait: Duration,
}

impl Ending {
    /// Of a process that goes on serving for `wait` after SIGTERM.
    pub(crate) fn new(lifecycle: &Lifecycle, wait: Duration) -> Self {
        Self { begun: lifecycle.stopping(), served: CancellationToken::new(), wait }
    }

    /// How long all of it may take.
    pub(crate) fn limit(&self) -> Duration {
        self.wait + GRACE + MORE
    }
}

impl Public {
    /// Serves until the process is told to stop, for as long after it as `ending` says, and lets what runs then finish
    /// within [`GRACE`].
    pub(crate) fn spawn(self, lifecycle: &mut Lifecycle, ending: &Ending) -> std::io::Result<()> {
        let drain = Drain::in_steps();
        for (name, listener, scheme) in
            [("http", self.http, Scheme::Http), ("https", self.https, Scheme::Https)]
        {
            let Some(listener) = listener else { continue };
            info!(address = %listener.local_addr()?, scheme = scheme.as_str(), "listening");
            let serving = ingress::serve(Arc::clone(&self.gateway), listener, scheme, drain.clone());
            lifecycle.spawn(name, async move { Ok(serving.await?) });
        }
        if let Some(address) = self.streams {
            let serving = ingress::streams::serve(Arc::clone(&self.gateway), address, drain.clone());
            lifecycle.spawn("streams", async move {
                serving.await;
                Ok(())
            });
        }
        let (maintained, served) = (self.gateway, ending.served.clone());
        lifecycle.spawn("upstream upkeep", async move {
            maintained.maintain(served).await;
            Ok(())
        });
        let ending = ending.clone();
        lifecycle.spawn("drain", async move {
            ending.begun.cancelled().await;
            drain.begin();
            info!(drain_s = ending.wait.as_secs(), connections = drain.open(), "draining");
            tokio::time::sleep(ending.wait).await;
            let cut = drain.finish(GRACE).await;
            ending.served.cancel();
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
