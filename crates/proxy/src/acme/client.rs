//! The HTTP client towards a CA: HTTPS only, with the system's roots and those of the order. It remembers for how long
//! the CA wants to be left alone, which the library does not tell.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, StatusCode};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{Account, AccountBuilder, BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::failure::Trouble;

/// Until when the CA wants no more requests, as it said last.
#[derive(Debug, Clone, Default)]
pub(super) struct Pause(Arc<Mutex<Option<DateTime<Utc>>>>);

impl Pause {
    pub(super) fn end(&self) -> Option<DateTime<Utc>> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, response: &BytesResponse) {
        let limited = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
        if limited.contains(&response.parts.status) {
            let until =
                response.parts.headers.get(RETRY_AFTER).and_then(|value| retry_after(value, Utc::now()));
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
        }
    }
}

/// Seconds or a date (RFC 9110 section 10.2.3).
fn retry_after(value: &HeaderValue, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let text = value.to_str().ok()?.trim();
    match text.parse::<u32>() {
        Ok(seconds) => Some(now + TimeDelta::seconds(seconds.into())),
        Err(_) => DateTime::parse_from_rfc2822(text).ok().map(|date| date.to_utc()),
    }
}

/// Hears what the CA says about pauses.
struct Listening<C> {
    client: C,
    pause: Pause,
}

type Answer = Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>>;

impl<C: HttpClient> HttpClient for Listening<C> {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Answer {
        let (answer, pause) = (self.client.request(request), self.pause.clone());
        Box::pin(async move {
            let answer = answer.await?;
            pause.note(&answer);
            Ok(answer)
        })
    }
}

/// An account builder that trusts `root_pem` besides what the system trusts, and writes to `pause`.
pub(super) fn builder(root_pem: Option<&str>, pause: &Pause) -> Result<AccountBuilder, Trouble> {
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
    let client: Client<_, BodyWrapper<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    Ok(Account::builder_with_http(Box::new(Listening { client, pause: pause.clone() })))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_told_in_seconds_or_by_its_end() {
        let now: DateTime<Utc> = "2026-11-06T08:00:00Z".parse().expect("time");
        let after =
            |text| retry_after(&HeaderValue::from_static(text), now).map(|end| (end - now).num_seconds());
        assert_eq!(after("120"), Some(120));
        assert_eq!(after("Fri, 06 Nov 2026 08:49:37 GMT"), Some(2977));
        assert_eq!(after("soon"), None);
    }
}
