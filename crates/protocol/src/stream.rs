//! Ports of the proxies that lead to an app past HTTP, and what a proxy says of them.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::spec::Upstream;

/// Problems in one [`StreamReport`]; more are not told.
pub const MAX_PROBLEMS: usize = 1000;

/// What is spoken below the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(
    feature = "control-plane",
    derive(sqlx::Type, utoipa::ToSchema),
    sqlx(type_name = "text", rename_all = "lowercase")
)]
pub enum StreamProtocol {
    Tcp,
    Udp,
}

impl StreamProtocol {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// Seconds after which a connection without a byte is closed, unless its stream says otherwise. Databases' clients
    /// keep connections for long; a UDP client that is gone never says so.
    pub fn idle_timeout_s(self) -> u32 {
        match self {
            Self::Tcp => 3600,
            Self::Udp => 60,
        }
    }
}

impl std::fmt::Display for StreamProtocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A port that leads to an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    pub protocol: StreamProtocol,
    pub port: u16,
    /// For logs and numbers.
    pub app: String,
    pub upstreams: Vec<Upstream>,
    #[serde(default, skip_serializing_if = "StreamOptions::is_default")]
    pub options: StreamOptions,
}

/// What is done with the connections of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamOptions {
    /// Networks that are let in; everybody when there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<IpNet>,
    /// Each connection to the app begins with a header of the PROXY protocol, version 2. TCP alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub proxy_protocol: bool,
    /// The proxy speaks TLS with the certificate of this host, and plain TCP with the app. TCP alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// Connections, or clients of UDP, at once on each proxy. More are closed at once.
    pub max_connections: u32,
    /// Seconds without a byte after which a connection is closed; absent for [`StreamProtocol::idle_timeout_s`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout_s: Option<u32>,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            proxy_protocol: false,
            tls: None,
            max_connections: 1000,
            idle_timeout_s: None,
        }
    }
}

impl StreamOptions {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a proxy cannot listen on: all of it, each time. Sent at the start of a connection and when it changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamReport {
    /// At most [`MAX_PROBLEMS`].
    pub problems: Vec<StreamProblem>,
}

/// Why a port is not listened on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamProblem {
    pub protocol: StreamProtocol,
    pub port: u16,
    /// A sentence with the remedy.
    pub problem: String,
}
