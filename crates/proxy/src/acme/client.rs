//! The HTTP client towards a CA: HTTPS only, with the system's roots and those of the order.

use std::time::Duration;

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{Account, AccountBuilder};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::failure::Trouble;

/// An account builder that trusts `root_pem` besides what the system trusts.
pub(super) fn builder(root_pem: Option<&str>) -> Result<AccountBuilder, Trouble> {
    let config = ClientConfig::builder().with_root_certificates(roots(root_pem)?).with_no_client_auth();
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(Duration::from_secs(10)));
    connector.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_only()
        .enable_http1()
        .enable_http2()
        .wrap_connector(connector);
    Ok(Account::builder_with_http(Box::new(Client::builder(TokioExecutor::new()).build(connector))))
}

fn roots(root_pem: Option<&str>) -> Result<RootCertStore, Trouble> {
    let mut roots = RootCertStore::empty();
    // A host without a certificate store can still use a CA whose root comes with the order.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for certificate in CertificateDer::pem_slice_iter(root_pem.unwrap_or_default().as_bytes()) {
        let certificate = certificate
            .map_err(|error| Trouble::Setup(format!("`acme.root_certificate` is not PEM: {error}")))?;
        roots
            .add(certificate)
            .map_err(|error| Trouble::Setup(format!("`acme.root_certificate` cannot be used: {error}")))?;
    }
    Ok(roots)
}
