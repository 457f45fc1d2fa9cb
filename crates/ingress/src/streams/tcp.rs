//! Connections of a TCP stream.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::copy::both_ways;
use super::table::{Open, StreamEntry, StreamKey};
use super::{proxy_header, tls};
use crate::drain::Drain;
use crate::gateway::Gateway;
use crate::proxy_protocol::{self, Sender};
use crate::server::{handshake_timeout, keep_alive, refused};
use crate::upstream::InFlight;

/// Instances that are asked for one connection.
const TRIES: usize = 3;

/// What all connections of a listener share.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) gateway: Arc<Gateway>,
    pub(super) key: StreamKey,
    pub(super) drain: Drain,
    /// Connections of a stream that was removed end with this.
    pub(super) cut: CancellationToken,
    tls: Arc<OnceLock<TlsAcceptor>>,
}

impl Door {
    pub(super) fn new(gateway: Arc<Gateway>, key: StreamKey, drain: Drain) -> Self {
        Self { gateway, key, drain, cut: CancellationToken::new(), tls: Arc::default() }
    }

    /// Leads connections of `listener` to instances, until dropped. Those that were accepted go on.
    pub(super) async fn serve(&self, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.enter(stream, peer),
                Err(error) => {
                    // Out of file descriptors or memory: the connection waits, so give others time to end.
                    warn!(port = self.key.1, %error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn enter(&self, stream: TcpStream, peer: SocketAddr) {
        let Some(entry) = self.gateway.stream(self.key) else { return };
        let Some(open) = entry.open() else {
            refused("stream_connections");
            return debug!(port = self.key.1, %peer, "closed: the stream has too many connections");
        };
        let (door, cut) = (self.clone(), self.cut.clone());
        self.drain.spawn(async move {
            let connection = door.lead(&entry, stream, peer, open);
            if let Some(Err(error)) = cut.run_until_cancelled(connection).await {
                debug!(port = door.key.1, %peer, %error, "stream ended");
            }
        });
    }

    async fn lead(
        &self,
        entry: &StreamEntry,
        mut stream: TcpStream,
        peer: SocketAddr,
        open: Open,
    ) -> io::Result<()> {
        let limit = handshake_timeout(&self.gateway.options.limits);
        // A connection that is gone already fails here, and again, for good, when it is read.
        let _ = stream.set_nodelay(true).and_then(|()| keep_alive(&stream));
        let client = self.client(&mut stream, peer, limit).await?;
        if !entry.lets_in(client.ip()) {
            refused("stream_allow");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "its address is not let in"));
        }
        let Some(_place) = self.gateway.clients.admit(client.ip()) else {
            refused("client_connections");
            return Err(io::Error::other("too many connections of one client"));
        };
        let to = stream.local_addr()?;
        if entry.tls.is_none() {
            return self.join(entry, stream, (client, to), open).await;
        }
        let acceptor = self.tls.get_or_init(|| tls::acceptor(&self.gateway, self.key));
        let handshake = tokio::time::timeout(limit, acceptor.accept(stream));
        let stream = handshake.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        self.join(entry, stream, (client, to), open).await
    }

    /// Who connects: the peer, or whom a balancer in front names.
    async fn client(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
        limit: Duration,
    ) -> io::Result<SocketAddr> {
        let address = peer.ip().to_canonical();
        if !self.gateway.options.proxy_protocol.iter().any(|network| network.contains(&address)) {
            return Ok(peer);
        }
        let read = tokio::time::timeout(limit, proxy_protocol::read(stream));
        Ok(match read.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
            Sender::Balancer => peer,
            Sender::Client { address, .. } => SocketAddr::new(address, 0),
        })
    }

    /// From here on bytes go both ways.
    async fn join<C>(
        &self,
        entry: &StreamEntry,
        mut client: C,
        ends: (SocketAddr, SocketAddr),
        open: Open,
    ) -> io::Result<()>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        // An instance that left meanwhile is nowhere to begin at.
        let now = self.gateway.stream(self.key);
        let entry = now.as_deref().unwrap_or(entry);
        let (mut upstream, _in_flight) = connect(entry).await?;
        open.0.connected();
        if entry.proxy_protocol {
            upstream.write_all(&proxy_header::header(ends.0, ends.1)).await?;
        }
        both_ways(&mut client, &mut upstream, entry.idle, &open.0).await
    }
}

/// A connection to an instance. One that refuses is asked last for a while.
async fn connect(entry: &StreamEntry) -> io::Result<(TcpStream, InFlight)> {
    let mut tried = Vec::new();
    while tried.len() < TRIES
        && let Some(endpoint) = entry.upstreams.pick(&tried, None)
    {
        let in_flight = endpoint.begin();
        match endpoint.open().await {
            Ok(stream) => return Ok((stream, in_flight)),
            Err(error) => {
                debug!(upstream = %endpoint.address(), %error, "an instance cannot be reached");
                endpoint.mark_down();
                entry.tally.upstream_failed();
                tried.push(endpoint.address());
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::ConnectionRefused, "no instance could be reached"))
}
