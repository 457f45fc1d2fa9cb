//! Accepting connections, speaking HTTP on them, and ending both softly.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::LazyConfigAcceptor;
use tracing::{debug, warn};

use crate::body::ResponseBody;
use crate::drain::Drain;
use crate::gateway::Gateway;
use crate::grpc::{self, Call};
use crate::headers::Origin;
use crate::options::Visitor;
use crate::table::host_key;
use crate::tls::{UNRECOGNIZED_NAME, server_config};
use crate::upstream::BUFFER_BYTES;

/// Time for a client to send the head of a request; the first one and each after an answer, so that it is also how
/// long an idle HTTP/1.1 connection lives.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// An HTTP/2 connection without a request for one to two of these is closed.
const HTTP2_IDLE: Duration = Duration::from_secs(90);
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: u32 = 32 * 1024;
const MAX_STREAMS: u32 = 128;
/// Connections of one listener. More wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 16_384;

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
    requests: Requests,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// Who asks, for the options of a route.
    pub(crate) fn visitor(&self) -> Visitor {
        Visitor { address: self.client, scheme: self.scheme }
    }
}

#[derive(Debug, Default)]
struct Requests {
    begun: AtomicU64,
    ended: AtomicU64,
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
        Scheme::Https => Some(Arc::new(server_config(&gateway)?)),
    };
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
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
        let connection = Connection {
            scheme,
            client: peer.ip().to_canonical(),
            origin: Origin::new(peer.ip(), scheme),
            server_name: None,
            drain: drain.clone(),
            requests: Requests::default(),
            _place: place,
        };
        let (gateway, tls) = (Arc::clone(&gateway), tls.clone());
        drain.spawn(async move {
            match tls {
                None => serve_http1(gateway, stream, connection).await,
                Some(config) => serve_tls(gateway, config, stream, peer, connection).await,
            }
        });
    }
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
    config: Arc<rustls::ServerConfig>,
    stream: TcpStream,
    peer: SocketAddr,
    mut connection: Connection,
) {
    let handshake = async {
        let mut start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        let name = start.client_hello().server_name().and_then(host_key).map(std::borrow::Cow::into_owned);
        let Some(name) = name.filter(|name| gateway.certificate(name).is_some()) else {
            let asked = start.client_hello().server_name().unwrap_or("no name").to_owned();
            start.io.write_all(&UNRECOGNIZED_NAME).await?;
            start.io.shutdown().await?;
            return Err(io::Error::other(format!("there is no certificate for {asked}")));
        };
        Ok((start.into_stream(config).await?, name))
    };
    let (stream, name) = match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => return debug!(client = %peer.ip(), %error, "TLS handshake failed"),
        Err(_) => return debug!(client = %peer.ip(), "TLS handshake took too long"),
    };
    connection.server_name = Some(name.into());
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        serve_http2(gateway, stream, connection).await;
    } else {
        serve_http1(gateway, stream, connection).await;
    }
}

async fn serve_http1<S>(gateway: Arc<Gateway>, stream: S, connection: Connection)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = Arc::new(connection);
    let of_requests = Arc::clone(&connection);
    let service = service_fn(move |request| answer(Arc::clone(&gateway), Arc::clone(&of_requests), request));
    let mut serving = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(BUFFER_BYTES)
            .max_headers(MAX_HEADERS)
            .max_header_size(MAX_HEADER_BYTES as usize)
            .half_close(false)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
    );
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = connection.drain.leave(false, || connection.requests.any()) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "HTTP/1.1 connection ended");
    }
}

async fn serve_http2<S>(gateway: Arc<Gateway>, stream: S, connection: Connection)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = Arc::new(connection);
    let of_requests = Arc::clone(&connection);
    let service = service_fn(move |request| answer(Arc::clone(&gateway), Arc::clone(&of_requests), request));
    let mut serving = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(15))
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEADER_BYTES)
            .max_send_buf_size(BUFFER_BYTES)
            .initial_stream_window_size(256 * 1024)
            .initial_connection_window_size(1024 * 1024)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = until_unused(&connection) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "HTTP/2 connection ended");
    }
}

/// Returns when the process stops, or when no request ran for a while.
async fn until_unused(connection: &Connection) {
    let mut before = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(HTTP2_IDLE) => {}
            () = connection.drain.leave(true, || connection.requests.any()) => return,
        }
        let begun = connection.requests.begun.load(Ordering::Relaxed);
        let all_ended = begun == connection.requests.ended.load(Ordering::Relaxed);
        if all_ended && before == Some(begun) {
            return;
        }
        before = Some(begun);
    }
}

async fn answer(
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let running = Running::begin(&connection);
    let is_http1 = request.version() != Version::HTTP_2;
    let call = grpc::call(request.version(), request.headers());
    let answered = gateway.answer(Arc::clone(&connection), request);
    let mut response = match call {
        None => answered.await,
        Some(Call { deadline: None }) => grpc::translate(answered.await),
        Some(Call { deadline: Some(deadline) }) => match tokio::time::timeout(deadline, answered).await {
            Ok(response) => grpc::translate(response),
            Err(_) => grpc::deadline_exceeded(),
        },
    };
    drop(running);
    if connection.drain.has_begun() && is_http1 && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

impl Requests {
    /// Whether there was one.
    fn any(&self) -> bool {
        self.begun.load(Ordering::Relaxed) > 0
    }
}

/// One request of a connection, until its answer begins.
struct Running<'a>(&'a Requests);

impl<'a> Running<'a> {
    fn begin(connection: &'a Connection) -> Self {
        connection.requests.begun.fetch_add(1, Ordering::Relaxed);
        Self(&connection.requests)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}
