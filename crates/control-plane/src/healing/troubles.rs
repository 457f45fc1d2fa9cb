//! Apps that wait for a node, for people.

use sqlx::PgConnection;

use super::store::{self, Waiting};
use crate::notices::{Severity, Trouble};

/// One for each app of which an instance can be nowhere else.
pub async fn find(conn: &mut PgConnection) -> sqlx::Result<Vec<Trouble>> {
    let waiting = store::waiting(conn, None).await?;
    Ok(waiting.iter().filter_map(stuck).collect())
}

fn stuck(waiting: &Waiting) -> Option<Trouble> {
    let problem = waiting.problem.as_ref()?;
    let Waiting { slug, node, .. } = waiting;
    Some(Trouble {
        organization: Some(waiting.organization),
        kind: "app-waits",
        subject: format!("app:{slug}"),
        stage: "waits",
        severity: Severity::Critical,
        text: format!("An instance of {slug} waits for the node {node}, which is gone: {problem}."),
        hint: Some(format!(
            "Bring {node} back, or let the app run elsewhere: `wh settings` shows its pin and what it requires of nodes."
        )),
    })
}
