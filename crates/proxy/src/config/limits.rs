//! `[limits]`: what one client may take. Meanings and defaults are those of [`ingress::Limits`].

use std::ops::RangeInclusive;
use std::time::Duration;

use daemon::config::Invalid;
use serde::Deserialize;

/// Limits of clients.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    header_bytes: u32,
    headers: u32,
    connections: u32,
    connections_per_client: u32,
    head_timeout_s: u32,
    upload_bytes_per_s: u32,
    download_stall_s: u32,
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
    pub(super) fn check(&self) -> Result<(), Invalid> {
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
        for (key, value, allowed) in settings {
            if !allowed.contains(&value) {
                let problem = format!("must be {} to {}, not {value}", allowed.start(), allowed.end());
                return Err(Invalid::new(format!("limits.{key}"), problem));
            }
        }
        Ok(())
    }
}
