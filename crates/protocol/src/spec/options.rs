//! What is done with the requests of a route, beyond sending them on. People set these for an app or for one of its
//! domains; proxies and Traefik's configuration carry them out.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::ForwardAuth;

/// Options of a route. Everything is off or at its default when absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct RouteOptions {
    /// The route's path prefix is removed before a request is sent on; the app sees it in `X-Forwarded-Prefix`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strip_prefix: bool,
    /// Requests for the route's other hosts are redirected (308) to this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canonical_host: Option<String>,
    /// The first that fits answers the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redirects: Vec<Redirect>,
    /// Changes to what is sent to the app.
    #[serde(skip_serializing_if = "HeaderChanges::is_default")]
    pub request_headers: HeaderChanges,
    /// Changes to what is sent to the client.
    #[serde(skip_serializing_if = "HeaderChanges::is_default")]
    pub response_headers: HeaderChanges,
    /// Name and password are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// A service is asked about each request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_auth: Option<ForwardAuth>,
    /// Networks whose clients are let in; everybody when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "control-plane", schema(value_type = Vec<String>))]
    pub allow: Vec<IpNet>,
    /// Requests of one client address beyond it are answered with 429.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Bytes of a request's body; a longer one is answered with 413. No limit when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<u64>,
    /// Text is compressed for clients that accept it, unless the app did it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub compress: bool,
    /// The maintenance page instead of the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// A client's requests go to the same instance, by a cookie, as long as it serves.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sticky: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub balance: Balance,
    /// What instances speak.
    #[serde(skip_serializing_if = "is_default")]
    pub upstream_protocol: UpstreamProtocol,
    /// Seconds that an instance may take to begin its answer; the proxy's own limit (60) when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u32>,
    #[serde(skip_serializing_if = "is_default")]
    pub retry: Retry,
    /// An instance that fails is left out for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eject: Option<Eject>,
    /// Redirect plain HTTP to HTTPS; `true` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https_redirect: Option<bool>,
}

impl RouteOptions {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A request that is answered with another address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct Redirect {
    /// A path, whole (`/old`), or with `/*` at its end for everything below it (`/blog/*`).
    pub from: String,
    /// A path (`/new`) or an address (`https://example.com/new`). `*` at its end stands for what `/*` covered; the
    /// query is kept unless this has one.
    pub to: String,
    /// 301, 302, 303, 307 or 308.
    #[serde(default = "permanent")]
    pub status: u16,
}

fn permanent() -> u16 {
    308
}

/// Headers that are put on a message, replacing others of the name, and taken off it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct HeaderChanges {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

impl HeaderChanges {
    pub fn is_default(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }
}

/// HTTP Basic authentication (RFC 7617).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct BasicAuth {
    /// What browsers show beside the question.
    #[serde(default = "realm")]
    pub realm: String,
    /// Name to bcrypt hash (`$2b$…`), as `htpasswd -B` writes it: both engines know it.
    pub users: BTreeMap<String, String>,
}

fn realm() -> String {
    "Restricted".to_owned()
}

impl std::fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BasicAuth").field("realm", &self.realm).field("users", &self.users.keys()).finish()
    }
}

/// A bucket of tokens per client address (an IPv6 client counts by its /64).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct RateLimit {
    /// Requests within `per_s`, on average.
    pub requests: u32,
    /// Seconds; 1 when absent.
    #[serde(default = "one")]
    pub per_s: u32,
    /// Requests at once; `requests` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

fn one() -> u32 {
    1
}

/// The app is closed for a while: 503 with a page that says so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct Maintenance {
    /// For visitors; a general sentence when empty.
    pub message: String,
    /// Seconds, for `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
    /// Networks whose clients still reach the app.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "control-plane", schema(value_type = Vec<String>))]
    pub allow: Vec<IpNet>,
}

/// Which instance gets the next request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub enum Balance {
    /// The one with fewer requests under way.
    #[default]
    LeastRequests,
    /// In turn.
    RoundRobin,
}

/// What is spoken with instances.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub enum UpstreamProtocol {
    #[default]
    Http1,
    /// HTTP/2 without TLS (prior knowledge), as gRPC servers want it.
    H2c,
}

/// What may be sent to another instance when one does not answer. Requests that may not be carried out twice are sent
/// again only if no instance can have seen them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct Retry {
    /// Instances asked for one request, with the first.
    pub attempts: u8,
    /// Seconds for one of several attempts of a request that may be repeated; the whole time when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_try_timeout_s: Option<u32>,
    /// Also when the answer is 502, 503 or 504, for requests that may be repeated.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub on_gateway_error: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 3, per_try_timeout_s: None, on_gateway_error: false }
    }
}

/// Passive outlier ejection: connections that fail, time-outs and answers of 502, 503 and 504 in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct Eject {
    /// Failures in a row after which an instance gets no requests. At most half of the instances are left out at a
    /// time.
    pub failures: u32,
    /// Seconds; doubled with each time in a row, up to ten times as long.
    pub for_s: u32,
}

impl Default for Eject {
    fn default() -> Self {
        Self { failures: 5, for_s: 10 }
    }
}
