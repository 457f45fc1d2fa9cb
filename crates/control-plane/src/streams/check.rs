//! What of a stream can be carried out.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use protocol::stream::{StreamOptions, StreamProtocol};
use serde::Deserialize;

use crate::http::{Error, Result};

const NETWORK_LIMIT: usize = 1000;
const CONNECTIONS: RangeInclusive<u32> = 1..=10_000;
/// Up to a week.
const IDLE_S: RangeInclusive<u32> = 5..=604_800;

/// What is done with the connections of a stream.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = StreamOptions)]
pub(super) struct Wanted {
    /// Addresses and networks that are let in; everybody when there is none.
    pub allow: Vec<String>,
    /// The app is told who connects, by a header of the PROXY protocol, version 2. TCP alone.
    pub proxy_protocol: bool,
    /// One of the app's host names: the proxy speaks TLS with its certificate. TCP alone.
    pub tls: Option<String>,
    /// Connections, or clients of UDP, at once on each proxy: 1 to 10000; 1000 when absent.
    pub max_connections: Option<u32>,
    /// Seconds without a byte after which a connection is closed: 5 to 604800; 3600 for TCP and 60 for UDP when absent.
    pub idle_timeout_s: Option<u32>,
}

impl Wanted {
    /// The options as they are kept. `hosts` are the app's names.
    pub(super) fn options(self, protocol: StreamProtocol, hosts: &[String]) -> Result<StreamOptions> {
        if protocol == StreamProtocol::Udp {
            for (field, set) in [("tls", self.tls.is_some()), ("proxy_protocol", self.proxy_protocol)] {
                if set {
                    return Err(
                        Error::invalid(field, format!("{field} is for TCP")).hint("Leave it out for UDP")
                    );
                }
            }
        }
        let tls = self.tls.map(|host| of_app(&host, hosts)).transpose()?;
        let most = self.max_connections.unwrap_or(StreamOptions::default().max_connections);
        within("max_connections", most, &CONNECTIONS)?;
        if let Some(idle) = self.idle_timeout_s {
            within("idle_timeout_s", idle, &IDLE_S)?;
        }
        Ok(StreamOptions {
            allow: networks(&self.allow)?,
            proxy_protocol: self.proxy_protocol,
            tls,
            max_connections: most,
            idle_timeout_s: self.idle_timeout_s,
        })
    }
}

fn within(field: &str, number: u32, range: &RangeInclusive<u32>) -> Result<()> {
    if range.contains(&number) {
        return Ok(());
    }
    Err(Error::invalid(field, format!("{field} must be between {} and {}", range.start(), range.end())))
}

/// There is a certificate for the app's own names alone.
fn of_app(host: &str, hosts: &[String]) -> Result<String> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if hosts.contains(&host) {
        return Ok(host);
    }
    Err(Error::invalid("tls", format!("{host} is no name of this app"))
        .hint(format!("One of {}; `wh domain add` adds another", hosts.join(", "))))
}

/// An address without a prefix is a network of one; bits beyond the prefix say nothing.
fn networks(texts: &[String]) -> Result<Vec<IpNet>> {
    if texts.len() > NETWORK_LIMIT {
        return Err(Error::invalid("allow", format!("allow may have at most {NETWORK_LIMIT} networks"))
            .hint("Write neighbouring addresses as one network"));
    }
    let network = |(number, text): (usize, &String)| {
        let read = text.trim();
        let network = read.parse::<IpNet>().or_else(|_| read.parse::<IpAddr>().map(IpNet::from));
        network.map(|network| network.trunc()).map_err(|_| {
            Error::invalid(format!("allow.{number}"), format!("`{text}` is no address and no network")).hint(
                "Write an address such as 203.0.113.7, or a network such as 203.0.113.0/24 or 2001:db8::/32",
            )
        })
    };
    texts.iter().enumerate().map(network).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(protocol: StreamProtocol, wanted: Wanted) -> Result<StreamOptions> {
        wanted.options(protocol, &["db.example.com".to_owned()])
    }

    #[test]
    fn networks_are_kept_one_way_and_absent_options_are_the_defaults() {
        let allow = ["10.1.2.3/8", " 192.0.2.1", "2001:DB8::1/32"].map(str::to_owned).to_vec();
        let kept = options(StreamProtocol::Tcp, Wanted { allow, ..Wanted::default() }).expect("good");
        let shown: Vec<String> = kept.allow.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]);
        assert_eq!(StreamOptions { allow: Vec::new(), ..kept }, StreamOptions::default());
    }

    #[test]
    fn what_cannot_be_carried_out_names_its_field() {
        let wrong = |field: &str, protocol, wanted: Wanted| {
            let error = format!("{:?}", options(protocol, wanted).expect_err(field));
            assert!(error.contains(&format!("field: Some(\"{field}\")")), "{error}");
        };
        let (tcp, udp) = (StreamProtocol::Tcp, StreamProtocol::Udp);
        let own = || Some("db.example.com".to_owned());
        wrong("tls", tcp, Wanted { tls: Some("other.example.com".to_owned()), ..Wanted::default() });
        wrong("tls", udp, Wanted { tls: own(), ..Wanted::default() });
        wrong("proxy_protocol", udp, Wanted { proxy_protocol: true, ..Wanted::default() });
        wrong("max_connections", tcp, Wanted { max_connections: Some(0), ..Wanted::default() });
        wrong("idle_timeout_s", udp, Wanted { idle_timeout_s: Some(4), ..Wanted::default() });
        wrong("allow.0", tcp, Wanted { allow: vec!["here".to_owned()], ..Wanted::default() });
        let tls = Wanted { tls: Some("DB.example.com.".to_owned()), ..Wanted::default() };
        assert_eq!(options(tcp, tls).expect("good").tls, own());
    }
}
