//! HTTP/2 without TLS to an upstream (prior knowledge): many requests share a connection, as gRPC servers want it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{CONNECTION, HOST, UPGRADE};
use http::uri::{Authority, Scheme, Uri};
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http2};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::body::RequestBody;
use crate::upstream::{BUFFER_BYTES, CONNECT_TIMEOUT, Checkout, FRESH, Sender};

/// Requests on one connection, if the server does not want fewer. More go on another connection, because those of one
/// share its window.
const MAX_STREAMS: usize = 100;
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const MAX_HEADER_BYTES: u32 = 64 * 1024;

/// Connections to one address.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    open: Mutex<Vec<Shared>>,
    /// Held by whoever opens a connection, so that a burst of requests opens one and not one each.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Shared {
    sender: http2::SendRequest<RequestBody>,
    load: Arc<Load>,
    opened: Instant,
    used: Instant,
}

#[derive(Debug)]
struct Load {
    streams: AtomicUsize,
    allowed: AtomicUsize,
}

/// One request's place on a connection; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    sender: http2::SendRequest<RequestBody>,
    load: Arc<Load>,
}

impl Pool {
    /// A place on an open connection. Without `replayable` only on one that is busy or was a moment ago.
    pub(crate) fn take(&self, replayable: bool) -> Option<Checkout> {
        self.find(|shared| replayable || !shared.may_be_stale())
    }

    /// A place on a connection that was opened after the call.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        open: impl Future<Output = io::Result<TcpStream>>,
        tasks: &TaskTracker,
    ) -> io::Result<Checkout> {
        let asked = Instant::now();
        let _turn = self.connecting.lock().await;
        if let Some(checkout) = self.find(|shared| shared.opened >= asked) {
            return Ok(checkout);
        }
        let stream = TokioIo::new(open.await?);
        let handshake = http2::Builder::new(Tasks(tasks.clone()))
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(BUFFER_BYTES)
            .max_header_list_size(MAX_HEADER_BYTES)
            .handshake(stream);
        let (sender, connection) = tokio::time::timeout(CONNECT_TIMEOUT, handshake)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no HTTP/2 within 2 s"))?
            .map_err(io::Error::other)?;
        let load = Arc::new(Load { streams: AtomicUsize::new(0), allowed: AtomicUsize::new(MAX_STREAMS) });
        let watched = Arc::clone(&load);
        tasks.spawn(async move {
            let mut connection = pin!(connection);
            let ended = std::future::poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                let allowed = connection.current_max_send_streams().min(MAX_STREAMS);
                watched.allowed.store(allowed, Ordering::Relaxed);
                polled
            });
            if let Err(error) = ended.await {
                debug!(upstream = %address, %error, "upstream connection ended");
            }
        });
        let now = Instant::now();
        let shared = Shared { sender, load, opened: now, used: now };
        let sender = Sender::H2c(shared.place());
        self.lock().push(shared);
        Ok(Checkout { sender, may_be_stale: false })
    }

    fn find(&self, fits: impl Fn(&Shared) -> bool) -> Option<Checkout> {
        let mut open = self.lock();
        open.retain(|shared| !shared.sender.is_closed());
        let shared = open.iter_mut().rev().find(|shared| shared.has_room() && fits(shared))?;
        let may_be_stale = shared.may_be_stale();
        shared.used = Instant::now();
        Some(Checkout { sender: Sender::H2c(shared.place()), may_be_stale })
    }

    /// Drops connections that are closed, or carry nothing and were not used for `idle`.
    pub(crate) fn sweep(&self, idle: Duration) {
        self.lock().retain(|shared| {
            !shared.sender.is_closed() && (shared.streams() > 0 || shared.used.elapsed() < idle)
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Shared>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn streams(&self) -> usize {
        self.load.streams.load(Ordering::Relaxed)
    }

    fn has_room(&self) -> bool {
        self.streams() < self.load.allowed.load(Ordering::Relaxed)
    }

    fn may_be_stale(&self) -> bool {
        self.used.elapsed() > FRESH
    }

    fn place(&self) -> Place {
        self.load.streams.fetch_add(1, Ordering::Relaxed);
        Place { sender: self.sender.clone(), load: Arc::clone(&self.load) }
    }
}

impl Place {
    pub(crate) async fn send(
        &mut self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        address(&mut request);
        self.sender.try_send_request(request).await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.load.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Turns `Host` into `:authority`, and takes off what only HTTP/1.1 has. A request that was turned already stays.
fn address<B>(request: &mut Request<B>) {
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    headers.remove(CONNECTION);
    headers.remove(UPGRADE);
    let host = headers.remove(HOST);
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    if let Some(authority) = authority {
        let mut parts = request.uri().clone().into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(authority);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

/// hyper's tasks for the bodies of requests.
#[derive(Clone)]
struct Tasks(TaskTracker);

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_becomes_the_authority_once() {
        let mut request = Request::get("/a/b?c").header("host", "app.test:81").header("te", "trailers");
        request = request.header("connection", "te");
        let mut request = request.body(()).expect("request");
        for _ in 0..2 {
            address(&mut request);
            assert_eq!(request.uri().to_string(), "http://app.test:81/a/b?c");
            assert_eq!(request.headers().len(), 1, "{:?}", request.headers());
        }
    }
}
