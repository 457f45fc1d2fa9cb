//! A gateway and apps behind it on loopback, and clients that say exactly what the test wants.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Collected, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ingress::bind::Inherited;
use ingress::{Drain, Gateway, Options, Scheme};
use protocol::ids::InstanceId;
use protocol::spec::{Certificate, HttpChallenge, ProxySpec, Route, Upstream};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

pub(crate) type Body = BoxBody<Bytes, hyper::Error>;

pub(crate) fn text(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never: Infallible| match never {}).boxed()
}

/// A gateway that serves HTTP and HTTPS on free ports.
pub(crate) struct Edge {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) drain: Drain,
    tasks: JoinSet<()>,
}

impl Edge {
    pub(crate) fn new(spec: &ProxySpec) -> Self {
        let upstream_timeout = Duration::from_millis(500);
        Self::with(Options { https_port: 8443, upstream_timeout, ..Options::default() }, spec)
    }

    pub(crate) fn with(options: Options, spec: &ProxySpec) -> Self {
        daemon::crypto::install();
        daemon::telemetry::install();
        let gateway = Gateway::new(options);
        assert_eq!(gateway.apply(spec), []);
        let stop = CancellationToken::new();
        let drain = Drain::new(stop.clone());
        let mut tasks = JoinSet::new();
        let mut open = |scheme| {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let listener = Inherited::default().listen("test", any).expect("free port");
            let address = listener.local_addr().expect("address");
            let serving = ingress::serve(Arc::clone(&gateway), listener, scheme, drain.clone());
            tasks.spawn(async move { serving.await.expect("TLS settings") });
            address
        };
        let (http, https) = (open(Scheme::Http), open(Scheme::Https));
        Self { gateway, http, https, stop, drain, tasks }
    }

    pub(crate) async fn stop_accepting(&mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// An app: answers with what `handler` says until dropped.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    tasks: JoinSet<()>,
}

impl App {
    pub(crate) async fn start<H, F>(handler: H) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("free port");
        let address = listener.local_addr().expect("address");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let handler = handler.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let answer = handler(request);
                        async move { Ok::<_, Infallible>(answer.await) }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades()
                        .await;
                });
            }
        });
        Self { address, tasks }
    }

    /// Answers every request with `says`.
    pub(crate) async fn saying(says: &'static str) -> Self {
        Self::start(move |_| async move { Response::new(text(says)) }).await
    }

    /// Answers with the request's head as the app saw it, and its body.
    pub(crate) async fn mirror() -> Self {
        Self::start(|request| async move {
            let mut seen = format!("{} {} {:?}\n", request.method(), request.uri(), request.version());
            for (name, value) in request.headers() {
                for part in [name.as_str(), ": ", value.to_str().expect("text"), "\n"] {
                    seen.push_str(part);
                }
            }
            let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
            Response::new(text(format!("{seen}\n{}", String::from_utf8_lossy(&body))))
        })
        .await
    }

    /// Stops it: its port refuses connections afterwards.
    pub(crate) async fn stop(mut self) -> SocketAddr {
        self.tasks.shutdown().await;
        self.address
    }
}

pub(crate) fn upstream(address: SocketAddr) -> Upstream {
    Upstream { instance: InstanceId::new(), address, weight: 1 }
}

pub(crate) fn route(host: &str, upstreams: &[SocketAddr]) -> Route {
    Route {
        id: host.to_owned(),
        app: host.to_owned(),
        hosts: vec![host.to_owned()],
        path: "/".to_owned(),
        upstreams: upstreams.iter().copied().map(upstream).collect(),
        https_only: false,
        options: Box::default(),
        unavailable: None,
    }
}

pub(crate) fn spec(routes: Vec<Route>) -> ProxySpec {
    ProxySpec { routes: routes.into_iter().map(Arc::new).collect(), ..ProxySpec::default() }
}

pub(crate) fn challenge(host: &str, token: &str, key_authorization: &str) -> HttpChallenge {
    HttpChallenge {
        host: host.to_owned(),
        token: token.to_owned(),
        key_authorization: key_authorization.to_owned(),
    }
}

pub(crate) fn certificate(hosts: &[&str]) -> Arc<Certificate> {
    let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let made = rcgen::generate_simple_self_signed(names.clone()).expect("certificate");
    let (chain_pem, key_pem) = (made.cert.pem(), made.signing_key.serialize_pem());
    Arc::new(Certificate { hosts: names, chain_pem, key_pem })
}

/// Sends `request` as it stands and reads until the other side closes, or 5 s.
pub(crate) async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connect");
    stream.write_all(request.as_bytes()).await.expect("send");
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// `GET path` of `host`, one connection.
pub(crate) async fn get(address: SocketAddr, host: &str, path: &str) -> String {
    raw(address, &format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await
}

/// A TLS connection for `name` that trusts `trusted` and offers `alpn`.
pub(crate) async fn tls(
    address: SocketAddr,
    name: &str,
    trusted: &[&Arc<Certificate>],
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    tls_on(TcpStream::connect(address).await?, name, trusted, alpn).await
}

/// TLS for `name` on `stream`.
pub(crate) async fn tls_on(
    stream: TcpStream,
    name: &str,
    trusted: &[&Arc<Certificate>],
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    tls_by(rustls::crypto::aws_lc_rs::default_provider(), stream, name, trusted, alpn).await
}

/// The same of a client with this `provider`.
pub(crate) async fn tls_by(
    provider: rustls::crypto::CryptoProvider,
    stream: TcpStream,
    name: &str,
    trusted: &[&Arc<Certificate>],
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in trusted {
        let der = CertificateDer::from_pem_slice(certificate.chain_pem.as_bytes()).expect("PEM");
        roots.add(der).expect("root");
    }
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).expect("name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// An HTTP/2 client on a TLS connection. The tasks end with the set.
pub(crate) async fn http2(
    stream: TlsStream<TcpStream>,
    tasks: &mut JoinSet<()>,
) -> hyper::client::conn::http2::SendRequest<Body> {
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    tasks.spawn(async move {
        let _ = connection.await;
    });
    sender
}

pub(crate) fn nothing() -> Body {
    Empty::new().map_err(|never: Infallible| match never {}).boxed()
}

pub(crate) async fn read(response: Response<Incoming>) -> String {
    let body = response.into_body().collect().await.expect("body").to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}
