//! `[limits]`, and the flags of `standalone` that say the same: what one client may take. Meanings and defaults are
//! those of [`ingress::Limits`].

use std::ops::RangeInclusive;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

/// Limits of clients.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Args)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Of a request's head, and of its trailers; beyond: 431.
    #[arg(long, value_name = "BYTES", default_value_t = Self::default().header_bytes)]
    header_bytes: u32,
    /// Fields of a head over HTTP/1.1; beyond: 431.
    #[arg(long, value_name = "COUNT", default_value_t = Self::default().headers)]
    headers: u32,
    /// Of each listener; more wait.
    #[arg(long, value_name = "COUNT", default_value_t = Self::default().connections)]
    connections: u32,
    /// Of one address (IPv6: one /64); more are closed.
    #[arg(long, value_name = "COUNT", default_value_t = Self::default().connections_per_client)]
    connections_per_client: u32,
    /// For a request's head, and how long an idle HTTP/1.1 connection lives.
    #[arg(long, value_name = "SECONDS", default_value_t = Self::default().head_timeout_s)]
    head_timeout_s: u32,
    /// Slower while a body is waited for: 408. 0 is no limit.
    #[arg(long, value_name = "BYTES", default_value_t = Self::default().upload_bytes_per_s)]
    upload_bytes_per_s: u32,
    /// A piece of an answer that is not taken for so long ends the answer.
    #[arg(long, value_name = "SECONDS", default_value_t = Self::default().download_stall_s)]
    download_stall_s: u32,
    /// Requests at once on one HTTP/2 connection.
    #[arg(long, value_name = "COUNT", default_value_t = Self::default().http2_streams)]
    http2_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let limits = ingress::Limits::default();
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        Self {
            header_bytes: limits.header_bytes,
            headers: small(limits.headers),
            connections: small(limits.connections),
            connections_per_client: small(limits.connections_per_client),
            head_timeout_s: seconds(limits.head_timeout),
            upload_bytes_per_s: limits.upload_bytes_per_s,
            download_stall_s: seconds(limits.download_stall),
            http2_streams: limits.http2_streams,
        }
    }
}

impl From<&Limits> for ingress::Limits {
    fn from(limits: &Limits) -> Self {
        let seconds = |count: u32| Duration::from_secs(count.into());
        Self {
            header_bytes: limits.header_bytes,
            headers: limits.headers as usize,
            connections: limits.connections as usize,
            connections_per_client: limits.connections_per_client as usize,
            head_timeout: seconds(limits.head_timeout_s),
            upload_bytes_per_s: limits.upload_bytes_per_s,
            download_stall: seconds(limits.download_stall_s),
            http2_streams: limits.http2_streams,
        }
    }
}

impl Limits {
    /// The first setting that is beyond its bounds, and what is wrong with it.
    pub(crate) fn wrong(&self) -> Option<(&'static str, String)> {
        let settings: [(&str, u32, RangeInclusive<u32>); 8] = [
            ("header_bytes", self.header_bytes, 8192..=1024 * 1024),
            ("headers", self.headers, 10..=10_000),
            ("connections", self.connections, 1..=1_000_000),
            ("connections_per_client", self.connections_per_client, 1..=self.connections),
            ("head_timeout_s", self.head_timeout_s, 1..=3600),
            ("upload_bytes_per_s", self.upload_bytes_per_s, 0..=1024 * 1024),
            ("download_stall_s", self.download_stall_s, 1..=86_400),
            ("http2_streams", self.http2_streams, 1..=10_000),
        ];
        let (key, value, allowed) =
            settings.into_iter().find(|(_, value, allowed)| !allowed.contains(value))?;
        Some((key, format!("must be {} to {}, not {value}", allowed.start(), allowed.end())))
    }
}
