//! Makes the WebSocket: HTTP/1.1 only, and under TLS it offers exactly `http/1.1`, because a server that chose HTTP/2
//! could not upgrade.

use std::sync::Arc;
use std::time::Duration;

use protocol::message::MAX_FROM_CONTROL_PLANE;
use protocol::spec::TAKES_CHANGES;
use protocol::spec::private::TAKES_PRIVATE_CHANGES;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};
use tracing::warn;
use url::Url;

use super::LinkConfigError;

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Bytes read at once, which is what one record of TLS holds. Each read clears as many before it, and the connection
/// keeps them: the library's own choice is 128 KiB.
const READ_BUFFER: usize = 16 * 1024;

pub(super) struct Dialer {
    connector: Connector,
    limit: Duration,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("cannot connect to {url}")]
    Connect {
        url: String,
        #[source]
        source: std::io::Error,
    },
    #[error("no WebSocket at {url}/v1/workers/ws")]
    Handshake {
        url: String,
        #[source]
        source: Box<tungstenite::Error>,
    },
    #[error("{url} did not answer in {limit:?}")]
    Timeout { url: String, limit: Duration },
}

impl DialError {
    /// Whether the token was not accepted.
    pub(super) fn is_unauthorized(&self) -> bool {
        let Self::Handshake { source, .. } = self else { return false };
        matches!(&**source, tungstenite::Error::Http(answer) if answer.status() == StatusCode::UNAUTHORIZED)
    }
}

impl Dialer {
    pub(super) fn new(tls: bool, root_pem: Option<&[u8]>, limit: Duration) -> Result<Self, LinkConfigError> {
        let connector = if tls {
            Connector::Rustls(Arc::new(tls_config(root_pem).map_err(LinkConfigError::Tls)?))
        } else {
            Connector::Plain
        };
        Ok(Self { connector, limit })
    }

    /// One try, with `token` as bearer.
    pub(super) async fn dial(&self, base: &Url, token: &str) -> Result<Socket, DialError> {
        let url = base.as_str().trim_end_matches('/').to_owned();
        match tokio::time::timeout(self.limit, self.connect(base, &url, token)).await {
            Ok(result) => result,
            Err(_) => Err(DialError::Timeout { url, limit: self.limit }),
        }
    }

    async fn connect(&self, base: &Url, url: &str, token: &str) -> Result<Socket, DialError> {
        let handshake = |source| DialError::Handshake { url: url.to_owned(), source: Box::new(source) };
        let connect = |source| DialError::Connect { url: url.to_owned(), source };
        let host = base.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = base.port_or_known_default().unwrap_or(443);
        let stream = TcpStream::connect((host, port)).await.map_err(connect)?;
        stream.set_nodelay(true).map_err(connect)?;
        // `http` becomes `ws`, `https` becomes `wss`.
        let address = format!("ws{}/v1/workers/ws", url.trim_start_matches("http"));
        let mut request = address.into_client_request().map_err(handshake)?;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|error| handshake(tungstenite::Error::HttpFormat(error.into())))?;
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        for (name, value) in [TAKES_CHANGES, TAKES_PRIVATE_CHANGES] {
            request.headers_mut().append(name, HeaderValue::from_static(value));
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_FROM_CONTROL_PLANE))
            .max_frame_size(Some(MAX_FROM_CONTROL_PLANE))
            .read_buffer_size(READ_BUFFER);
        let connector = match base.scheme() {
            "https" => self.connector.clone(),
            _ => Connector::Plain,
        };
        let (socket, _) = client_async_tls_with_config(request, stream, Some(config), Some(connector))
            .await
            .map_err(handshake)?;
        Ok(socket)
    }
}

fn tls_config(root_pem: Option<&[u8]>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in native.errors {
        warn!(%error, "a certificate of the system cannot be read");
    }
    roots.add_parsable_certificates(native.certs);
    for certificate in CertificateDer::pem_slice_iter(root_pem.unwrap_or_default()) {
        let certificate = certificate.map_err(|error| format!("root certificate: {error}"))?;
        roots.add(certificate).map_err(|error| format!("root certificate: {error}"))?;
    }
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
