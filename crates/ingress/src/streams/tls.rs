//! TLS in front of an app that speaks plain TCP: always with the certificate of the stream's host, because clients of
//! databases seldom say which name they want.

use std::sync::{Arc, Weak};

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use super::table::StreamKey;
use crate::gateway::Gateway;

/// TLS 1.2 and 1.3 for one listener, whichever host its stream names.
pub(super) fn acceptor(gateway: &Arc<Gateway>, key: StreamKey) -> TlsAcceptor {
    let resolver = Resolver { gateway: Arc::downgrade(gateway), key };
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    let config = ServerConfig::builder_with_protocol_versions(&versions)
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    TlsAcceptor::from(Arc::new(config))
}

#[derive(Debug)]
struct Resolver {
    gateway: Weak<Gateway>,
    key: StreamKey,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let gateway = self.gateway.upgrade()?;
        let host = gateway.stream(self.key)?.tls.clone()?;
        gateway.certificate(&host)
    }
}
