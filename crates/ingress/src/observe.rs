//! Numbers per app. Handles are looked up once per app, not per request; nothing is formatted while serving.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{Counter, Histogram};

use crate::traffic::{AppRecorder, Recorder};
use crate::visit::{Note, micros};

/// The counters of one app. They are registered with its first request, so that apps without traffic cost nothing.
#[derive(Debug)]
pub struct RouteMetrics {
    app: Box<str>,
    handles: OnceLock<Handles>,
    /// For the control plane; absent when that is not asked for.
    traffic: OnceLock<Arc<AppRecorder>>,
}

struct Handles {
    /// By first digit of the status, from 1.
    requests: [Counter; 5],
    sent: Counter,
    received: Counter,
    seconds: Histogram,
    upstream_errors: Counter,
}

impl std::fmt::Debug for Handles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handles")
    }
}

impl RouteMetrics {
    pub(crate) fn new(app: &str) -> Self {
        Self { app: app.into(), handles: OnceLock::new(), traffic: OnceLock::new() }
    }

    /// From now on `recorder` is told of the app's requests, too.
    pub(crate) fn recorded_by(&self, recorder: &Recorder) {
        self.traffic.get_or_init(|| recorder.app(&self.app));
    }

    pub(crate) fn traffic(&self) -> Option<&AppRecorder> {
        self.traffic.get().map(|traffic| &**traffic)
    }

    /// Records one finished request for the control plane.
    pub(crate) fn recorded(
        &self,
        status: u16,
        took: Duration,
        received: u64,
        sent: u64,
        note: Option<Box<Note>>,
    ) {
        let Some(traffic) = self.traffic() else { return };
        traffic.finished(status, micros(took), received, sent);
        if let Some(note) = note {
            let (path, weight, sample) = note.told(took, received, sent);
            traffic.keep(&path, weight, status, micros(took), sample);
        }
    }

    /// Counts one finished request.
    pub(crate) fn finished(&self, status: u16, took: Duration, received: u64, sent: u64) {
        let handles = self.handles();
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        handles.requests[class].increment(1);
        handles.seconds.record(took);
        if received > 0 {
            handles.received.increment(received);
        }
        if sent > 0 {
            handles.sent.increment(sent);
        }
    }

    /// Counts bytes of a connection that became a tunnel.
    pub(crate) fn tunnelled(&self, received: u64, sent: u64) {
        self.handles().received.increment(received);
        self.handles().sent.increment(sent);
        if let Some(traffic) = self.traffic() {
            traffic.moved(received, sent);
        }
    }

    pub(crate) fn upstream_failed(&self) {
        self.handles().upstream_errors.increment(1);
        if let Some(traffic) = self.traffic() {
            traffic.upstream_failed();
        }
    }

    fn handles(&self) -> &Handles {
        self.handles.get_or_init(|| {
            let app = self.app.to_string();
            let requests = ["1xx", "2xx", "3xx", "4xx", "5xx"].map(|class| {
                metrics::counter!("wisehosting_ingress_requests_total", "app" => app.clone(), "status" => class)
            });
            Handles {
                requests,
                sent: metrics::counter!("wisehosting_ingress_sent_bytes_total", "app" => app.clone()),
                received: metrics::counter!("wisehosting_ingress_received_bytes_total", "app" => app.clone()),
                seconds: metrics::histogram!("wisehosting_ingress_request_seconds", "app" => app.clone()),
                upstream_errors: metrics::counter!("wisehosting_ingress_upstream_errors_total", "app" => app),
            }
        })
    }
}
