//! Accepting connections, learning who is there, and ending softly.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::LazyConfigAcceptor;
use tracing::{debug, warn};

use crate::challenge;
use crate::conversation::{Requests, serve_http1, serve_http2};
use crate::drain::Drain;
use crate::gateway::Gateway;
use crate::headers::Origin;
use crate::limits::{Limits, Place};
use crate::options::Visitor;
use crate::proxy_protocol::{self, Sender};
use crate::table::host_key;
use crate::tls::{Tls, UNRECOGNIZED_NAME};

/// Time for TLS's handshake and the header of the PROXY protocol, unless a request's head has less.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How the client reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// One client connection, as its requests see it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) scheme: Scheme,
    /// Canonical: never IPv4 in IPv6.
    pub(crate) client: IpAddr,
    pub(crate) origin: Origin,
    /// The name of the TLS handshake, as a key of the certificate table.
    pub(crate) server_name: Option<Box<str>>,
    pub(crate) drain: Drain,
    pub(crate) requests: Requests,
    _places: (OwnedSemaphorePermit, Option<Place>),
}

impl Connection {
    /// Who asks, for the options of a route.
    pub(crate) fn visitor(&self) -> Visitor {
        Visitor { address: self.client, scheme: self.scheme }
    }
}

/// Answers connections of `listener` from `gateway` until the drain accepts nothing new. Connections go on afterwards;
/// wait for them with [`Drain::finish`].
pub async fn serve(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    scheme: Scheme,
    drain: Drain,
) -> Result<(), rustls::Error> {
    let tls = match scheme {
        Scheme::Http => None,
        Scheme::Https => Some(Arc::new(Tls::new(&gateway)?)),
    };
    let places = Arc::new(Semaphore::new(gateway.options.limits.connections));
    let _accepting = drain.accepting();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = drain.closed() => return Ok(()),
        };
        let (stream, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors or memory: the connection stays in the backlog, so give others time to end.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let newcomer = Newcomer { stream, peer: peer.ip(), scheme, drain: drain.clone(), place };
        drain.spawn(newcomer.serve(Arc::clone(&gateway), tls.clone()));
    }
}

/// An accepted connection of which nothing was read.
struct Newcomer {
    stream: TcpStream,
    peer: IpAddr,
    scheme: Scheme,
    drain: Drain,
    place: OwnedSemaphorePermit,
}

impl Newcomer {
    async fn serve(mut self, gateway: Arc<Gateway>, tls: Option<Arc<Tls>>) {
        let options = &gateway.options;
        let trusted =
            options.proxy_protocol.iter().any(|network| network.contains(&self.peer.to_canonical()));
        let (client, scheme) = if trusted {
            match self.read_sender(handshake_timeout(&options.limits)).await {
                Ok(known) => known,
                Err(error) => {
                    refused("proxy_protocol");
                    return debug!(balancer = %self.peer, %error, "no PROXY protocol header");
                }
            }
        } else {
            (self.peer, self.scheme)
        };
        // A balancer's own checks are no client's.
        let counted = !(trusted && client == self.peer);
        let place = counted.then(|| gateway.clients.admit(client));
        if matches!(place, Some(None)) {
            refused("client_connections");
            return debug!(%client, "closed: too many connections of one client");
        }
        let connection = Connection {
            scheme,
            client: client.to_canonical(),
            origin: Origin::new(client, scheme),
            server_name: None,
            drain: self.drain,
            requests: Requests::default(),
            _places: (self.place, place.flatten()),
        };
        match tls {
            None => serve_http1(gateway, self.stream, connection).await,
            Some(tls) => serve_tls(gateway, tls, self.stream, client, connection).await,
        }
    }

    async fn read_sender(&mut self, limit: Duration) -> io::Result<(IpAddr, Scheme)> {
        let read = tokio::time::timeout(limit, proxy_protocol::read(&mut self.stream));
        Ok(match read.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
            Sender::Balancer => (self.peer, self.scheme),
            Sender::Client { address, tls: true } => (address, Scheme::Https),
            Sender::Client { address, tls: false } => (address, self.scheme),
        })
    }
}

pub(crate) fn handshake_timeout(limits: &Limits) -> Duration {
    HANDSHAKE_TIMEOUT.min(limits.head_timeout)
}

pub(crate) fn refused(reason: &'static str) {
    metrics::counter!("wisehosting_ingress_refused_connections_total", "reason" => reason).increment(1);
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // A connection that is gone already fails here, and again, for good, when it is read.
    let _ = stream.set_nodelay(true).and_then(|()| keep_alive(&stream));
    Ok((stream, peer, place))
}

/// Notices a peer that is gone without a word, within about two minutes.
pub(crate) fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    let settings = TcpKeepalive::new()
        .with_time(Duration::from_mins(1))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    SockRef::from(stream).set_tcp_keepalive(&settings)
}

async fn serve_tls(
    gateway: Arc<Gateway>,
    tls: Arc<Tls>,
    stream: TcpStream,
    client: IpAddr,
    mut connection: Connection,
) {
    let limit = handshake_timeout(&gateway.options.limits);
    let handshake = async {
        let mut start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        if challenge::is_asked(&start.client_hello()) {
            return challenge::answer(&gateway, start).await.map(|()| None);
        }
        let name = start.client_hello().server_name().and_then(host_key).map(std::borrow::Cow::into_owned);
        let Some(name) = name.filter(|name| gateway.certificate(name).is_some()) else {
            let asked = start.client_hello().server_name().unwrap_or("no name").to_owned();
            start.io.write_all(&UNRECOGNIZED_NAME).await?;
            start.io.shutdown().await?;
            return Err(io::Error::other(format!("there is no certificate for {asked}")));
        };
        let config = Arc::clone(tls.config(&start.client_hello()));
        Ok(Some((start.into_stream(config).await?, name)))
    };
    let (stream, name) = match tokio::time::timeout(limit, handshake).await {
        Ok(Ok(Some(done))) => done,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => return debug!(%client, %error, "TLS handshake failed"),
        Err(_) => return debug!(%client, "TLS handshake took too long"),
    };
    connection.server_name = Some(name.into());
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        serve_http2(gateway, stream, connection).await;
    } else {
        serve_http1(gateway, stream, connection).await;
    }
}
