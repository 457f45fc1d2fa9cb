//! HTTP as a client on one of the hosts sees it: one connection per request, from inside that host's network.

use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::host::Host;
use crate::network;

/// A server, and where to look at it from.
#[derive(Debug, Clone)]
pub struct Server {
    pub from: Host,
    pub address: SocketAddr,
    /// For `https`: the root certificates to trust, in PEM.
    pub roots: Option<String>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
    /// Who signed the certificate that the server showed.
    pub issuer: Option<String>,
    /// The number of that certificate.
    pub serial: Option<String>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub type Request = http::Request<Full<Bytes>>;

/// `GET path` as a client that asks for `host`.
pub fn get(host: &str, path: &str) -> Result<Request> {
    Ok(http::Request::get(path).header("host", host).body(Full::default())?)
}

impl Server {
    /// Sends one request. Its `Host` header is also the name that the certificate must be for.
    pub async fn send(&self, request: Request) -> Result<Answer> {
        let limit = Duration::from_mins(1);
        let what = format!("{} {}", request.method(), request.uri());
        let answer = tokio::time::timeout(limit, Box::pin(self.exchange(request))).await;
        answer
            .with_context(|| format!("{what}: no answer within {} s", limit.as_secs()))?
            .with_context(|| what)
    }

    async fn exchange(&self, request: Request) -> Result<Answer> {
        let host = request.headers().get("host").context("no Host header")?.to_str()?.to_owned();
        self.connect(&host).await?.send(request).await
    }

    /// Connects as a client that will ask for `host`.
    pub async fn connect(&self, host: &str) -> Result<Connection> {
        let stream = network::connect(self.from.init()?, self.address).await?;
        let Some(roots) = &self.roots else { return Connection::new(stream, None).await };
        let name = host.split(':').next().unwrap_or(host).to_owned();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(trusting(roots)?));
        let stream = connector.connect(ServerName::try_from(name)?, stream).await.context("TLS")?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| Shown::read(chain.first()?));
        Connection::new(stream, shown).await
    }
}

/// A connection, for one request after another.
#[derive(Debug)]
pub struct Connection {
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    shown: Option<Shown>,
    /// Moves the bytes. Its error, if any, comes out of the exchange.
    _driver: JoinSet<()>,
}

impl Connection {
    async fn new<S>(stream: S, shown: Option<Shown>) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            let _ = connection.await;
        });
        Ok(Self { sender, shown, _driver: driver })
    }

    pub async fn send(&mut self, request: Request) -> Result<Answer> {
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
            issuer: self.shown.as_ref().map(|shown| shown.issuer.clone()),
            serial: self.shown.as_ref().map(|shown| shown.serial.clone()),
        })
    }
}

fn trusting(roots: &str) -> Result<rustls::ClientConfig> {
    let mut store = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_reader_iter(Cursor::new(roots)) {
        store.add(certificate?)?;
    }
    let mut config = rustls::ClientConfig::builder().with_root_certificates(store).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// What of the server's certificate is told.
#[derive(Debug)]
struct Shown {
    issuer: String,
    serial: String,
}

impl Shown {
    fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        Some(Self { issuer: certificate.issuer().to_string(), serial: certificate.raw_serial_as_string() })
    }
}
