//! Bodies on their way through. Frames pass as they come; nothing is collected.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::headers::prepare_trailers;
use crate::options::Gzip;
use crate::upstream::{InFlight, Sender};
use crate::visit::Exchange;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn fit(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            prepare_trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

/// From the client to the upstream.
pub(crate) enum RequestBody {
    Empty,
    Stream { incoming: Incoming, upload: Arc<Upload>, waiting: Option<Instant> },
}

/// How far a request's body has come.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    bytes: AtomicU64,
    /// Anything that moved, the end included.
    steps: AtomicU64,
    /// The next piece was asked for and is not there.
    waiting: AtomicBool,
    /// Milliseconds for which pieces were waited for.
    waited: AtomicU64,
    slowest_bytes_per_s: u32,
    /// Bytes that are too many.
    limit: Option<u64>,
    exceeded: AtomicBool,
    /// It ended before its end, or was no body.
    broken: AtomicBool,
}

/// So much of waiting is free: a client may think, or lose its network, for a moment.
const PATIENCE_MS: u64 = 10_000;

/// A body that is longer than its route takes.
#[derive(Debug, thiserror::Error)]
#[error("the body is longer than the route takes")]
struct TooLarge;

impl Upload {
    pub(crate) fn new(slowest_bytes_per_s: u32) -> Self {
        Self { slowest_bytes_per_s, ..Self::default() }
    }

    /// Ends with an error as soon as it is longer than `bytes`, so that no upstream takes it for whole.
    pub(crate) fn limited(self, bytes: Option<u64>) -> Self {
        Self { limit: bytes, ..self }
    }

    pub(crate) fn exceeded(&self) -> bool {
        self.exceeded.load(Ordering::Relaxed)
    }

    /// Counts `data`, as long as it is within the limit.
    fn take(&self, data: u64) -> Result<(), TooLarge> {
        let before = self.bytes.fetch_add(data, Ordering::Relaxed);
        if self.limit.is_some_and(|limit| before.saturating_add(data) > limit) {
            self.exceeded.store(true, Ordering::Relaxed);
            return Err(TooLarge);
        }
        Ok(())
    }

    /// Whether the client sends more slowly than it may. Time that the upstream takes is not held against it.
    pub(crate) fn crawls(&self) -> bool {
        let waited = self.waited.load(Ordering::Relaxed);
        waited > PATIENCE_MS
            && self.bytes().saturating_mul(1000) < waited * u64::from(self.slowest_bytes_per_s)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the client did not send it whole.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Whether it is the client that keeps the others waiting.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }
}

impl RequestBody {
    pub(crate) fn stream(incoming: Incoming, upload: Arc<Upload>) -> Self {
        Self::Stream { incoming, upload, waiting: None }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Stream { incoming, upload, waiting } => {
                let polled = Pin::new(incoming).poll_frame(cx);
                upload.waiting.store(polled.is_pending(), Ordering::Relaxed);
                if polled.is_pending() {
                    waiting.get_or_insert_with(Instant::now);
                } else if let Some(since) = waiting.take() {
                    let waited = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                    upload.waited.fetch_add(waited, Ordering::Relaxed);
                }
                if matches!(polled, Poll::Ready(Some(Err(_)))) {
                    upload.broken.store(true, Ordering::Relaxed);
                }
                if let Poll::Ready(frame) = &polled {
                    upload.steps.fetch_add(1, Ordering::Relaxed);
                    if let Some(Ok(frame)) = frame
                        && let Err(error) = upload.take(frame.data_ref().map_or(0, |data| data.len() as u64))
                    {
                        return Poll::Ready(Some(Err(error.into())));
                    }
                }
                polled.map_ok(fit).map_err(Into::into)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream { incoming, .. } => incoming.size_hint(),
        }
    }
}

/// From the upstream, or from us, to the client.
pub struct ResponseBody {
    kind: Kind,
    /// The request that it answers, unless nobody counts it.
    exchange: Option<Exchange>,
}

enum Kind {
    Full(Option<Bytes>),
    Stream(Box<Download>),
    Gzip(Box<Gzip>),
}

/// An upstream's body with what must happen at its end.
struct Download {
    incoming: Incoming,
    /// Goes back to its endpoint when the body was read to its end; is closed otherwise.
    sender: Option<Sender>,
    in_flight: InFlight,
}

impl ResponseBody {
    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Kind::Full((!bytes.is_empty()).then_some(bytes)).into()
    }

    pub(crate) fn empty() -> Self {
        Kind::Full(None).into()
    }

    /// Whether nothing of it comes from an upstream.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Full(_))
    }

    /// Another body, compressed.
    pub(crate) fn gzip(mut body: Self) -> Self {
        let exchange = body.exchange.take();
        Self { kind: Kind::Gzip(Box::new(Gzip::new(body))), exchange }
    }

    pub(crate) fn stream(incoming: Incoming, sender: Sender, in_flight: InFlight) -> Self {
        if incoming.is_end_stream() {
            in_flight.0.give_back(sender);
            return Self::empty();
        }
        Kind::Stream(Box::new(Download { incoming, sender: Some(sender), in_flight })).into()
    }

    /// What leaves of it counts for `exchange`, which ends with it.
    pub(crate) fn counted(self, exchange: Option<Exchange>) -> Self {
        Self { exchange, ..self }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let polled = match &mut this.kind {
            Kind::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Stream(download) => download.poll(cx),
            Kind::Gzip(gzip) => gzip.poll(cx),
        };
        if let (Poll::Ready(Some(Ok(frame))), Some(exchange)) = (&polled, &mut this.exchange) {
            exchange.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Full(bytes) => bytes.is_none(),
            Kind::Stream(download) => download.incoming.is_end_stream(),
            Kind::Gzip(gzip) => gzip.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Stream(download) => download.incoming.size_hint(),
            Kind::Gzip(_) => SizeHint::default(),
        }
    }
}

impl From<Kind> for ResponseBody {
    fn from(kind: Kind) -> Self {
        Self { kind, exchange: None }
    }
}

impl Download {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(_))) if self.incoming.is_end_stream() => self.finish(),
            Poll::Ready(None) => self.finish(),
            Poll::Ready(Some(Err(_))) => self.sender = None,
            _ => {}
        }
        polled.map_ok(fit)
    }

    fn finish(&mut self) {
        if let Some(sender) = self.sender.take() {
            self.in_flight.0.give_back(sender);
        }
    }
}
