//! Records of domains are looked for: of new ones until they are there or a week is over, of verified ones once a day.

use daemon::reconcile::Reconciler;
use futures_util::StreamExt as _;
use futures_util::stream;

use crate::app::AppState;
use crate::domains::{check, store};

pub struct Domains(pub AppState);

/// Looked at in one pass, and beside each other: a pass takes half a minute at most.
const IN_ONE_PASS: i64 = 64;
const AT_ONCE: usize = 16;

impl Reconciler for Domains {
    fn name(&self) -> &'static str {
        "domains"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let app = &self.0;
        check::expire(app).await?;
        let due = {
            let mut conn = app.db.acquire().await?;
            store::due(&mut conn, IN_ONE_PASS).await?
        };
        let looks = due.into_iter().map(|due| async move {
            check::look(app, &due).await.map_err(|error| error.context(due.hostname))
        });
        // One that fails must not keep the others.
        let results: Vec<_> = stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
        results.into_iter().collect()
    }
}
