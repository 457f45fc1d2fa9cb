//! `GET /api/v1/nodes/{node}/agent-log`: the newest lines of an agent's own log, asked of it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use protocol::identity::AgentKind;
use protocol::question::{AgentLine, AnswerKind, LogLevel, LogPlace, LogQuestion, MAX_LINES, Question};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::api::find;
use crate::app::AppState;
use crate::http::extract::{Path, Query};
use crate::http::{Error, Permission, Result, guard};
use crate::questions;

/// The agent has the lines in memory.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    // Logs tell of all organizations' apps.
    OpenApiRouter::new().routes(guard(app, Permission::NodeWrite, routes!(read_agent_log)))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct AgentLogQuery {
    /// `mesh`, `worker` or `proxy`. The first of worker, proxy and mesh that the node has, when absent.
    agent: Option<String>,
    /// The least important level that is wanted: `error`, `warn`, `info` (when absent), `debug` or `trace`.
    level: Option<String>,
    /// At most so many lines, the newest; from 1 to 1000, 200 when absent.
    lines: Option<u32>,
    /// Only what follows this place of an earlier answer.
    after: Option<String>,
}

/// What an agent logged lately. It keeps 1,000 lines in memory, and less where they are long.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AgentLog)]
struct View {
    agent: AgentKind,
    /// The earliest first.
    lines: Vec<AgentLine>,
    /// Where to go on: `after` of the next question.
    place: String,
}

/// The newest lines of an agent's own log. It must be connected.
#[utoipa::path(get, path = "/nodes/{node}/agent-log", tag = "nodes", params(("node" = String, Path), AgentLogQuery),
    responses((status = 200, body = View)))]
async fn read_agent_log(
    State(app): State<AppState>,
    Path(node): Path<String>,
    Query(query): Query<AgentLogQuery>,
) -> Result<Json<View>> {
    let node = find(&mut *app.db.acquire().await?, &node).await?;
    let agent = match query.agent.as_deref() {
        Some(word) => kind(word)?,
        None => [AgentKind::Worker, AgentKind::Proxy, AgentKind::Mesh]
            .into_iter()
            .find(|kind| node.agents.iter().any(|agent| agent.kind == *kind))
            .unwrap_or(AgentKind::Mesh),
    };
    let lines = query.lines.unwrap_or(200);
    let most = u32::try_from(MAX_LINES).unwrap_or(u32::MAX);
    if !(1..=most).contains(&lines) {
        return Err(Error::invalid("lines", format!("lines must be between 1 and {most}")));
    }
    let after = query.after.as_deref().map(place).transpose()?;
    let question = LogQuestion { after, level: level(query.level.as_deref())?, lines };
    let answer = questions::ask(&app, &node, agent, Question::Log(question), PATIENCE).await?;
    let AnswerKind::Log(log) = answer else {
        return Err(anyhow::anyhow!("{} answered something else", node.name).into());
    };
    let seen = after.filter(|after| after.run == log.run).map_or(0, |after| after.seq);
    let seq = log.lines.last().map_or(seen, |line| line.seq);
    Ok(Json(View { agent, lines: log.lines, place: format!("{}-{seq}", log.run.simple()) }))
}

fn kind(word: &str) -> Result<AgentKind> {
    match word {
        "mesh" => Ok(AgentKind::Mesh),
        "worker" => Ok(AgentKind::Worker),
        "proxy" => Ok(AgentKind::Proxy),
        _ => Err(Error::invalid("agent", "agent must be mesh, worker or proxy")),
    }
}

fn level(word: Option<&str>) -> Result<LogLevel> {
    match word {
        Some("error") => Ok(LogLevel::Error),
        Some("warn") => Ok(LogLevel::Warn),
        None | Some("info") => Ok(LogLevel::Info),
        Some("debug") => Ok(LogLevel::Debug),
        Some("trace") => Ok(LogLevel::Trace),
        Some(_) => Err(Error::invalid("level", "level must be error, warn, info, debug or trace")),
    }
}

/// `<run>-<number>`.
fn place(text: &str) -> Result<LogPlace> {
    let parsed = text
        .split_once('-')
        .and_then(|(run, seq)| Some(LogPlace { run: Uuid::try_parse(run).ok()?, seq: seq.parse().ok()? }));
    parsed.ok_or_else(|| Error::invalid("after", "after must be the `place` of an earlier answer"))
}
