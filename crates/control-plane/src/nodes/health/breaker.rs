//! Whether a node may be dialled. One that is known to be gone, or that did not take the last connections, is refused at
//! once, so that nobody waits for what will not come.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::ids::NodeId;
use sqlx::PgConnection;

use crate::app::App;
use crate::http::{Code, Error, Result};
use crate::nodes::Status;
use crate::nodes::store::checks;

/// Connections in a row that failed before the next ones are refused.
const FAILURES: u32 = 3;
/// How long they are refused before one may try again.
const OPEN: Duration = Duration::from_secs(30);

/// What became of this process's connections to nodes.
#[derive(Debug, Default)]
pub struct Breakers(Mutex<HashMap<NodeId, Breaker>>);

#[derive(Debug, Default)]
struct Breaker {
    failures: u32,
    open_until: Option<Instant>,
}

impl Breakers {
    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Breaker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long to wait before the node is dialled again; nothing when it may be now. After the wait one may, and the
    /// others wait for what becomes of it.
    fn wait(&self, node: NodeId, now: Instant) -> Option<Duration> {
        let mut breakers = self.lock();
        let breaker = breakers.get_mut(&node)?;
        let until = breaker.open_until?;
        if until > now {
            return Some(until - now);
        }
        breaker.open_until = Some(now + OPEN);
        None
    }

    /// A connection was made, or could not be.
    pub fn record(&self, node: NodeId, connected: bool) {
        self.record_at(node, connected, Instant::now());
    }

    fn record_at(&self, node: NodeId, connected: bool, now: Instant) {
        let mut breakers = self.lock();
        if connected {
            breakers.remove(&node);
            return;
        }
        let breaker = breakers.entry(node).or_default();
        breaker.failures += 1;
        if breaker.failures >= FAILURES {
            breaker.open_until = Some(now + OPEN);
        }
    }
}

/// Refuses to dial a node that will not answer, with the reason and the remedy.
pub async fn admit(app: &App, conn: &mut PgConnection, node: NodeId) -> Result<()> {
    let Some(known) = checks::standing(conn, node).await? else { return Ok(()) };
    let refused = |message: String| {
        metrics::counter!("wisehosting_node_dials_refused_total", "node" => known.name.clone()).increment(1);
        let hint = format!("`wh node check {}` asks it at once, `wh node show` tells more", known.name);
        Err(Error::new(Code::Unavailable, message).hint(hint))
    };
    if matches!(known.status, Status::Offline | Status::Unreachable) {
        let since = known.missing_since.unwrap_or(known.status_since).format("%Y-%m-%d %H:%M:%S UTC");
        let why = known.error.as_deref().unwrap_or("it is not heard from");
        return refused(format!("{} is {}, missing since {since}: {why}", known.name, known.status.as_str()));
    }
    match app.breakers.wait(node, Instant::now()) {
        None => Ok(()),
        Some(wait) => refused(format!(
            "{} took none of the last {FAILURES} connections; the next one is tried in {} s",
            known.name,
            wait.as_secs() + 1
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_takes_no_connections_is_refused_until_one_gets_through() {
        let (breakers, node, start) = (Breakers::default(), NodeId::new(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for _ in 0..2 {
            breakers.record_at(node, false, at(0));
            assert_eq!(breakers.wait(node, at(0)), None);
        }
        breakers.record_at(node, false, at(0));
        assert_eq!(breakers.wait(node, at(10)), Some(Duration::from_secs(20)));
        assert_eq!(breakers.wait(NodeId::new(), at(10)), None, "others are not its fault");
        assert_eq!(breakers.wait(node, at(30)), None, "one may try");
        assert_eq!(breakers.wait(node, at(31)), Some(Duration::from_secs(29)), "and only one");
        breakers.record_at(node, false, at(35));
        assert_eq!(breakers.wait(node, at(36)), Some(Duration::from_secs(29)));
        breakers.record_at(node, true, at(70));
        assert_eq!(breakers.wait(node, at(70)), None);
    }
}
