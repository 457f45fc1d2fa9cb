//! Questions of people go to the agents that are connected here.

use std::collections::HashSet;

use daemon::reconcile::Reconciler;

use crate::app::AppState;
use crate::hub::Key;
use crate::questions::store;

pub struct DispatchQuestions(pub AppState);

impl Reconciler for DispatchQuestions {
    fn name(&self) -> &'static str {
        "dispatch questions"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let mut conn = self.0.db.acquire().await?;
        let open = store::open(&mut conn).await?;
        store::sweep(&mut conn).await?;
        drop(conn);
        self.0.hub.forget_questions(&open.iter().map(|open| open.ask.id).collect::<HashSet<_>>());
        for open in open {
            self.0.hub.ask(Key { node: open.node, kind: open.agent }, open.ask);
        }
        Ok(())
    }
}
