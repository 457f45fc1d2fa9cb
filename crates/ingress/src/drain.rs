//! The soft end of listeners and connections.
//!
//! It has steps, so that neither a request under way nor one that a client is just sending is lost:
//!
//! 1. [`Drain::begin`]: every answer over HTTP/1.1 says `Connection: close`, HTTP/2 connections get GOAWAY. Connections that
//!    are in use end without a crossing of request and close; newcomers are served, and told the same.
//! 2. [`Drain::finish`]: idle connections are closed, and what runs may finish. Newcomers are still served, turn by
//!    turn: a turn ends when everything has ended that was open at its beginning. One slow answer therefore keeps
//!    nobody waiting.
//! 3. After a turn that was short, or not much shorter than the one before, nothing new is accepted. What comes now
//!    waits in the listener's queue, if someone else holds it too, for as long as such a turn takes.
//! 4. What is left after the grace is cut.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::seldom::Seldom;
use crate::tunnel::Tunnel;

/// A turn after which accepting ends.
const SHORT: Duration = Duration::from_millis(100);
/// How long those may take that were accepted just before the grace ended.
const LAST: Duration = Duration::from_secs(1);
/// How long a connection may take to its first request before it counts as idle.
const NEWCOMER: Duration = Duration::from_secs(2);

/// Ends listeners and connections in steps.
#[derive(Debug, Clone)]
pub struct Drain {
    begun: CancellationToken,
    /// The same, for every request: the token takes a lock.
    says_close: Arc<AtomicBool>,
    stop: CancellationToken,
    closed: CancellationToken,
    kill: CancellationToken,
    accepting: TaskTracker,
    /// The connections of each turn; new ones join the last.
    turns: Arc<Mutex<Vec<TaskTracker>>>,
}

impl Drain {
    /// All at once when `stop` is cancelled: nothing new is accepted, and idle connections are closed.
    pub fn new(stop: CancellationToken) -> Self {
        Self::with(stop.clone(), stop.clone(), stop)
    }

    /// Step by step, by [`Drain::begin`] and [`Drain::finish`].
    pub fn in_steps() -> Self {
        Self::with(CancellationToken::new(), CancellationToken::new(), CancellationToken::new())
    }

    fn with(begun: CancellationToken, stop: CancellationToken, closed: CancellationToken) -> Self {
        Self {
            begun,
            says_close: Arc::default(),
            stop,
            closed,
            kill: CancellationToken::new(),
            accepting: TaskTracker::new(),
            turns: Arc::new(Mutex::new(vec![TaskTracker::new()])),
        }
    }

    /// From now on connections are told to end.
    pub fn begin(&self) {
        self.says_close.store(true, Ordering::Relaxed);
        self.begun.cancel();
    }

    /// To be called after the begin: waits for all connections, and cuts those left after `grace`. Returns how many.
    pub async fn finish(&self, grace: Duration) -> usize {
        self.stop.cancel();
        let mut deadline = Instant::now() + grace;
        let mut before = Duration::MAX;
        while !self.closed.is_cancelled() {
            let began = Instant::now();
            let ended = tokio::time::timeout_at(deadline, self.next_turn().wait()).await;
            let took = began.elapsed();
            if ended.is_err() || took < SHORT || took > before / 2 {
                self.closed.cancel();
                deadline = deadline.max(Instant::now() + LAST);
            }
            before = took;
        }
        self.accepting.close();
        self.accepting.wait().await;
        let all = async {
            for turn in self.close() {
                turn.wait().await;
            }
        };
        if tokio::time::timeout_at(deadline, all).await.is_ok() {
            return 0;
        }
        let left = self.open();
        self.kill.cancel();
        for turn in self.close() {
            turn.wait().await;
        }
        left
    }

    /// Connections and tunnels that are open.
    pub fn open(&self) -> usize {
        self.turns().iter().map(TaskTracker::len).sum()
    }

    /// Whether answers over HTTP/1.1 should say that they are the last.
    pub(crate) fn says_close(&self) -> bool {
        self.says_close.load(Ordering::Relaxed)
    }

    /// Returns when nothing new is to be accepted.
    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// To be held by what accepts.
    pub(crate) fn accepting(&self) -> TaskTrackerToken {
        self.accepting.token()
    }

    /// Runs a connection until it ends or is cut.
    pub(crate) fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let killed = Seldom::new(self.kill.clone().cancelled_owned());
        self.turn().spawn(async move {
            tokio::select! {
                () = connection => {}
                () = killed => {}
            }
        });
    }

    pub(crate) fn spawn_tunnel(&self, tunnel: Tunnel) {
        self.turn().spawn(tunnel.run(self.kill.clone()));
    }

    /// Returns when a connection should be closed as soon as nothing runs on it. Those of HTTP/2 can be told so at any
    /// time; those of HTTP/1.1 are, by their answers, and closed when no more may come.
    pub(crate) async fn leave(&self, http2: bool, used: impl Fn() -> bool) {
        let step = if http2 { &self.begun } else { &self.stop };
        step.cancelled().await;
        // The first request may be on its way.
        let patience = Instant::now() + NEWCOMER;
        while !used() && Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn turn(&self) -> TaskTracker {
        self.turns().last().cloned().unwrap_or_default()
    }

    /// What comes from now on is another turn; returns the one before.
    fn next_turn(&self) -> TaskTracker {
        let (mut turns, next) = (self.turns(), TaskTracker::new());
        turns.retain(|turn| !turn.is_empty() || !turn.is_closed());
        let before = turns.last().cloned().unwrap_or_default();
        before.close();
        turns.push(next);
        before
    }

    fn close(&self) -> Vec<TaskTracker> {
        let turns = self.turns().clone();
        for turn in &turns {
            turn.close();
        }
        turns
    }

    fn turns(&self) -> MutexGuard<'_, Vec<TaskTracker>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
