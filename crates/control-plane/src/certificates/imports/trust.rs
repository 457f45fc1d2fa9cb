//! Whether clients will trust a chain, as far as this host's own list of CAs tells. An internal CA is fine; people are told.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::{CertificateError, Error, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::read::Read;

/// What to say about the trust in a certificate; nothing when browsers trust it.
pub(super) fn note(read: &Read, roots: RootCertStore, now: DateTime<Utc>) -> Option<String> {
    if read.self_signed {
        return Some(
            "It is signed by itself: browsers warn of it unless it is installed on them.".to_owned(),
        );
    }
    match verify(&read.chain, &read.leaf.names[0], roots, now) {
        Ok(()) => None,
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => Some(format!(
            "Its issuer, {}, is not known to the control plane's host: it is an internal CA, which clients have to have \
             installed, or the file lacks an intermediate certificate of the CA.",
            read.leaf.issuer
        )),
        Err(error) => Some(format!("Clients may refuse it: {error}.")),
    }
}

fn verify(
    chain: &[CertificateDer<'static>],
    name: &str,
    roots: RootCertStore,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let verifier = WebPkiServerVerifier::builder(Arc::new(roots))
        .build()
        .map_err(|_| Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
    // Any name that it covers will do: whether it is the right one is not asked here.
    let name = name.replacen('*', "any", 1);
    let name = ServerName::try_from(name).map_err(|error| Error::General(error.to_string()))?;
    let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], at).map(|_| ())
}

/// The CAs that this host knows.
pub(super) fn known_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    use super::*;
    use crate::certificates::imports::read::read;

    #[test]
    fn a_ca_that_the_host_knows_is_trusted_and_others_are_told() {
        daemon::crypto::install();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "House CA");
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("root");
        let key = KeyPair::generate().expect("key");
        let names = ["*.shop.test".to_owned(), "shop.test".to_owned()];
        let leaf = CertificateParams::new(names).expect("names").signed_by(&key, &root).expect("leaf");
        let now = Utc::now();
        let read = read(&leaf.pem(), &key.serialize_pem(), now).expect("good");
        let mut roots = RootCertStore::empty();
        let text = note(&read, roots.clone(), now).expect("not trusted by anybody");
        assert!(text.contains("House CA") && text.contains("intermediate"), "{text}");
        roots.add(root.der().clone()).expect("root");
        assert_eq!(note(&read, roots, now), None);
    }

    #[test]
    fn one_that_is_signed_by_itself_is_told() {
        daemon::crypto::install();
        let made = rcgen::generate_simple_self_signed(["shop.test".to_owned()]).expect("certificate");
        let read = read(&made.cert.pem(), &made.signing_key.serialize_pem(), Utc::now()).expect("good");
        let text = note(&read, RootCertStore::empty(), Utc::now()).expect("note");
        assert!(text.contains("signed by itself"), "{text}");
    }
}
