//! Certificates by name, swapped in memory with the routes. A name without a certificate is refused with the alert
//! `unrecognized_name`; there is no fallback certificate, because a wrong one only hides what is missing.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};

use protocol::spec::{Certificate, ProxySpec};
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::Problem;
use crate::challenge::Challenges;
use crate::gateway::Gateway;
use crate::table::host_key;

/// The alert `unrecognized_name` (RFC 6066 section 3), fatal, as a whole TLS record.
pub(crate) const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// The certificates of one spec.
#[derive(Debug, Default)]
pub struct CertificateTable {
    /// Shared by the tables between which no certificate changed.
    named: Arc<Named>,
    challenges: Challenges,
}

#[derive(Debug, Default)]
struct Named {
    exact: HashMap<Box<str>, Arc<CertifiedKey>>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, Arc<CertifiedKey>>,
    parsed: HashMap<Fingerprint, Arc<CertifiedKey>>,
    /// All of the spec, in its order; `None` when not all could be used.
    made_of: Option<Vec<Weak<Certificate>>>,
}

/// Hash and length. Tells certificates apart that the control plane sent; not a defence against forged ones.
type Fingerprint = (u64, usize);

impl CertificateTable {
    /// The certificates of `spec`, those known already taken over without parsing them again.
    pub fn succeed(&self, spec: &ProxySpec) -> (Self, Vec<Problem>) {
        let (challenges, mut problems) = Challenges::new(spec);
        let named = if self.named.is_made_of(&spec.certificates) {
            Arc::clone(&self.named)
        } else {
            let (named, more) = self.named.succeed(&spec.certificates);
            problems.extend(more);
            Arc::new(named)
        };
        (Self { named, challenges }, problems)
    }

    /// The certificate for a lower-case name: its own, or its parent's wildcard.
    pub fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        self.named.exact.get(name).or_else(|| {
            let (label, parent) = name.split_once('.')?;
            if label.is_empty() { None } else { self.named.wildcard.get(parent) }
        })
    }

    /// What is shown to a CA that checks `name`.
    pub(crate) fn challenge(&self, name: &str) -> Option<Arc<ServerConfig>> {
        self.challenges.find(name)
    }

    /// Whether one certificate serves both names, so that a connection for one may carry requests for the other.
    pub fn share(&self, name: &str, other: &str) -> bool {
        match (self.find(name), self.find(other)) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }

    /// How many certificates there are.
    pub fn len(&self) -> usize {
        self.named.parsed.len()
    }

    pub fn is_empty(&self) -> bool {
        self.named.parsed.is_empty()
    }
}

impl Named {
    /// Whether these are the very same ones, and not only equal: then none is looked at.
    fn is_made_of(&self, certificates: &[Arc<Certificate>]) -> bool {
        let Some(made_of) = &self.made_of else { return false };
        let same = |(known, certificate): (&Weak<_>, &Arc<_>)| {
            std::ptr::eq(known.as_ptr(), Arc::as_ptr(certificate))
        };
        made_of.len() == certificates.len() && made_of.iter().zip(certificates).all(same)
    }

    fn succeed(&self, certificates: &[Arc<Certificate>]) -> (Self, Vec<Problem>) {
        let (mut next, mut problems) = (Self::default(), Vec::new());
        for certificate in certificates {
            let fingerprint = fingerprint(certificate);
            let subject = || format!("certificate for `{}`", certificate.hosts.join("`, `"));
            let key = match self.parsed.get(&fingerprint) {
                Some(known) => Arc::clone(known),
                None => match parse(certificate) {
                    Ok(key) => Arc::new(key),
                    Err(problem) => {
                        problems.push(Problem::new(subject(), problem));
                        next.keep(self, &certificate.hosts);
                        continue;
                    }
                },
            };
            next.parsed.insert(fingerprint, Arc::clone(&key));
            for host in &certificate.hosts {
                let (names, name) = match host.strip_prefix("*.") {
                    Some(parent) => (&mut next.wildcard, parent),
                    None => (&mut next.exact, host.as_str()),
                };
                match host_key(name) {
                    Some(name) => {
                        names.insert(name.into(), Arc::clone(&key));
                    }
                    None => {
                        problems.push(Problem::new(subject(), format!("names `{host}`, which is no host")));
                    }
                }
            }
        }
        next.made_of = problems.is_empty().then(|| certificates.iter().map(Arc::downgrade).collect());
        (next, problems)
    }

    /// A certificate that cannot be used does not replace one that can.
    fn keep(&mut self, before: &Self, hosts: &[String]) {
        for host in hosts {
            let (names, known, name) = match host.strip_prefix("*.") {
                Some(parent) => (&mut self.wildcard, &before.wildcard, parent),
                None => (&mut self.exact, &before.exact, host.as_str()),
            };
            if let Some(key) = known.get(name) {
                names.entry(name.into()).or_insert_with(|| Arc::clone(key));
            }
        }
    }
}

fn fingerprint(certificate: &Certificate) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    (&certificate.hosts, &certificate.chain_pem, &certificate.key_pem).hash(&mut hasher);
    (hasher.finish(), certificate.chain_pem.len() + certificate.key_pem.len())
}

fn parse(certificate: &Certificate) -> Result<CertifiedKey, String> {
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(certificate.chain_pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| format!("has a chain that is not PEM: {error}"))?;
    if chain.is_empty() {
        return Err("has an empty chain".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes())
        .map_err(|error| format!("has a key that is not PEM: {error}"))?;
    let provider = CryptoProvider::get_default().ok_or("cannot be used before the TLS provider is set")?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| format!("cannot be used: {error}"))
}

/// TLS 1.2 and 1.3 with the gateway's certificates, HTTP/2 and HTTP/1.1.
#[derive(Debug)]
pub(crate) struct Tls {
    /// AES-128 before AES-256: it is as good for TLS, and its handshake is made of SHA-256, which processors have in
    /// hardware where few have SHA-384.
    own_order: Arc<ServerConfig>,
    /// For a processor without AES, whose client names `ChaCha20` first.
    clients_order: Arc<ServerConfig>,
}

impl Tls {
    pub(crate) fn new(gateway: &Arc<Gateway>) -> Result<Self, rustls::Error> {
        let default = CryptoProvider::get_default().map(|provider| (**provider).clone());
        let mut provider = default.unwrap_or_else(rustls::crypto::aws_lc_rs::default_provider);
        provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Resolver(Arc::clone(gateway))));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        let clients_order = Arc::new(config.clone());
        config.ignore_client_order = true;
        Ok(Self { own_order: Arc::new(config), clients_order })
    }

    pub(crate) fn config(&self, hello: &ClientHello<'_>) -> &Arc<ServerConfig> {
        let is_known = |suite: &&CipherSuite| {
            let known = &self.own_order.crypto_provider().cipher_suites;
            known.iter().any(|known| known.suite() == **suite)
        };
        match hello.cipher_suites().iter().find(is_known) {
            Some(
                CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
            ) => &self.clients_order,
            _ => &self.own_order,
        }
    }
}

#[derive(Debug)]
struct Resolver(Arc<Gateway>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.certificate(hello.server_name()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(hosts: &[&str]) -> Certificate {
        let made =
            rcgen::generate_simple_self_signed(hosts.iter().map(ToString::to_string).collect::<Vec<_>>())
                .expect("certificate");
        Certificate {
            hosts: hosts.iter().map(ToString::to_string).collect(),
            chain_pem: made.cert.pem(),
            key_pem: made.signing_key.serialize_pem(),
        }
    }

    fn spec(certificates: Vec<Certificate>) -> ProxySpec {
        let certificates = certificates.into_iter().map(Arc::new).collect();
        ProxySpec { certificates, ..ProxySpec::default() }
    }

    #[test]
    fn the_own_certificate_comes_before_the_wildcard_which_covers_one_label() {
        daemon::crypto::install();
        let all = spec(vec![certificate(&["*.app.test"]), certificate(&["own.app.test"])]);
        let (table, problems) = CertificateTable::default().succeed(&all);
        assert_eq!(problems, []);
        let wildcard = table.find("any.app.test").expect("wildcard");
        assert!(!Arc::ptr_eq(wildcard, table.find("own.app.test").expect("own")));
        for unknown in ["app.test", "a.b.app.test", ".app.test", "other.test"] {
            assert!(table.find(unknown).is_none(), "{unknown}");
        }
        let (next, _) = table.succeed(&all);
        assert!(Arc::ptr_eq(wildcard, next.find("any.app.test").expect("kept")), "not parsed again");
    }

    #[test]
    fn a_broken_renewal_leaves_the_old_certificate_in_use() {
        daemon::crypto::install();
        let (table, _) = CertificateTable::default().succeed(&spec(vec![certificate(&["app.test"])]));
        let mut broken = certificate(&["app.test"]);
        broken.key_pem = "none".to_owned();
        let (next, problems) = table.succeed(&spec(vec![broken]));
        assert_eq!(problems.len(), 1);
        assert!(Arc::ptr_eq(table.find("app.test").expect("old"), next.find("app.test").expect("kept")));
    }

    #[test]
    fn a_key_of_another_certificate_is_reported_and_the_rest_served() {
        daemon::crypto::install();
        let mut mixed = certificate(&["mixed.test"]);
        mixed.key_pem = certificate(&["x.test"]).key_pem;
        let mut broken = certificate(&["broken.test"]);
        broken.chain_pem = "none".to_owned();
        let (table, problems) =
            CertificateTable::default().succeed(&spec(vec![mixed, broken, certificate(&["good.test"])]));
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].to_string().contains("mixed.test"), "{problems:?}");
        assert!(table.find("good.test").is_some() && table.find("mixed.test").is_none());
    }
}
