//! What is recorded of one app.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use protocol::traffic::{AccessSample, AppTraffic, Latency, cut};

use super::budget::Budget;
use super::paths::Paths;
use super::rate::Rate;
use super::samples::Samples;

/// Requests since the last drain whose paths are all counted. Of later ones one in [`ONE_IN`] is, for so many.
const COUNTED: u64 = 1000;
const ONE_IN: u32 = 16;
/// Five requests a second are told whole, and as many errors after the first fifty.
const EVERY_MS: u64 = 200;
const BURST: u64 = 5;
const ERROR_BURST: u64 = 50;

/// The requests of one app since the last drain.
#[derive(Debug)]
pub struct AppRecorder {
    /// By first digit of the status, from 1.
    requests: [AtomicU64; 5],
    received: AtomicU64,
    sent: AtomicU64,
    /// To streams.
    connections: AtomicU64,
    upstream_errors: AtomicU64,
    latency: [AtomicU64; Latency::BUCKETS],
    /// Answers that began.
    begun: AtomicU64,
    others: Rate,
    errors: Rate,
    texts: Mutex<Texts>,
    budget: Arc<Budget>,
}

#[derive(Debug, Default)]
struct Texts {
    paths: Paths,
    samples: Samples,
}

/// What of a request is kept beyond the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// For how many requests its path counts.
    pub(crate) weight: u32,
    /// It is told whole.
    pub(crate) whole: bool,
}

impl Chosen {
    pub(crate) fn any(self) -> bool {
        self.weight > 0 || self.whole
    }
}

impl AppRecorder {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self {
            requests: Default::default(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            upstream_errors: AtomicU64::new(0),
            latency: std::array::from_fn(|_| AtomicU64::new(0)),
            begun: AtomicU64::new(0),
            others: Rate::new(EVERY_MS, BURST),
            errors: Rate::new(EVERY_MS, ERROR_BURST),
            texts: Mutex::default(),
            budget,
        }
    }

    /// Records a request that something else served: its status, time (none where that says nothing), bytes from its
    /// client and to it, and path without query. `sample` is asked for what is told of it if it is told whole.
    pub fn record(
        &self,
        status: u16,
        took_us: Option<u64>,
        (received, sent): (u64, u64),
        path: &str,
        sample: impl FnOnce() -> AccessSample,
    ) {
        let chosen = self.choose(status, Instant::now());
        match took_us {
            Some(took_us) => self.finished(status, took_us, received, sent),
            None => self.counted(status, received, sent),
        }
        if chosen.any() {
            self.keep(cut(path), chosen.weight, status, took_us.unwrap_or(0), chosen.whole.then(sample));
        }
    }

    /// Decides what is kept of a request that is answered with `status`.
    pub(crate) fn choose(&self, status: u16, started: Instant) -> Chosen {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let weight = match number {
            ..COUNTED => 1,
            _ if mixed(number).is_multiple_of(ONE_IN.into()) => ONE_IN,
            _ => 0,
        };
        let rate = if status >= 500 { &self.errors } else { &self.others };
        Chosen { weight, whole: rate.pass(started) }
    }

    /// Counts one finished request.
    pub(crate) fn finished(&self, status: u16, took_us: u64, received: u64, sent: u64) {
        self.latency[Latency::bucket(took_us)].fetch_add(1, Ordering::Relaxed);
        self.counted(status, received, sent);
    }

    /// The same without its time.
    fn counted(&self, status: u16, received: u64, sent: u64) {
        self.moved(received, sent);
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        // Last, so that a drain that sees the request sees the rest of it.
        self.requests[class].fetch_add(1, Ordering::Release);
    }

    /// Counts bytes.
    pub(crate) fn moved(&self, received: u64, sent: u64) {
        for (counter, bytes) in [(&self.received, received), (&self.sent, sent)] {
            if bytes > 0 {
                counter.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }

    /// Counts a connection to a stream.
    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an attempt at an instance that brought no answer.
    pub fn upstream_failed(&self) {
        self.upstream_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps what was chosen of a finished request.
    pub(crate) fn keep(
        &self,
        path: &str,
        weight: u32,
        status: u16,
        took_us: u64,
        sample: Option<AccessSample>,
    ) {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if weight > 0 {
            texts.paths.add(path, weight, status, took_us, &self.budget);
        }
        if let Some(sample) = sample {
            texts.samples.add(sample, &self.budget);
        }
    }

    /// What was recorded since the last call, if anything was.
    pub(super) fn drain(&self, app: &str) -> Option<AppTraffic> {
        let take = |counter: &AtomicU64| match counter.load(Ordering::Acquire) {
            0 => 0,
            _ => counter.swap(0, Ordering::Acquire),
        };
        let mut traffic = AppTraffic {
            app: app.to_owned(),
            requests: self.requests.each_ref().map(take),
            ..Default::default()
        };
        let any = traffic.requests.iter().any(|count| *count > 0);
        traffic.received_bytes = take(&self.received);
        traffic.sent_bytes = take(&self.sent);
        traffic.connections = take(&self.connections);
        traffic.upstream_errors = take(&self.upstream_errors);
        if !any {
            // Streams, or a tunnel that ended.
            let counted =
                traffic.received_bytes + traffic.sent_bytes + traffic.connections + traffic.upstream_errors;
            return (counted > 0).then_some(traffic);
        }
        for (bucket, counter) in self.latency.iter().enumerate() {
            traffic.latency.add(bucket, u32::try_from(take(counter)).unwrap_or(u32::MAX));
        }
        self.begun.store(0, Ordering::Relaxed);
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        traffic.paths = texts.paths.drain(&self.budget);
        traffic.samples = texts.samples.drain(&self.budget);
        Some(traffic)
    }
}

impl Drop for AppRecorder {
    /// What it holds is no longer held.
    fn drop(&mut self) {
        let texts = self.texts.get_mut().unwrap_or_else(PoisonError::into_inner);
        texts.paths.drain(&self.budget);
        texts.samples.drain(&self.budget);
    }
}

/// Spreads numbers, so that what is asked for in turns is chosen as often as anything else (splitmix64).
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
