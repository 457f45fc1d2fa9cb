//! Clients that ask for an answer and do not take it. A piece of a body is handed over when there is room on the
//! connection and in the stream's window; while the next one is not asked for, the client holds what was read for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::body::ResponseBody;

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

tokio::task_local! {
    static STREAM: Arc<Watch>;
}

/// How long the last piece of a body has been lying there.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Milliseconds since [`STARTED`], or 0 when the client waits for us.
    handed: AtomicU64,
}

impl Watch {
    fn hand(&self) {
        self.handed.store(now_ms(), Ordering::Relaxed);
    }

    fn taken(&self) {
        self.handed.store(0, Ordering::Relaxed);
    }

    /// Returns when a piece was not taken for `limit`, or somewhat later.
    pub(crate) async fn stalled(&self, limit: Duration) {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        loop {
            tokio::time::sleep(limit / 4).await;
            let handed = self.handed.load(Ordering::Relaxed);
            if handed != 0 && now_ms() - handed >= limit_ms {
                return;
            }
        }
    }
}

fn now_ms() -> u64 {
    u64::try_from(STARTED.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
}

/// The watch of the HTTP/2 stream that this task serves.
pub(crate) fn of_stream() -> Arc<Watch> {
    STREAM.try_with(Arc::clone).unwrap_or_default()
}

/// An answer whose taking is watched.
pub(crate) struct Watched {
    pub(crate) body: ResponseBody,
    pub(crate) watch: Arc<Watch>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(Some(Ok(_)))) {
            self.watch.hand();
        } else {
            self.watch.taken();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.taken();
    }
}

/// Runs the streams of one HTTP/2 connection, and cuts those whose answer is not taken.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    running: TaskTracker,
    limit: Duration,
}

impl Streams {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { running: TaskTracker::new(), limit }
    }

    /// Returns once nothing has run for the time in which a client should take the last piece of an answer.
    pub(crate) async fn ended(&self) {
        self.running.close();
        loop {
            self.running.wait().await;
            tokio::time::sleep(self.limit).await;
            if self.running.is_empty() {
                return;
            }
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let (watch, limit) = (Arc::<Watch>::default(), self.limit);
        let watched = Arc::clone(&watch);
        self.running.spawn(STREAM.scope(watch, async move {
            tokio::select! {
                () = stream => {}
                () = watched.stalled(limit) => debug!("cut a stream whose answer was not taken"),
            }
        }));
    }
}
