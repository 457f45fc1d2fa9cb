//! Outbound HTTP: clients with time limits, and the rule for plain `http://` to a control plane.

use std::net::IpAddr;
use std::time::Duration;

use url::{Host, Url};

/// Settings of an outbound client.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    /// For the whole exchange; 30 s when absent. Streams of unknown length pass `Some(Duration::MAX)`-like values
    /// and rely on the read timeout.
    pub timeout: Option<Duration>,
    /// Do not use a proxy that the environment names: for calls over the mesh.
    pub direct: bool,
    /// Root certificates in PEM, besides the system's.
    pub root_pem: Option<Vec<u8>>,
}

/// A client that gives up: 5 s to connect, 30 s between reads, no redirects followed.
pub fn client(options: &ClientOptions) -> Result<reqwest::Client, reqwest::Error> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("wisehosting/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_secs(30))
        .timeout(options.timeout.unwrap_or(Duration::from_secs(30)))
        .redirect(reqwest::redirect::Policy::none());
    if options.direct {
        builder = builder.no_proxy();
    }
    if let Some(pem) = &options.root_pem {
        for certificate in reqwest::Certificate::from_pem_bundle(pem)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build()
}

/// Checks a control plane's base URL: `https://` always; `http://` only when the host is a literal loopback or
/// RFC 1918 address, because the API key would cross the wire in clear text otherwise (seed, "Plain HTTP rules").
pub fn check_base_url(url: &Url) -> Result<(), String> {
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => Ok(()),
        ("http", Some(Host::Ipv4(address))) if address.is_loopback() || address.is_private() => Ok(()),
        ("http", Some(Host::Ipv6(address))) if IpAddr::V6(address).to_canonical().is_loopback() => Ok(()),
        ("http", Some(host)) => Err(format!(
            "uses plain http to {host}, which would send the API key in clear text: use https, or a literal loopback or private (RFC 1918) address"
        )),
        _ => Err("must be an https:// or http:// URL with a host".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_literal_private_addresses_only() {
        for good in [
            "https://cp.example.com",
            "http://10.50.0.1:8081",
            "http://127.0.0.1",
            "http://192.168.1.2",
            "http://[::1]:80",
        ] {
            assert_eq!(check_base_url(&good.parse().expect("url")), Ok(()), "{good}");
        }
        for bad in [
            "http://198.51.100.1",
            "http://localhost:8081",
            "http://cp.internal",
            "http://172.32.0.1",
            "ftp://10.0.0.1",
            "http://[2001:db8::1]",
        ] {
            assert!(check_base_url(&bad.parse().expect("url")).is_err(), "{bad}");
        }
    }
}
