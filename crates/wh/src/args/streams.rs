//! What is said of an app's streams.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum StreamCommand {
    /// List the app's streams, and what is wrong with them
    #[command(alias = "list")]
    Ls,
    /// Publish the app's own port for TCP or UDP, or change what is done at a port that it has
    Add(AddStream),
    /// Close a port; who is connected has 30 seconds
    #[command(alias = "remove")]
    Rm { protocol: StreamProtocol, port: u16 },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum StreamProtocol {
    Tcp,
    Udp,
}

impl StreamProtocol {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct AddStream {
    pub(crate) protocol: StreamProtocol,
    /// The port of the proxies; a free one without it
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Let in only this address or network; may be repeated
    #[arg(long, value_name = "NETWORK")]
    pub(crate) allow: Vec<String>,
    /// Tell the app who connects, by a header of the PROXY protocol
    #[arg(long)]
    pub(crate) proxy_protocol: bool,
    /// Speak TLS with the certificate of this host name of the app
    #[arg(long, value_name = "HOST")]
    pub(crate) tls: Option<String>,
    /// Connections at once on each proxy; 1000 by default
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_connections: Option<u32>,
    /// Close a connection on which nothing moved for so long: 1h for TCP and 1m for UDP by default
    #[arg(long, value_parser = crate::ui::time::parse, value_name = "TIME")]
    pub(crate) idle_timeout: Option<Duration>,
}
