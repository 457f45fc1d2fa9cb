//! One request as Traefik tells it. Fields that Traefik is not told to keep are as if they were not there.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use chrono::{DateTime, Utc};
use ingress::traffic::AppRecorder;
use protocol::traffic::{AccessSample, before_query, cut};
use serde::Deserialize;

/// A line of the log; `Duration` in nanoseconds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Line<'a> {
    #[serde(rename = "StartUTC")]
    start: DateTime<Utc>,
    duration: u64,
    downstream_status: u16,
    #[serde(borrow)]
    router_name: Option<Cow<'a, str>>,
    /// Absent when Traefik answered by itself.
    #[serde(borrow)]
    service_addr: Option<Cow<'a, str>>,
    #[serde(borrow)]
    client_host: Cow<'a, str>,
    #[serde(borrow)]
    request_host: Cow<'a, str>,
    #[serde(borrow)]
    request_method: Cow<'a, str>,
    /// With the query.
    #[serde(borrow)]
    request_path: Cow<'a, str>,
    #[serde(borrow)]
    request_protocol: Cow<'a, str>,
    #[serde(borrow)]
    request_scheme: Cow<'a, str>,
    #[serde(default)]
    request_content_size: i64,
    #[serde(default)]
    downstream_content_size: i64,
    #[serde(default)]
    retry_attempts: u64,
    #[serde(borrow, rename = "request_User-Agent")]
    user_agent: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "request_Referer")]
    referer: Option<Cow<'a, str>>,
}

impl Line<'_> {
    /// What `find` knows of the route that the router was made for: `app-<id>`, or that with something behind it.
    pub(super) fn route<T>(&self, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let name = self.router_name.as_deref()?.strip_prefix("app-")?;
        let mut id = name.split('@').next()?;
        loop {
            if let Some(found) = find(id) {
                return Some(found);
            }
            (id, _) = id.rsplit_once('-')?;
        }
    }

    pub(super) fn record(&self, app: &AppRecorder) {
        let took_us = self.duration / 1000;
        let bytes = |size: i64| u64::try_from(size).unwrap_or(0);
        let (received, sent) = (bytes(self.request_content_size), bytes(self.downstream_content_size));
        let path = before_query(&self.request_path);
        // How long a WebSocket stayed says nothing about how soon it was there.
        let counted_us = Some(took_us).filter(|_| self.downstream_status != 101);
        for _ in 0..self.retry_attempts.min(16) {
            app.upstream_failed();
        }
        app.record(self.downstream_status, counted_us, (received, sent), path, || AccessSample {
            at: self.start + Duration::from_micros(took_us.min(1 << 50)),
            method: cut(&self.request_method).to_owned(),
            host: cut(&self.request_host).to_owned(),
            path: cut(path).to_owned(),
            status: self.downstream_status,
            took_us,
            received_bytes: received,
            sent_bytes: sent,
            client: self.client_host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            protocol: cut(&self.request_protocol).to_owned(),
            tls: self.request_scheme == "https",
            user_agent: self.user_agent.as_deref().map(|text| cut(text).to_owned()),
            referer: self.referer.as_deref().map(|text| cut(before_query(text)).to_owned()),
            upstream: self.service_addr.as_deref().and_then(|address| address.parse().ok()),
        });
    }
}
