//! Numbers per app, for `/metrics` and for the control plane. They stand side by side in one place of memory: a request
//! of one of thousands of apps finds all of them with one look, and nothing is formatted while serving.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::traffic::{AppRecorder, Recorder};
use crate::visit::{Note, micros};

/// Upper ends of the buckets of requests' times, µs.
const BUCKETS_US: [u64; 14] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000,
];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The counters of one app.
#[derive(Debug)]
pub struct RouteMetrics {
    app: Arc<str>,
    /// By first digit of the status, from 1.
    requests: [AtomicU64; CLASSES.len()],
    sent: AtomicU64,
    received: AtomicU64,
    upstream_errors: AtomicU64,
    took_us: AtomicU64,
    /// By [`BUCKETS_US`]; what took longer than the last of them is only in `requests`.
    within: [AtomicU64; BUCKETS_US.len()],
    /// For the control plane; absent when that is not asked for.
    traffic: OnceLock<Arc<AppRecorder>>,
}

impl RouteMetrics {
    pub(crate) fn new(app: Arc<str>) -> Self {
        Self {
            app,
            requests: Default::default(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            upstream_errors: AtomicU64::new(0),
            took_us: AtomicU64::new(0),
            within: Default::default(),
            traffic: OnceLock::new(),
        }
    }

    pub fn app(&self) -> &str {
        &self.app
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
        let took_us = micros(took);
        let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
        let bucket = BUCKETS_US.partition_point(|end| *end < took_us);
        self.requests[class].fetch_add(1, Ordering::Relaxed);
        self.took_us.fetch_add(took_us, Ordering::Relaxed);
        self.moved(received, sent);
        if let Some(within) = self.within.get(bucket) {
            // Last, so that no bucket tells of a request that is not told of.
            within.fetch_add(1, Ordering::Release);
        }
    }

    /// Counts bytes of a connection that became a tunnel.
    pub(crate) fn tunnelled(&self, received: u64, sent: u64) {
        self.moved(received, sent);
        if let Some(traffic) = self.traffic() {
            traffic.moved(received, sent);
        }
    }

    fn moved(&self, received: u64, sent: u64) {
        for (counter, bytes) in [(&self.received, received), (&self.sent, sent)] {
            if bytes > 0 {
                counter.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn upstream_failed(&self) {
        self.upstream_errors.fetch_add(1, Ordering::Relaxed);
        if let Some(traffic) = self.traffic() {
            traffic.upstream_failed();
        }
    }
}

/// The series of all apps that had requests, in Prometheus' text format.
pub(crate) fn exposition<'a>(apps: impl Iterator<Item = &'a Arc<RouteMetrics>>) -> String {
    let mut told: Vec<Told> = apps.map(|metrics| Told::of(metrics)).filter(Told::is_something).collect();
    told.sort_unstable_by(|one, other| one.app.cmp(&other.app));
    let mut text = String::with_capacity(told.len() * 2048);
    // Err is impossible: the memory grows.
    let _ = write(&mut text, &told);
    text
}

fn write(text: &mut String, apps: &[Told]) -> fmt::Result {
    type Value = fn(&Told) -> u64;
    let counters: [(&str, Value); 3] = [
        ("# TYPE wisehosting_ingress_sent_bytes_total", |told| told.sent),
        ("# TYPE wisehosting_ingress_received_bytes_total", |told| told.received),
        ("# TYPE wisehosting_ingress_upstream_errors_total", |told| told.upstream_errors),
    ];
    for (heading, value) in counters {
        writeln!(text, "{heading} counter")?;
        let name = heading.trim_start_matches("# TYPE ");
        for told in apps {
            writeln!(text, "{name}{{app=\"{}\"}} {}", told.app, value(told))?;
        }
    }
    writeln!(text, "\n# TYPE wisehosting_ingress_requests_total counter")?;
    for Told { app, requests, .. } in apps {
        for (class, count) in CLASSES.iter().zip(requests) {
            writeln!(text, "wisehosting_ingress_requests_total{{app=\"{app}\",status=\"{class}\"}} {count}")?;
        }
    }
    writeln!(text, "\n# TYPE wisehosting_ingress_request_seconds histogram")?;
    apps.iter().try_for_each(|told| told.write_seconds(text))
}

/// The counters of an app at one moment.
struct Told {
    /// As the value of a label.
    app: String,
    requests: [u64; CLASSES.len()],
    sent: u64,
    received: u64,
    upstream_errors: u64,
    took_us: u64,
    within: [u64; BUCKETS_US.len()],
}

impl Told {
    fn of(metrics: &RouteMetrics) -> Self {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        // Before the requests, which are counted before.
        let within = metrics.within.each_ref().map(read);
        Self {
            app: metrics.app.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"),
            requests: metrics.requests.each_ref().map(read),
            sent: read(&metrics.sent),
            received: read(&metrics.received),
            upstream_errors: read(&metrics.upstream_errors),
            took_us: read(&metrics.took_us),
            within,
        }
    }

    fn is_something(&self) -> bool {
        self.upstream_errors + self.received + self.sent + self.requests.iter().sum::<u64>() > 0
    }

    fn write_seconds(&self, text: &mut String) -> fmt::Result {
        const NAME: &str = "wisehosting_ingress_request_seconds";
        let Self { app, within, took_us, .. } = self;
        let mut below = 0;
        for (end, count) in BUCKETS_US.iter().zip(within) {
            below += count;
            let end = Duration::from_micros(*end).as_secs_f64();
            writeln!(text, "{NAME}_bucket{{app=\"{app}\",le=\"{end}\"}} {below}")?;
        }
        let all: u64 = self.requests.iter().sum();
        writeln!(text, "{NAME}_bucket{{app=\"{app}\",le=\"+Inf\"}} {all}")?;
        let seconds = Duration::from_micros(*took_us).as_secs_f64();
        writeln!(text, "{NAME}_sum{{app=\"{app}\"}} {seconds}\n{NAME}_count{{app=\"{app}\"}} {all}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_told_app_by_app_and_in_buckets() {
        let apps = ["shop", "quiet", "a\"b"].map(|app| Arc::new(RouteMetrics::new(app.into())));
        apps[0].finished(200, Duration::from_micros(2_500), 10, 100);
        apps[0].finished(503, Duration::from_secs(40), 0, 20);
        apps[0].upstream_failed();
        apps[2].tunnelled(3, 0);
        let text = exposition(apps.iter());
        for line in [
            "# TYPE wisehosting_ingress_requests_total counter",
            r#"wisehosting_ingress_requests_total{app="shop",status="2xx"} 1"#,
            r#"wisehosting_ingress_requests_total{app="shop",status="5xx"} 1"#,
            r#"wisehosting_ingress_received_bytes_total{app="shop"} 10"#,
            r#"wisehosting_ingress_sent_bytes_total{app="shop"} 120"#,
            r#"wisehosting_ingress_upstream_errors_total{app="shop"} 1"#,
            "# TYPE wisehosting_ingress_request_seconds histogram",
            r#"wisehosting_ingress_request_seconds_bucket{app="shop",le="0.001"} 0"#,
            r#"wisehosting_ingress_request_seconds_bucket{app="shop",le="0.0025"} 1"#,
            r#"wisehosting_ingress_request_seconds_bucket{app="shop",le="30"} 1"#,
            r#"wisehosting_ingress_request_seconds_bucket{app="shop",le="+Inf"} 2"#,
            r#"wisehosting_ingress_request_seconds_sum{app="shop"} 40.0025"#,
            r#"wisehosting_ingress_request_seconds_count{app="shop"} 2"#,
            r#"wisehosting_ingress_received_bytes_total{app="a\"b"} 3"#,
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
        assert!(!text.contains("quiet"), "{text}");
    }
}
