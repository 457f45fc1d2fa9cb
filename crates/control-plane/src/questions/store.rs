//! SQL of questions to agents.

use protocol::identity::AgentKind;
use protocol::ids::NodeId;
use protocol::question::{Answer, AnswerKind, Ask, Question};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::OPEN_S;
use crate::bus::{self, Topic};

pub async fn insert(
    conn: &mut PgConnection,
    id: Uuid,
    node: NodeId,
    kind: AgentKind,
    question: &Question,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into agent_questions (id, node_id, agent, question) values ($1, $2, $3, $4)",
        id,
        node as _,
        kind.as_str(),
        Json(question) as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One that is not answered yet.
#[derive(Debug)]
pub struct Open {
    pub node: NodeId,
    pub agent: AgentKind,
    pub ask: Ask,
}

/// Those that are open, and that somebody waits for still.
pub async fn open(conn: &mut PgConnection) -> sqlx::Result<Vec<Open>> {
    let rows = sqlx::query!(
        r#"select id, node_id as "node: NodeId", agent as "agent: AgentKind", question as "question: Json<Question>"
           from agent_questions
           where answer is null and asked_at > now() - make_interval(secs => $1) order by asked_at"#,
        OPEN_S
    )
    .fetch_all(conn)
    .await?;
    let open = rows.into_iter().map(|row| Open {
        node: row.node,
        agent: row.agent,
        ask: Ask { id: row.id, question: row.question.0 },
    });
    Ok(open.collect())
}

/// The agent that was asked answers.
pub async fn answer(
    conn: &mut PgConnection,
    node: NodeId,
    kind: AgentKind,
    answer: &Answer,
) -> sqlx::Result<()> {
    let done = sqlx::query!(
        "update agent_questions set answer = $4 where id = $1 and node_id = $2 and agent = $3 and answer is null",
        answer.id,
        node as _,
        kind.as_str(),
        Json(&answer.answer) as _
    )
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() > 0 {
        bus::say(conn, Topic::Questions, answer.id).await?;
    }
    Ok(())
}

/// The answer, which is then gone; `None` while there is none.
pub async fn take(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<AnswerKind>> {
    let answer = sqlx::query_scalar!(
        r#"delete from agent_questions where id = $1 and answer is not null
           returning answer as "answer!: Json<AnswerKind>""#,
        id
    )
    .fetch_optional(conn)
    .await?;
    Ok(answer.map(|answer| answer.0))
}

/// It is answered, and nobody waits.
pub async fn forget(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("delete from agent_questions where id = $1", id).execute(conn).await?;
    Ok(())
}

/// Forgets what nobody waits for any more.
pub async fn sweep(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("delete from agent_questions where asked_at < now() - make_interval(secs => $1)", OPEN_S)
        .execute(conn)
        .await?;
    Ok(())
}
