//! What people want to know of an agent, or have done by it, while they wait. The agent may be connected to another
//! replica, so the question goes through the tables, and so does the answer.

pub mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use protocol::identity::AgentKind;
use protocol::ids::NodeId;
use protocol::question::{Answer, AnswerKind, Question};
use sqlx::PgConnection;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::app::App;
use crate::bus::{self, Topic};
use crate::http::{Code, Error, Result};
use crate::nodes::{self, Node};

/// Seconds for which a question is open. Answers that come later are nobody's.
pub const OPEN_S: f64 = 60.0;
/// A look at the tables without a notification.
const LOOK: Duration = Duration::from_secs(1);

/// Asks an agent of the node, and waits for its answer.
pub async fn ask(
    app: &App,
    node: &Node,
    kind: AgentKind,
    question: Question,
    patience: Duration,
) -> Result<AnswerKind> {
    let mut changes = app.bus.listen();
    let id = Uuid::now_v7();
    let mut tx = app.db.begin().await?;
    let version = put(&mut tx, id, node, kind, &question).await?;
    tx.commit().await?;
    let end = Instant::now() + patience;
    loop {
        if let Some(answer) = store::take(&mut *app.db.acquire().await?, id).await? {
            return answered(node, answer);
        }
        if Instant::now() >= end {
            break;
        }
        let look_again = end.min(Instant::now() + LOOK);
        let _ = timeout_at(look_again, changes.until(&[Topic::Questions], &id.to_string())).await;
    }
    Err(Error::new(Code::Unavailable, format!("the {kind} agent of {} does not answer", node.name)).hint(
        format!(
            "Try again; an agent of an older version than the control plane cannot answer: it has {version}"
        ),
    ))
}

/// Puts a question to an agent that is connected; its version.
pub async fn put<'a>(
    conn: &mut PgConnection,
    id: Uuid,
    node: &'a Node,
    kind: AgentKind,
    question: &Question,
) -> Result<&'a str> {
    let agent = node.agents.iter().find(|agent| agent.kind == kind).ok_or_else(|| no_agent(node, kind))?;
    if !agent.connected {
        let name = &node.name;
        return Err(Error::new(Code::Unavailable, format!("the {kind} agent of {name} is not connected"))
            .hint(format!("`wh node show {name}` shows since when; `wh node check {name}` asks its host")));
    }
    store::insert(conn, id, node.id, kind, question).await?;
    bus::say(conn, Topic::Questions, id).await?;
    Ok(&agent.version)
}

/// An agent answers: a clean-up is written down, anything else somebody waits for.
pub async fn take(
    conn: &mut PgConnection,
    node: NodeId,
    kind: AgentKind,
    answer: &Answer,
) -> sqlx::Result<()> {
    if kind == AgentKind::Worker
        && nodes::store::storage::finish_cleanup(conn, answer.id, node, &answer.answer).await?
    {
        return store::forget(conn, answer.id).await;
    }
    store::answer(conn, node, kind, answer).await
}

fn no_agent(node: &Node, kind: AgentKind) -> Error {
    let kinds: Vec<String> = node.agents.iter().map(|agent| agent.kind.to_string()).collect();
    let has = if kinds.is_empty() { "none yet".to_owned() } else { kinds.join(", ") };
    Error::invalid("agent", format!("{} has no {kind} agent", node.name)).hint(format!("It has: {has}"))
}

fn answered(node: &Node, answer: AnswerKind) -> Result<AnswerKind> {
    match answer {
        AnswerKind::Failed { message } => {
            Err(Error::new(Code::Unavailable, format!("{} cannot do that: {message}", node.name)))
        }
        answer => Ok(answer),
    }
}
