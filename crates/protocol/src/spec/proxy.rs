//! What a proxy serves: routes, certificates, challenges.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::options::RouteOptions;
use crate::ids::InstanceId;
use crate::stream::Stream;

/// Everything a proxy needs to serve: routes, certificates, challenges.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProxySpec {
    /// Each by itself, so that what did not change from one spec to the next is held once.
    pub routes: Vec<Arc<Route>>,
    pub certificates: Vec<Arc<Certificate>>,
    pub challenges: Vec<HttpChallenge>,
    /// Answers to TLS-ALPN-01 (RFC 8737).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alpn_challenges: Vec<AlpnChallenge>,
    /// Hosts whose certificates a Traefik orders by itself, and the name of its resolver for them. There are no
    /// certificates for them here, unless somebody brought one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resolvers: BTreeMap<String, String>,
    /// Hosts without a certificate that somebody else's would fit: Traefik, which knows certificates by their names alone,
    /// has to refuse HTTPS for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// Ports that lead to apps past HTTP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<Stream>,
}

impl ProxySpec {
    /// Takes the routes that are equal to those of `known` from there: what did not change is held once, and seen not to
    /// have changed without a look at it.
    pub fn share(&mut self, known: &Self) {
        let by_id: HashMap<&str, &Arc<Route>> =
            known.routes.iter().map(|route| (route.id.as_str(), route)).collect();
        for route in &mut self.routes {
            if let Some(same) = by_id.get(route.id.as_str()).filter(|same| ***same == *route) {
                *route = Arc::clone(same);
            }
        }
    }
}

/// Hostnames and path to upstreams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Stable name, unique in the table; used in logs and as Traefik's router name.
    pub id: String,
    /// For error pages and logs.
    pub app: String,
    /// Lower case, no trailing dot. `*.` before a name stands for exactly one label; a name of its own wins over it.
    pub hosts: Vec<String>,
    /// Prefix of the path, `/` for all. The longest one that fits gets the request.
    pub path: String,
    pub upstreams: Vec<Upstream>,
    /// Why there are no upstreams, for the page that visitors see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<Unavailable>,
    /// Answer plain HTTP with a redirect to HTTPS.
    pub https_only: bool,
    /// What else is done with its requests; left out where nothing is.
    #[serde(default, skip_serializing_if = "RouteOptions::is_default")]
    pub options: Box<RouteOptions>,
}

/// Why an app has nothing that could answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unavailable {
    /// Instances are on their way.
    Starting,
    /// There are instances, and none serves.
    Unhealthy,
    /// Its people stopped it.
    Stopped,
}

/// One healthy instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Upstream {
    pub instance: InstanceId,
    pub address: SocketAddr,
    /// Share of the requests, relative to the other upstreams'.
    pub weight: u16,
}

/// A certificate with its key, for the names in it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    pub hosts: Vec<String>,
    /// Leaf first, PEM.
    pub chain_pem: String,
    /// PKCS #8, PEM.
    pub key_pem: String,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// An ACME HTTP-01 answer (RFC 8555 section 8.3) that every proxy gives, whichever of them asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpChallenge {
    pub host: String,
    pub token: String,
    pub key_authorization: String,
}

/// A TLS-ALPN-01 answer (RFC 8737): every proxy shows a certificate made of it to a client that speaks `acme-tls/1`
/// alone and names the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlpnChallenge {
    pub host: String,
    /// SHA-256 of the key authorization, hexadecimal: the value of the certificate's extension `acmeIdentifier`.
    pub digest: String,
}
