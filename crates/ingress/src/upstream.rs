//! One upstream address: its open connections, its load, whether it just refused.
//!
//! Requests that may not be sent twice use only connections that were busy a moment ago, because servers close idle
//! ones at times of their own, and a request lost in that crossing cannot be told from one that was carried out.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::body::RequestBody;
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
const FRESH: Duration = Duration::from_millis(1500);

pub(crate) type Sender = http1::SendRequest<RequestBody>;

/// One upstream address.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    idle: Mutex<Vec<Idle>>,
    in_flight: AtomicUsize,
    /// Milliseconds since [`STARTED`].
    down_until: AtomicU64,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
}

/// A connection that takes a request now.
pub(crate) struct Checkout {
    pub(crate) sender: Sender,
    /// It may have been closed by the other side without our knowing.
    pub(crate) may_be_stale: bool,
}

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

fn now_ms() -> u64 {
    u64::try_from(STARTED.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Endpoint {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            idle: Mutex::new(Vec::new()),
            in_flight: AtomicUsize::new(0),
            down_until: AtomicU64::new(0),
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

    /// An idle connection, the most recently used first. Without `replayable` only a fresh one.
    pub(crate) fn idle(&self, replayable: bool) -> Option<Checkout> {
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
                return Some(Checkout { sender: idle.remove(position).sender, may_be_stale });
            }
        }
        None
    }

    /// A new connection, driven on `tasks`.
    pub(crate) async fn connect(&self, tasks: &TaskTracker) -> io::Result<Checkout> {
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(self.address))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer within 2 s"))??;
        stream.set_nodelay(true)?;
        keep_alive(&stream)?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let address = self.address;
        tasks.spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                debug!(upstream = %address, %error, "upstream connection ended");
            }
        });
        Ok(Checkout { sender, may_be_stale: false })
    }

    /// Takes a connection back whose answer was read to its end.
    pub(crate) fn give_back(&self, sender: Sender) {
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
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() < IDLE);
        if idle.is_empty() {
            idle.shrink_to_fit();
        }
    }

    /// Drops all idle connections.
    pub(crate) fn close_idle(&self) {
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
