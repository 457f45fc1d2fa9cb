//! A connection that left HTTP (a WebSocket): bytes both ways until one side ends or the process stops. It is never
//! cut for being quiet; TCP keep-alive notices a peer that is gone.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};
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
        let (mut client, mut upstream) = (Counted::new(TokioIo::new(client)), TokioIo::new(upstream));
        let copy = copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER_BYTES, BUFFER_BYTES);
        tokio::select! {
            result = copy => if let Err(error) = result {
                debug!(%error, "tunnel ended");
            },
            () = kill.cancelled() => debug!("tunnel cut: the process stops"),
        }
        self.metrics.tunnelled(client.read, client.written);
        drop(self.held);
    }
}

/// Counts what passes, however it ends.
struct Counted<T> {
    io: T,
    read: u64,
    written: u64,
}

impl<T> Counted<T> {
    fn new(io: T) -> Self {
        Self { io, read: 0, written: 0 }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, into);
        self.read += (into.filled().len() - before) as u64;
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = polled {
            self.written += written as u64;
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
