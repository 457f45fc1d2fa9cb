//! Asks ports 80 and 443 of one address for a host, and looks at the certificate that is shown.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::header::{HOST, LOCATION, USER_AGENT};
use axum::http::{Request, Response};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Distrust, Door, Knock, Reply};

/// For each of: connection, TLS handshake, answer.
const LIMIT: Duration = Duration::from_secs(4);
/// Headers by which servers in between tell their names.
const TELLING: [&str; 6] = ["server", "via", "cf-ray", "x-amz-cf-id", "x-served-by", "x-cache"];

/// Knocks on both ports of `address` at once.
pub(super) async fn door(host: &str, address: IpAddr, roots: &Arc<RootCertStore>) -> Door {
    let (http, https) = tokio::join!(plain(host, address, 80), tls(host, address, roots));
    Door { address, http, https }
}

/// Knocks on one port, in plain HTTP.
pub(super) async fn plain_door(host: &str, address: IpAddr, port: u16) -> Door {
    Door { address, http: plain(host, address, port).await, https: Knock::NotAsked }
}

async fn plain(host: &str, address: IpAddr, port: u16) -> Knock {
    match connect(address, port).await {
        Ok(stream) => match ask(host, stream).await {
            Ok(reply) => Knock::Answered(reply),
            Err(knock) => knock,
        },
        Err(knock) => knock,
    }
}

async fn tls(host: &str, address: IpAddr, roots: &Arc<RootCertStore>) -> Knock {
    let stream = match connect(address, 443).await {
        Ok(stream) => stream,
        Err(knock) => return knock,
    };
    let Ok(name) = ServerName::try_from(host.to_owned()) else {
        return Knock::NoTls("the host is no name for TLS".to_owned());
    };
    let (config, verdict) = match lenient(roots) {
        Ok(made) => made,
        Err(error) => return Knock::NoTls(error.to_string()),
    };
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = match tokio::time::timeout(LIMIT, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Knock::NoTls(error.to_string()),
        Err(_) => return Knock::NoTls(format!("no handshake within {} s", LIMIT.as_secs())),
    };
    match ask(host, stream).await {
        Ok(reply) => Knock::Answered(Reply { distrust: verdict.get(), ..reply }),
        Err(knock) => knock,
    }
}

async fn connect(address: IpAddr, port: u16) -> Result<TcpStream, Knock> {
    match tokio::time::timeout(LIMIT, TcpStream::connect(SocketAddr::new(address, port))).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Err(Knock::Refused),
        Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => Err(Knock::TimedOut),
        Ok(Err(error)) => Err(Knock::Failed(error.to_string())),
        Err(_) => Err(Knock::TimedOut),
    }
}

async fn ask<S>(host: &str, stream: S) -> Result<Reply, Knock>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match tokio::time::timeout(LIMIT, exchange(host, stream)).await {
        Ok(Ok(response)) => Ok(reply(&response)),
        Ok(Err(error)) => Err(Knock::Failed(error.to_string())),
        Err(_) => Err(Knock::Failed(format!("no answer within {} s", LIMIT.as_secs()))),
    }
}

async fn exchange<S>(host: &str, stream: S) -> hyper::Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(16 * 1024).handshake(TokioIo::new(stream)).await?;
    let request = Request::head("/")
        .header(HOST, host)
        .header(USER_AGENT, "wisehosting-doctor")
        .body(Empty::<Bytes>::new())
        .expect("the parts are checked");
    // Both halves end together: the connection is driven here and dropped with the answer's head.
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(sender.send_request(request));
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(error),
        },
    }
}

fn reply(response: &Response<Incoming>) -> Reply {
    let text = |name: &str| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some(value.chars().take(200).collect::<String>())
    };
    Reply {
        status: response.status().as_u16(),
        location: text(LOCATION.as_str()),
        headers: TELLING.iter().filter_map(|name| Some(((*name).to_owned(), text(name)?))).collect(),
        distrust: None,
    }
}

/// What a strict client would have said of the certificate.
#[derive(Debug, Default)]
struct Verdict(Mutex<Option<Distrust>>);

impl Verdict {
    fn get(&self) -> Option<Distrust> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Takes any certificate, and keeps what is wrong with it.
#[derive(Debug)]
struct Lenient {
    strict: Arc<WebPkiServerVerifier>,
    verdict: Arc<Verdict>,
}

fn lenient(roots: &Arc<RootCertStore>) -> Result<(ClientConfig, Arc<Verdict>), rustls::Error> {
    let provider = CryptoProvider::get_default()
        .ok_or_else(|| rustls::Error::General("the TLS provider is not set".to_owned()))?;
    let strict = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let verdict = Arc::<Verdict>::default();
    let verifier = Arc::new(Lenient { strict, verdict: Arc::clone(&verdict) });
    let config =
        ClientConfig::builder().dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    Ok((config, verdict))
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let checked =
            self.strict.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        if let Err(error) = checked {
            let distrust = distrust(&error, end_entity, server_name);
            *self.verdict.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(distrust);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.strict.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.strict.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.strict.supported_verify_schemes()
    }
}

fn distrust(error: &rustls::Error, certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> Distrust {
    use rustls::CertificateError as Bad;
    let other = |words: &str| Distrust::Other(words.to_owned());
    let rustls::Error::InvalidCertificate(bad) = error else { return other(&error.to_string()) };
    match bad {
        Bad::Expired | Bad::ExpiredContext { .. } => other("the certificate that is shown has run out"),
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
            other("the certificate that is shown is for another name")
        }
        Bad::UnknownIssuer if is_for(certificate, name) => Distrust::Authority,
        Bad::UnknownIssuer => {
            other("the certificate that is shown is for another name, and of no known authority")
        }
        bad => other(&bad.to_string()),
    }
}

fn is_for(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    rustls::server::ParsedCertificate::try_from(certificate)
        .is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok())
}
