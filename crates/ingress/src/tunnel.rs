//! A connection that left HTTP (a WebSocket): bytes both ways until one side ends or the process stops. It is never
//! cut for being quiet; TCP keep-alive notices a peer that is gone.

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::observe::RouteMetrics;
use crate::server::Connection;
use crate::upstream::{BUFFER_BYTES, InFlight};

/// Both ends of a tunnel and what it counts for.
pub(crate) struct Tunnel {
    pub(crate) client: OnUpgrade,
    pub(crate) upstream: OnUpgrade,
    pub(crate) metrics: Arc<RouteMetrics>,
    /// Keeps the upstream's load and the client's place counted.
    pub(crate) held: (InFlight, Arc<Connection>),
}

impl Tunnel {
    pub(crate) async fn run(self, kill: CancellationToken) {
        let (client, upstream) = match tokio::try_join!(self.client, self.upstream) {
            Ok(ends) => ends,
            Err(error) => {
                debug!(%error, "upgrade was not completed");
                return;
            }
        };
        let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        let copy = copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER_BYTES, BUFFER_BYTES);
        tokio::select! {
            result = copy => match result {
                Ok((received, sent)) => self.metrics.tunnelled(received, sent),
                Err(error) => debug!(%error, "tunnel ended"),
            },
            () = kill.cancelled() => debug!("tunnel cut: the process stops"),
        }
        drop(self.held);
    }
}
