//! One request of an app, from its head to the end of its answer: what is remembered of it, so that it is counted once
//! and, if it is chosen, told whole.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{HOST, REFERER, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use hyper::ext::Protocol;
use protocol::traffic::{AccessSample, before_query, cut};

use crate::body::{ResponseBody, Upload};
use crate::observe::RouteMetrics;
use crate::server::{Connection, Scheme};
use crate::traffic::Recorder;

/// What the app's traffic says of a request whose client did not wait for the answer.
const GIVEN_UP: u16 = 499;

/// A request until the head of its answer is known.
pub(crate) struct Asked(Option<Open>);

struct Open {
    metrics: Arc<RouteMetrics>,
    started: Instant,
    upload: Option<Arc<Upload>>,
    /// Absent when no traffic is recorded.
    said: Option<Said>,
}

/// What a request says, as long as it may be told. These share the memory of its head.
struct Said {
    method: Method,
    uri: Uri,
    version: Version,
    host: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    client: IpAddr,
    tls: bool,
}

/// An answer on its way; its drop counts the request.
pub(crate) struct Exchange {
    metrics: Arc<RouteMetrics>,
    started: Instant,
    status: u16,
    upload: Option<Arc<Upload>>,
    pub(crate) sent: u64,
    note: Option<Box<Note>>,
}

/// What is kept of a request that was chosen.
pub(crate) struct Note {
    pub(crate) path: String,
    /// For how many requests the path counts.
    pub(crate) weight: u32,
    /// Its end is still to be filled in.
    pub(crate) sample: Option<AccessSample>,
}

impl Asked {
    /// A request of the app of `metrics`, as it came in.
    pub(crate) fn new<B>(
        metrics: &Arc<RouteMetrics>,
        recorder: Option<&Recorder>,
        connection: &Connection,
        request: &Request<B>,
    ) -> Self {
        let said = recorder.map(|recorder| {
            metrics.recorded_by(recorder);
            Said::of(connection, request)
        });
        Self(Some(Open { metrics: Arc::clone(metrics), started: Instant::now(), upload: None, said }))
    }

    /// It has a body.
    pub(crate) fn uploads(&mut self, upload: Option<&Arc<Upload>>) {
        if let Some(open) = &mut self.0 {
            open.upload = upload.cloned();
        }
    }

    /// The answer of `upstream`, or of the gateway itself, begins.
    pub(crate) fn answered(mut self, status: u16, upstream: Option<SocketAddr>) -> Option<Exchange> {
        let Open { metrics, started, upload, said } = self.0.take()?;
        let note = said.and_then(|said| said.note(&metrics, status, started, upstream));
        Some(Exchange { metrics, started, status, upload, sent: 0, note })
    }

    /// The gateway answers by itself.
    pub(crate) fn answered_here(self, response: Response<ResponseBody>) -> Response<ResponseBody> {
        let exchange = self.answered(response.status().as_u16(), None);
        response.map(|body| body.counted(exchange))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let Some(Open { metrics, started, upload, said: Some(said) }) = self.0.take() else { return };
        let note = said.note(&metrics, GIVEN_UP, started, None);
        let received = upload.map_or(0, |upload| upload.bytes());
        metrics.recorded(GIVEN_UP, started.elapsed(), received, 0, note);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let received = self.upload.as_ref().map_or(0, |upload| upload.bytes());
        let took = self.started.elapsed();
        self.metrics.finished(self.status, took, received, self.sent);
        self.metrics.recorded(self.status, took, received, self.sent, self.note.take());
    }
}

impl Said {
    fn of<B>(connection: &Connection, request: &Request<B>) -> Self {
        let header = |name| request.headers().get(name).cloned();
        // A WebSocket over HTTP/2 looks like HTTP/1.1 by now.
        let http2 = request.extensions().get::<Protocol>().is_some();
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: if http2 { Version::HTTP_2 } else { request.version() },
            host: header(HOST),
            user_agent: header(USER_AGENT),
            referer: header(REFERER),
            client: connection.client,
            tls: connection.scheme == Scheme::Https,
        }
    }

    /// What is kept of it now that its status is known.
    fn note(
        self,
        metrics: &RouteMetrics,
        status: u16,
        started: Instant,
        upstream: Option<SocketAddr>,
    ) -> Option<Box<Note>> {
        let chosen = metrics.traffic()?.choose(status, started);
        chosen.any().then(|| {
            let path = cut(self.uri.path()).to_owned();
            let sample = chosen.whole.then(|| self.sample(path.clone(), status, upstream));
            Box::new(Note { path, weight: chosen.weight, sample })
        })
    }

    fn sample(&self, path: String, status: u16, upstream: Option<SocketAddr>) -> AccessSample {
        let text = |value: &HeaderValue| cut(&String::from_utf8_lossy(value.as_bytes())).to_owned();
        let host = self.uri.authority().map(|authority| cut(authority.as_str()).to_owned());
        AccessSample {
            at: chrono::DateTime::UNIX_EPOCH,
            method: self.method.as_str().to_owned(),
            host: host.or_else(|| self.host.as_ref().map(text)).unwrap_or_default(),
            path,
            status,
            took_us: 0,
            received_bytes: 0,
            sent_bytes: 0,
            client: self.client,
            protocol: format!("{:?}", self.version),
            tls: self.tls,
            user_agent: self.user_agent.as_ref().map(text),
            referer: self.referer.as_ref().map(|value| before_query(&text(value)).to_owned()),
            upstream,
        }
    }
}

impl Note {
    /// What is told of it, now that its answer has ended.
    pub(crate) fn told(
        self,
        took: Duration,
        received: u64,
        sent: u64,
    ) -> (String, u32, Option<AccessSample>) {
        let sample = self.sample.map(|sample| AccessSample {
            at: chrono::Utc::now(),
            took_us: micros(took),
            received_bytes: received,
            sent_bytes: sent,
            ..sample
        });
        (self.path, self.weight, sample)
    }
}

pub(crate) fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}
