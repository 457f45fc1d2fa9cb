//! Waiting until agents have a generation in force: "nothing is switched off before everyone has stopped using it", and
//! nothing is used before everyone knows it.

use std::time::Duration;

use protocol::identity::{AgentKind, Role};
use protocol::spec::Generation;
use tokio::time::{Instant, timeout_at};

use super::store;
use crate::app::AppState;
use crate::bus::{Listener, Topic};

/// Waits for at most `patience` until no connected agent is behind; the names of those that still are. `changes` must
/// listen since before the generation was raised, so that no answer is missed.
pub async fn wait(
    app: &AppState,
    changes: &mut Listener,
    (kind, role): (AgentKind, Role),
    generation: Generation,
    patience: Duration,
) -> sqlx::Result<Vec<String>> {
    let end = Instant::now() + patience;
    loop {
        let behind = {
            let mut conn = app.db.acquire().await?;
            store::behind(&mut conn, kind, role, generation).await?
        };
        if behind.is_empty() || Instant::now() >= end {
            return Ok(behind);
        }
        // A change that is missed costs a second.
        let look_again = end.min(Instant::now() + Duration::from_secs(1));
        let _ = timeout_at(look_again, changes.until(&[Topic::Nodes], "")).await;
    }
}
