use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{Drain, Options, Scheme};

const DIGEST: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn spec(host: &str, digest: &str) -> ProxySpec {
    let challenge = AlpnChallenge { host: host.to_owned(), digest: digest.to_owned() };
    ProxySpec { alpn_challenges: vec![challenge], ..ProxySpec::default() }
}

/// As a CA does, takes any certificate and looks at it afterwards.
#[derive(Debug)]
struct Any;

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// What a gateway that serves `spec` shows to a client that offers `protocols` for `name`, and what it says then.
async fn look(spec: &ProxySpec, name: &str, protocols: &[&[u8]]) -> io::Result<(Vec<u8>, Vec<u8>)> {
    daemon::crypto::install();
    let gateway = Gateway::new(Options::default());
    assert_eq!(gateway.apply(spec), []);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    let stop = CancellationToken::new();
    let drain = Drain::new(stop.clone());
    let _guard = stop.drop_guard();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(crate::serve(gateway, listener, Scheme::Https, drain));
    let mut config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Any))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).expect("name");
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(PROTOCOL));
    let shown = stream.get_ref().1.peer_certificates().expect("certificates")[0].to_vec();
    let mut said = Vec::new();
    let read = stream.read_to_end(&mut said);
    tokio::time::timeout(Duration::from_secs(5), read).await.expect("the connection is ended")?;
    Ok((shown, said))
}

#[tokio::test]
async fn a_ca_sees_the_digest_in_the_certificate_and_nothing_more() {
    let (shown, said) = look(&spec("app.test", DIGEST), "app.test", &[PROTOCOL]).await.expect("handshake");
    // The extension's value: an octet string of 32 bytes, after its identifier 1.3.6.1.5.5.7.1.31 and `critical`.
    let mut wanted = vec![0x2b, 6, 1, 5, 5, 7, 1, 31, 1, 1, 0xff, 4, 34, 4, 32];
    wanted.extend(digest(DIGEST).expect("hexadecimal"));
    assert!(shown.windows(wanted.len()).any(|part| part == wanted), "{shown:02x?}");
    assert!(shown.windows(8).any(|part| part == b"app.test"));
    assert_eq!(said, b"");
}

#[tokio::test]
async fn only_the_host_of_the_challenge_and_only_this_protocol_are_answered() {
    let spec = spec("app.test", DIGEST);
    let other = look(&spec, "other.test", &[PROTOCOL]).await.expect_err("no challenge");
    assert!(other.to_string().contains("UnrecognisedName"), "{other}");
    let browser = look(&spec, "app.test", &[b"h2", PROTOCOL]).await.expect_err("no certificate");
    assert!(browser.to_string().contains("UnrecognisedName"), "{browser}");
}

#[test]
fn a_challenge_that_cannot_be_answered_is_reported() {
    daemon::crypto::install();
    for (host, digest, word) in [("not a host", DIGEST, "names no host"), ("app.test", "00zz", "hexadecimal")]
    {
        let (challenges, problems) = Challenges::new(&spec(host, digest));
        assert!(challenges.0.is_empty() && problems[0].to_string().contains(word), "{problems:?}");
    }
}
