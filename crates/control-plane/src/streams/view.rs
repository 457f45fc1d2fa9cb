//! A stream as people see it.

use chrono::{DateTime, Utc};
use protocol::stream::{StreamOptions, StreamProtocol};
use serde::Serialize;

/// The streams of an app.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct StreamList {
    pub items: Vec<StreamView>,
    /// The ports that streams may have, such as `30000-30999, 5432`.
    pub ports: String,
}

/// A port of the proxies that leads to the app.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AppStream)]
pub struct StreamView {
    pub protocol: StreamProtocol,
    pub port: u16,
    /// Where clients connect to: host and port. Absent when no name of the app leads to the proxies.
    pub address: Option<String>,
    pub allow: Vec<String>,
    pub proxy_protocol: bool,
    pub tls: Option<String>,
    pub max_connections: u32,
    pub idle_timeout_s: u32,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    /// Why it may not work as a whole, and what to do.
    pub warning: Option<String>,
    /// Proxies that cannot listen on the port.
    pub problems: Vec<StreamIssue>,
}

/// Why a proxy does not listen.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct StreamIssue {
    /// Name of the proxy.
    pub node: String,
    /// With the remedy.
    pub problem: String,
    pub since: DateTime<Utc>,
}

/// What is kept of a stream.
#[derive(Debug)]
pub struct Row {
    pub protocol: StreamProtocol,
    pub port: u16,
    pub options: StreamOptions,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
}

/// What matters of an app for whether its streams work.
#[derive(Debug, Default)]
pub struct Facts {
    /// A name of the app that leads to the proxies.
    pub host: Option<String>,
    /// Its port.
    pub serving: i64,
    /// Of them those whose port is published for UDP.
    pub serving_udp: i64,
    pub proxies: i64,
}

impl StreamView {
    pub fn new(row: Row, facts: &Facts, problems: Vec<StreamIssue>) -> Self {
        let Row { protocol, port, options, created_by, created_at } = row;
        let host = options.tls.as_ref().or(facts.host.as_ref());
        Self {
            address: host.map(|host| format!("{host}:{port}")),
            warning: warning(protocol, facts, host.is_some()),
            allow: options.allow.iter().map(ToString::to_string).collect(),
            proxy_protocol: options.proxy_protocol,
            max_connections: options.max_connections,
            idle_timeout_s: options.idle_timeout_s.unwrap_or(protocol.idle_timeout_s()),
            tls: options.tls,
            protocol,
            port,
            created_by,
            created_at,
            problems,
        }
    }
}

/// The first thing that is in the way of all connections, or of some.
fn warning(protocol: StreamProtocol, facts: &Facts, named: bool) -> Option<String> {
    let Facts { serving, serving_udp, proxies, .. } = facts;
    if *proxies == 0 {
        Some("No proxy is in the fleet: streams are served by proxies".to_owned())
    } else if *serving == 0 {
        Some("No instance of the app serves, so connections are closed at once".to_owned())
    } else if protocol == StreamProtocol::Udp && serving_udp < serving {
        Some(format!(
            "{} of {serving} instances began before the app had a UDP stream, and get no datagrams: `wh restart` replaces them",
            serving - serving_udp
        ))
    } else if !named {
        Some("The app's zone leads to a worker, and streams are served by the proxies: connect to the address of a proxy, or add a domain of the app".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_told_with_the_remedy() {
        let (tcp, udp) = (StreamProtocol::Tcp, StreamProtocol::Udp);
        let good = || Facts { host: None, serving: 2, serving_udp: 2, proxies: 1 };
        assert_eq!(warning(udp, &good(), true), None);
        let part = Facts { serving_udp: 1, ..good() };
        assert_eq!(warning(tcp, &part, true), None);
        let told = warning(udp, &part, true).expect("a warning");
        assert!(told.starts_with("1 of 2 instances") && told.contains("wh restart"), "{told}");
        for (facts, named, word) in [
            (Facts { proxies: 0, ..good() }, true, "proxy"),
            (Facts { serving: 0, ..good() }, true, "instance"),
            (good(), false, "domain"),
        ] {
            assert!(warning(tcp, &facts, named).is_some_and(|told| told.contains(word)), "{word}");
        }
    }
}
