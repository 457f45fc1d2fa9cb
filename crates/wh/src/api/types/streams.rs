use serde::{Deserialize, Serialize};

/// The streams of an app.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Streams {
    pub(crate) items: Vec<Stream>,
    /// Those that streams may have.
    #[serde(default)]
    pub(crate) ports: String,
}

/// A port of the proxies that leads to an app.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stream {
    pub(crate) protocol: String,
    pub(crate) port: u16,
    #[serde(default)]
    pub(crate) address: Option<String>,
    #[serde(default)]
    pub(crate) allow: Vec<String>,
    #[serde(default)]
    pub(crate) proxy_protocol: bool,
    #[serde(default)]
    pub(crate) tls: Option<String>,
    #[serde(default)]
    pub(crate) max_connections: u32,
    #[serde(default)]
    pub(crate) idle_timeout_s: u32,
    #[serde(default)]
    pub(crate) warning: Option<String>,
    #[serde(default)]
    pub(crate) problems: Vec<StreamIssue>,
}

/// Why a proxy does not listen.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StreamIssue {
    pub(crate) node: String,
    pub(crate) problem: String,
}
