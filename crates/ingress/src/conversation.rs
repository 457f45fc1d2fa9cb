//! Speaking HTTP on a connection: the library's settings, and what ends a connection that does not end by itself.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::extended_connect;
use crate::gateway::Gateway;
use crate::grpc::{self, Call};
use crate::seldom::Seldom;
use crate::server::Connection;
use crate::stall::{self, Streams, Watch, Watched};
use crate::upstream::BUFFER_BYTES;

/// An HTTP/2 connection without a request for one to two of these is closed.
const HTTP2_IDLE: Duration = Duration::from_secs(90);
/// Streams that a client reset before we saw them, and that we reset for its errors (CVE-2023-44487, CVE-2025-8671).
/// h2 ends the connection beyond them; by itself also after too many CONTINUATION and small DATA frames.
const MAX_RESETS_UNSEEN: usize = 20;
const MAX_RESETS_FOR_ERRORS: usize = 200;
/// Requests that a client may give up before their answer, on one HTTP/2 connection, if they are more than half of all.
const MAX_GIVEN_UP: u64 = 100;

/// The requests of one connection.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    begun: AtomicU64,
    ended: AtomicU64,
    given_up: AtomicU64,
    /// Cancelled when too many were given up.
    flooded: CancellationToken,
}

pub(crate) async fn serve_http1<S>(gateway: Arc<Gateway>, stream: S, connection: Connection)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = gateway.options.limits.clone();
    let (connection, watch) = (Arc::new(connection), Arc::<Watch>::default());
    let (of_requests, watched) = (Arc::clone(&connection), Arc::clone(&watch));
    let service = service_fn(move |request| {
        answer(Arc::clone(&gateway), Arc::clone(&of_requests), Some(Arc::clone(&watched)), request)
    });
    let mut serving = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_timeout)
            .max_buf_size(BUFFER_BYTES.max(limits.header_bytes as usize))
            .max_headers(limits.headers)
            .max_header_size(limits.header_bytes as usize)
            .half_close(false)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
    );
    let ended = async {
        tokio::select! {
            ended = serving.as_mut() => ended,
            () = Seldom::new(connection.drain.leave(false, || connection.requests.any())) => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        }
    };
    tokio::select! {
        ended = ended => if let Err(error) = ended {
            debug!(%error, "HTTP/1.1 connection ended");
        },
        () = Seldom::new(watch.stalled(limits.download_stall)) => debug!("cut a connection whose answer was not taken"),
    }
}

pub(crate) async fn serve_http2<S>(gateway: Arc<Gateway>, stream: S, connection: Connection)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = gateway.options.limits.clone();
    let connection = Arc::new(connection);
    let of_requests = Arc::clone(&connection);
    let service =
        service_fn(move |request| answer(Arc::clone(&gateway), Arc::clone(&of_requests), None, request));
    let streams = Streams::new(limits.download_stall);
    let mut serving = pin!(
        http2::Builder::new(streams.clone())
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(15))
            .max_concurrent_streams(limits.http2_streams)
            .max_header_list_size(limits.header_bytes)
            .max_pending_accept_reset_streams(MAX_RESETS_UNSEEN)
            .max_local_error_reset_streams(MAX_RESETS_FOR_ERRORS)
            .max_send_buf_size(BUFFER_BYTES)
            .initial_stream_window_size(256 * 1024)
            .initial_connection_window_size(1024 * 1024)
            .enable_connect_protocol()
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = connection.requests.flooded.cancelled() => {
            return debug!("cut an HTTP/2 connection that gave up most of its requests");
        }
        () = until_unused(&connection) => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = serving => ended,
                () = streams.ended() => return debug!("cut an HTTP/2 connection whose answers were not taken"),
            }
        }
    };
    if let Err(error) = ended {
        debug!(%error, "HTTP/2 connection ended");
    }
}

/// Returns when the process stops, or when no request ran for a while.
async fn until_unused(connection: &Connection) {
    let mut before = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(HTTP2_IDLE) => {}
            () = connection.drain.leave(true, || connection.requests.any()) => return,
        }
        let begun = connection.requests.begun.load(Ordering::Relaxed);
        let all_ended = begun == connection.requests.ended.load(Ordering::Relaxed);
        if all_ended && before == Some(begun) {
            return;
        }
        before = Some(begun);
    }
}

/// `watch` is the connection's; each stream of HTTP/2 has its own.
async fn answer(
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
    watch: Option<Arc<Watch>>,
    mut request: Request<Incoming>,
) -> Result<Response<Watched>, Infallible> {
    let mut running = Running::begin(&connection.requests);
    let is_http1 = request.version() != Version::HTTP_2;
    let websocket = extended_connect::lower(&mut request);
    let call = grpc::call(request.version(), request.headers());
    let answered = gateway.answer(Arc::clone(&connection), request);
    let mut response = match call {
        None if websocket => extended_connect::raise(answered.await),
        None => answered.await,
        Some(Call { deadline: None }) => grpc::translate(answered.await),
        Some(Call { deadline: Some(deadline) }) => match tokio::time::timeout(deadline, answered).await {
            Ok(response) => grpc::translate(response),
            Err(_) => grpc::deadline_exceeded(),
        },
    };
    running.answered = true;
    if connection.drain.says_close() && is_http1 && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let watch = watch.unwrap_or_else(stall::of_stream);
    Ok(response.map(|body| Watched { body, watch }))
}

impl Requests {
    /// Whether there was one.
    fn any(&self) -> bool {
        self.begun.load(Ordering::Relaxed) > 0
    }
}

/// One request of a connection, until its answer begins or its client gives it up.
struct Running<'a> {
    requests: &'a Requests,
    answered: bool,
}

impl<'a> Running<'a> {
    fn begin(requests: &'a Requests) -> Self {
        requests.begun.fetch_add(1, Ordering::Relaxed);
        Self { requests, answered: false }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.requests.ended.fetch_add(1, Ordering::Relaxed);
        if self.answered {
            return;
        }
        let given_up = self.requests.given_up.fetch_add(1, Ordering::Relaxed) + 1;
        if given_up > MAX_GIVEN_UP && given_up * 2 > self.requests.begun.load(Ordering::Relaxed) {
            self.requests.flooded.cancel();
        }
    }
}
