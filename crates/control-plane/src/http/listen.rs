//! Listeners: plain or TLS 1.3, with the peer's address in every request, and a soft stop.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Time for the head of a request, the wait for it included: a client that dawdles holds a connection no longer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a request's head.
const HEAD_BYTES: u32 = 64 << 10;
/// Between two signs of life of an HTTP/2 client.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Requests at the same time over one HTTP/2 connection.
const STREAMS: u32 = 100;

/// Where a request comes from: the other end of the connection, or on the front whom its proxy speaks for.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Binds `address`, also when no interface has it yet: the mesh may come up later.
pub fn bind(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bind = || -> std::io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.set_freebind_v4(true)?;
        socket.bind(&address.into())?;
        socket.listen(1024)?;
        TcpListener::from_std(socket.into())
    };
    bind().with_context(|| {
        let port = address.port();
        format!("cannot listen on {address} (`{key}`): if the port is in use, `ss -ltnp 'sport = :{port}'` shows by whom; choose another")
    })
}

/// TLS 1.3 with the certificate chain and key in these files.
pub fn tls(certificate: &Path, key: &Path) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("`api_server.tls_cert`: cannot read {}", certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("`api_server.tls_key`: cannot read {}", key.display()))?;
    let mut config = rustls::ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("`api_server.tls_cert` and `api_server.tls_key` do not belong together")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves `router` in plain HTTP until `stop`, then finishes what is under way.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> anyhow::Result<()> {
    serve_on(listener, router, stop).await
}

/// Serves `router` over TLS.
pub async fn serve_tls(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    router: Router,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    serve_on(TlsListener::start(listener, acceptor)?, router, stop).await
}

/// A connection whose protocol is settled before its first byte.
trait Settled: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn speaks_h2(&self) -> bool;
}

impl Settled for TcpStream {
    fn speaks_h2(&self) -> bool {
        false
    }
}

impl Settled for TlsStream<TcpStream> {
    fn speaks_h2(&self) -> bool {
        self.get_ref().1.alpn_protocol() == Some(b"h2")
    }
}

async fn serve_on<L>(mut listener: L, router: Router, stop: CancellationToken) -> anyhow::Result<()>
where
    L: Listener<Addr = SocketAddr, Io: Settled>,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            (io, peer) = listener.accept() => {
                connections.spawn(serve_connection(io, Peer(peer), router.clone(), stop.clone()));
            }
            // Ended ones are let go at once.
            Some(_) = connections.join_next() => {}
            () = stop.cancelled() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

async fn serve_connection(io: impl Settled, peer: Peer, router: Router, stop: CancellationToken) {
    let h2 = io.speaks_h2();
    let service = router.map_request(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        request
    });
    let (io, service) = (TokioIo::new(io), TowerToHyperService::new(service));
    // How a connection ends is the client's business: its requests are logged one by one.
    if h2 {
        let connection = h2_builder().serve_connection(io, service);
        tokio::pin!(connection);
        let _ = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
    } else {
        let connection = h1_builder().serve_connection(io, service).with_upgrades();
        tokio::pin!(connection);
        let _ = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
    }
}

fn h1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES as usize);
    builder
}

fn h2_builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES);
    builder
}

/// How many handshakes may wait; more connections wait in the kernel.
const HANDSHAKES: usize = 256;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Does handshakes beside each other, so that a slow client holds up nobody.
struct TlsListener {
    address: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    /// Ends with the listener.
    _accepting: JoinSet<()>,
}

impl TlsListener {
    fn start(listener: TcpListener, acceptor: TlsAcceptor) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(HANDSHAKES);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept_all(listener, acceptor, sender));
        Ok(Self { address, ready, _accepting: accepting })
    }
}

async fn accept_all(
    mut listener: TcpListener,
    acceptor: TlsAcceptor,
    sender: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let mut handshakes = JoinSet::new();
    loop {
        while handshakes.len() >= HANDSHAKES {
            handshakes.join_next().await;
        }
        // axum's accept waits a second after errors such as too many open files.
        let (stream, peer) = Listener::accept(&mut listener).await;
        while handshakes.try_join_next().is_some() {}
        let (acceptor, sender) = (acceptor.clone(), sender.clone());
        handshakes.spawn(async move {
            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                // Err means that the process stops.
                let _ = sender.send((stream, peer)).await;
            }
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn server() -> (SocketAddr, JoinSet<anyhow::Result<()>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let router = Router::new().route("/", get(|| async { "here" }));
        let mut server = JoinSet::new();
        server.spawn(serve(listener, router, CancellationToken::new()));
        (address, server)
    }

    /// Everything that the server says until it closes the connection.
    async fn answer(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.expect("connect");
        stream.write_all(request).await.expect("write");
        let mut said = Vec::new();
        let closed = tokio::time::timeout(2 * HEAD_TIMEOUT, stream.read_to_end(&mut said)).await;
        // An error is a reset, which ends the connection as well.
        let _ = closed.expect("the server closes the connection");
        String::from_utf8_lossy(&said).into_owned()
    }

    #[tokio::test]
    async fn a_request_whose_head_is_too_large_is_refused() {
        let (address, _server) = server().await;
        let large = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}", "a".repeat(100 << 10));
        let said = answer(address, large.as_bytes()).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");
    }

    #[tokio::test]
    async fn a_client_that_never_ends_its_head_is_let_go() {
        let (address, _server) = server().await;
        let start = tokio::time::Instant::now();
        let (silent, slow) =
            tokio::join!(answer(address, b""), answer(address, b"GET / HTTP/1.1\r\nhost: a\r\n"));
        assert!(silent.is_empty() && !slow.contains("here"), "{silent}{slow}");
        assert!(start.elapsed() >= HEAD_TIMEOUT, "{:?}", start.elapsed());
    }
}
