//! One upstream address: its open connections, its load, whether it just refused.
//!
//! Requests that may not be sent twice use only connections that were busy a moment ago, because servers close idle
//! ones at times of their own, and a request lost in that crossing cannot be told from one that was carried out.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use protocol::spec::options::UpstreamProtocol;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::body::RequestBody;
use crate::h2c;
use crate::options::Health;
use crate::server::keep_alive;

/// How long to wait for a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Buffer of one connection and direction. hyper's default lets a slow reader hold more than a megabyte; several of
/// these are held for one, so twice this misses the goal of 128 KiB.
pub const BUFFER_BYTES: usize = 32 * 1024;
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_mins(1);
/// Idle connections kept per address.
const MAX_IDLE: usize = 256;
/// How long an address that refused is asked last.
const DOWN_MS: u64 = 2_000;
/// Up to this age since its last use, a connection is taken for open on the other side.
pub(crate) const FRESH: Duration = Duration::from_millis(1500);

/// A place on a connection for one request.
#[derive(Debug)]
pub(crate) enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    H2c(h2c::Place),
}

impl Sender {
    /// As hyper's `try_send_request`: gives the request back if nothing of it was sent.
    pub(crate) async fn try_send_request(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::H2c(place) => place.send(request).await,
        }
    }
}

/// One upstream address and what is spoken there.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    protocol: UpstreamProtocol,
    idle: Mutex<Vec<Idle>>,
    h2c: h2c::Pool,
    in_flight: AtomicUsize,
    /// Milliseconds since [`STARTED`].
    down_until: AtomicU64,
    pub(crate) health: Health,
}

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<RequestBody>,
    since: Instant,
}

/// A connection that takes a request now.
pub(crate) struct Checkout {
    pub(crate) sender: Sender,
    /// It may have been closed by the other side without our knowing.
    pub(crate) may_be_stale: bool,
}

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

pub(crate) fn now_ms() -> u64 {
    u64::try_from(STARTED.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Endpoint {
    pub fn new(address: SocketAddr, protocol: UpstreamProtocol) -> Self {
        Self {
            address,
            protocol,
            idle: Mutex::new(Vec::new()),
            h2c: h2c::Pool::default(),
            in_flight: AtomicUsize::new(0),
            down_until: AtomicU64::new(0),
            health: Health::default(),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts a request until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    pub(crate) fn is_down(&self) -> bool {
        match self.down_until.load(Ordering::Relaxed) {
            0 => false,
            until => now_ms() < until,
        }
    }

    pub(crate) fn mark_down(&self) {
        self.down_until.store(now_ms() + DOWN_MS, Ordering::Relaxed);
    }

    /// An open connection, the most recently used first. Without `replayable` only a fresh one.
    pub(crate) fn idle(&self, replayable: bool) -> Option<Checkout> {
        if self.protocol == UpstreamProtocol::H2c {
            return self.h2c.take(replayable);
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut position = idle.len();
        while position > 0 {
            position -= 1;
            let candidate = &idle[position];
            if candidate.sender.is_closed() {
                idle.remove(position);
            } else if candidate.sender.is_ready() {
                let may_be_stale = candidate.since.elapsed() > FRESH;
                if may_be_stale && !replayable {
                    return None;
                }
                let sender = Sender::Http1(idle.remove(position).sender);
                return Some(Checkout { sender, may_be_stale });
            }
        }
        None
    }

    /// A new connection, driven on `tasks`. Over HTTP/2 those who wait for one at the same time share it.
    pub(crate) async fn connect(&self, tasks: &TaskTracker) -> io::Result<Checkout> {
        if self.protocol == UpstreamProtocol::H2c {
            return self.h2c.connect(self.address, self.open(), tasks).await;
        }
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER_BYTES)
            .handshake(TokioIo::new(self.open().await?))
            .await
            .map_err(io::Error::other)?;
        let address = self.address;
        tasks.spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                debug!(upstream = %address, %error, "upstream connection ended");
            }
        });
        Ok(Checkout { sender: Sender::Http1(sender), may_be_stale: false })
    }

    pub(crate) async fn open(&self) -> io::Result<TcpStream> {
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(self.address))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer within 2 s"))??;
        stream.set_nodelay(true)?;
        keep_alive(&stream)?;
        Ok(stream)
    }

    /// Takes a connection back whose answer was read to its end.
    pub(crate) fn give_back(&self, sender: Sender) {
        // One of HTTP/2 never left its pool; the dropped place is free again.
        let Sender::Http1(sender) = sender else { return };
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(Idle { sender, since: Instant::now() });
        }
    }

    /// Drops connections that are closed or were not used for long.
    pub(crate) fn sweep(&self) {
        self.h2c.sweep(IDLE);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() < IDLE);
        if idle.is_empty() {
            idle.shrink_to_fit();
        }
    }

    /// Drops all idle connections.
    pub(crate) fn close_idle(&self) {
        self.h2c.sweep(Duration::ZERO);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// One request under way at an endpoint.
#[derive(Debug)]
pub(crate) struct InFlight(pub(crate) Arc<Endpoint>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
