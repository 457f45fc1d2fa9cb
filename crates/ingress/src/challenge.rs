//! Answers to TLS-ALPN-01 (RFC 8737): a CA that offers `acme-tls/1` and nothing else is shown a certificate made for
//! it alone, and no byte more.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use protocol::spec::{AlpnChallenge, ProxySpec};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::ClientHello;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::StartHandshake;

use crate::Problem;
use crate::gateway::Gateway;
use crate::table::host_key;
use crate::tls::UNRECOGNIZED_NAME;

const PROTOCOL: &[u8] = b"acme-tls/1";

/// The challenges of one spec, by host.
#[derive(Debug, Default)]
pub(crate) struct Challenges(HashMap<Box<str>, Arc<ServerConfig>>);

impl Challenges {
    /// Those of `spec`, and what is wrong with the others.
    pub(crate) fn new(spec: &ProxySpec) -> (Self, Vec<Problem>) {
        let (mut challenges, mut problems) = (HashMap::new(), Vec::new());
        for challenge in &spec.alpn_challenges {
            match (host_key(&challenge.host), config(challenge)) {
                (Some(host), Ok(config)) => {
                    challenges.insert(host.into(), Arc::new(config));
                }
                (None, _) => problems.push(problem(challenge, "names no host")),
                (_, Err(problem_of)) => problems.push(problem(challenge, problem_of)),
            }
        }
        (Self(challenges), problems)
    }

    /// What is shown to a CA that asks for `name`.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<ServerConfig>> {
        self.0.get(name).cloned()
    }
}

/// Whether a CA is asking, rather than a browser.
pub(crate) fn is_asked(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut offered| offered.next() == Some(PROTOCOL) && offered.next().is_none())
}

/// Shows the CA what it wants to see and ends the connection.
pub(crate) async fn answer(gateway: &Gateway, mut start: StartHandshake<TcpStream>) -> io::Result<()> {
    let name = start.client_hello().server_name().and_then(host_key).map(std::borrow::Cow::into_owned);
    let Some(config) = name.and_then(|name| gateway.challenge(&name)) else {
        start.io.write_all(&UNRECOGNIZED_NAME).await?;
        return start.io.shutdown().await;
    };
    start.into_stream(config).await?.shutdown().await
}

fn problem(challenge: &AlpnChallenge, text: impl Into<String>) -> Problem {
    Problem::new(format!("challenge for `{}`", challenge.host), text.into())
}

/// Section 3: one name, the critical extension `acmeIdentifier`, signed by itself.
fn config(challenge: &AlpnChallenge) -> Result<ServerConfig, String> {
    let digest = digest(&challenge.digest).ok_or("has a digest that is not 64 hexadecimal digits")?;
    let cannot = |error: rcgen::Error| format!("cannot be made into a certificate: {error}");
    let mut params = CertificateParams::new([challenge.host.clone()]).map_err(cannot)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
    let key = KeyPair::generate().map_err(cannot)?;
    let certificate = params.self_signed(&key).map_err(cannot)?;
    let provider =
        CryptoProvider::get_default().ok_or("cannot be answered before the TLS provider is set")?;
    let key = provider
        .key_provider
        .load_private_key(PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .map_err(|error| format!("cannot be signed: {error}"))?;
    // Not compared with its key, for which rustls would refuse the critical extension.
    let shown = CertifiedKey::new(vec![certificate.der().clone()], key);
    let mut config =
        ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
#[path = "challenge_tests.rs"]
mod tests;
