//! The parts of Traefik's dynamic configuration that are used, under its names.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;

/// Dynamic configuration.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Dynamic {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<Http>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<Tls>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Http {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) routers: BTreeMap<String, Router>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) services: BTreeMap<String, Service>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) middlewares: BTreeMap<String, Middleware>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) servers_transports: BTreeMap<String, Transport>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Router {
    pub(crate) entry_points: Vec<&'static str>,
    pub(crate) rule: String,
    pub(crate) service: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) middlewares: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<RouterTls>,
    /// Higher goes first; without one, the longer rule does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) priority: Option<i32>,
}

/// `{}`: TLS with whatever certificate fits the name.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RouterTls {
    /// One of Traefik's own, which orders what is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cert_resolver: Option<String>,
    /// Name of a section of [`Tls::options`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) options: Option<&'static str>,
    /// A certificate for each: without them it would order one for all names of the rule, which fails with any of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) domains: Vec<Domain>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Domain {
    pub(crate) main: String,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Service {
    pub(crate) load_balancer: LoadBalancer,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoadBalancer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sticky: Option<Sticky>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) servers: Vec<Server>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) passive_health_check: Option<PassiveHealthCheck>,
    /// Also keeps a load balancer without servers from being an empty section, for which Traefik refuses the whole
    /// table.
    pub(crate) servers_transport: String,
}

#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Sticky {
    pub(crate) cookie: Cookie,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cookie {
    pub(crate) name: &'static str,
    pub(crate) secure: bool,
    pub(crate) http_only: bool,
    pub(crate) same_site: &'static str,
    /// `/` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
}

#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Server {
    pub(crate) url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) weight: Option<u16>,
}

impl Server {
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { url: format!("http://{address}"), weight: None }
    }
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PassiveHealthCheck {
    pub(crate) failure_window: String,
    pub(crate) max_failed_attempts: u32,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Transport {
    pub(crate) forwarding_timeouts: ForwardingTimeouts,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ForwardingTimeouts {
    pub(crate) dial_timeout: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response_header_timeout: Option<String>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Middleware {
    RedirectScheme {
        scheme: &'static str,
        permanent: bool,
    },
    /// Does nothing to a request.
    ContentType {},
    #[serde(rename = "ipAllowList")]
    IpAllowList {
        source_range: Vec<String>,
    },
    RateLimit {
        average: u32,
        period: String,
        burst: u32,
        source_criterion: SourceCriterion,
    },
    RedirectRegex {
        regex: String,
        replacement: String,
        permanent: bool,
    },
    BasicAuth {
        users: Vec<String>,
        realm: String,
        remove_header: bool,
    },
    ForwardAuth {
        address: String,
        /// Said at all, because without it some of what clients say of their origin passes.
        trust_forward_header: bool,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        auth_request_headers: Vec<String>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        auth_response_headers: Vec<String>,
        /// A `Location` stays as it is, rather than to be of the service's host.
        preserve_location_header: bool,
        max_response_body_size: u32,
    },
    Buffering {
        max_request_body_bytes: u64,
    },
    Headers {
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        custom_request_headers: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        custom_response_headers: BTreeMap<String, String>,
    },
    Compress {
        included_content_types: &'static [&'static str],
    },
    StripPrefix {
        prefixes: [String; 1],
    },
    Retry {
        attempts: u8,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<[&'static str; 1]>,
    },
}

impl Middleware {
    /// Begins its names.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::RedirectScheme { .. } => "redirect-scheme",
            Self::ContentType {} => "content-type",
            Self::IpAllowList { .. } => "allow",
            Self::RateLimit { .. } => "rate-limit",
            Self::RedirectRegex { .. } => "redirect",
            Self::BasicAuth { .. } => "auth",
            Self::ForwardAuth { .. } => "forward-auth",
            Self::Buffering { .. } => "body-limit",
            Self::Headers { .. } => "headers",
            Self::Compress { .. } => "compress",
            Self::StripPrefix { .. } => "strip",
            Self::Retry { .. } => "retry",
        }
    }
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SourceCriterion {
    pub(crate) ip_strategy: IpStrategy,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IpStrategy {
    pub(crate) ipv6_subnet: u8,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Tls {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) certificates: Vec<Pair>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) options: BTreeMap<&'static str, TlsOptions>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TlsOptions {
    pub(crate) min_version: &'static str,
    pub(crate) max_version: &'static str,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pair {
    pub(crate) cert_file: String,
    pub(crate) key_file: String,
}
