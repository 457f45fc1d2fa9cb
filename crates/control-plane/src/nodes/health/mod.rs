//! Whether nodes are there. A node is online while an agent of it is connected and its heartbeats arrive. If none is,
//! the node is missing, and is asked over the mesh, less and less often the longer it says nothing.

pub mod alias;
pub mod api;
pub mod breaker;
pub mod clock;
pub mod config;
pub mod probe;
pub mod rule;
#[cfg(test)]
mod tests;
pub mod troubles;

use chrono::{DateTime, Utc};
use protocol::ids::NodeId;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Status;
use super::store::checks::{self, Watched};
use config::NodeHealth;
use probe::Found;
use rule::{Heard, Standing};

/// How a node is, and how that is known.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = NodeHealth)]
pub struct Health {
    /// Since when no agent of it is connected and heard from. Null while one is, and before the first has called.
    pub missing_since: Option<DateTime<Utc>>,
    /// Checks in a row that found nobody.
    pub failures: i32,
    /// When it was asked, or called by itself, last.
    pub checked_at: Option<DateTime<Utc>>,
    /// When it is asked next. Null while that is not needed.
    pub next_check_at: Option<DateTime<Utc>>,
    /// What the last check found instead of an answer.
    pub error: Option<String>,
    /// Its clock against the control plane's, in milliseconds: more is ahead. As newly measured as any agent's.
    pub clock_offset_ms: Option<i64>,
    pub clock_measured_at: Option<DateTime<Utc>>,
}

/// A node became online, offline or unreachable.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = NodeTransition)]
pub struct Transition {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub from: Status,
    pub to: Status,
    pub reason: String,
}

/// What is new about a node, on its way into the tables.
#[derive(Debug)]
pub struct News {
    pub standing: Standing,
    pub heard: Heard,
    /// Why the status is another now.
    pub reason: String,
    /// What a check found instead of an answer.
    pub error: Option<String>,
    /// Seconds until the next check; none is needed when absent.
    pub wait_s: Option<f64>,
    /// Whether it was asked, or called by itself.
    pub was_asked: bool,
}

/// An agent of the node is connected, as `reason` says.
pub async fn connected(conn: &mut PgConnection, node: &Watched, reason: String) -> sqlx::Result<()> {
    note(conn, node, Heard::Connected, reason, None, None).await
}

/// The host called by itself, without a connection that lasts.
pub async fn called(conn: &mut PgConnection, config: &NodeHealth, node: &Watched) -> sqlx::Result<()> {
    let heard = if node.present { Heard::Connected } else { Heard::Called };
    note(conn, node, heard, "it sent a heartbeat over HTTP".to_owned(), None, Some(config)).await
}

/// A check found this.
pub async fn checked(
    conn: &mut PgConnection,
    config: &NodeHealth,
    node: &Watched,
    found: &Found,
) -> sqlx::Result<()> {
    let (heard, error) = match (node.present, found) {
        (true, _) => (Heard::Connected, found.as_ref().err()),
        (false, Ok(_)) => (Heard::Answered, None),
        (false, Err(error)) => (Heard::Nothing, Some(error)),
    };
    let reason = match (found, heard) {
        (_, Heard::Connected) => "an agent of it is connected".to_owned(),
        (Ok(address), _) => format!("it answered a check at {address}"),
        (Err(error), _) => {
            let failures = node.standing.after(heard).failures;
            let since = node.missing_since.unwrap_or_else(Utc::now).format("%H:%M:%S UTC");
            format!("no agent is connected since {since}, and {failures} checks in a row failed: {error}")
        }
    };
    let outcome = if found.is_ok() { "answered" } else { "failed" };
    metrics::counter!("wisehosting_node_checks_total", "outcome" => outcome).increment(1);
    note(conn, node, heard, reason, error.cloned(), Some(config)).await
}

async fn note(
    conn: &mut PgConnection,
    node: &Watched,
    heard: Heard,
    reason: String,
    error: Option<String>,
    config: Option<&NodeHealth>,
) -> sqlx::Result<()> {
    let standing = node.standing.after(heard);
    let wait_s = match config {
        Some(config) if heard != Heard::Connected && standing.status != Status::Joining => {
            Some(rule::wait(config, standing.failures, rand::random_range(0.0..1.0)).as_secs_f64())
        }
        _ => None,
    };
    checks::save(conn, node, &News { standing, heard, reason, error, wait_s, was_asked: config.is_some() })
        .await?;
    if standing.status != node.standing.status {
        told(node.id, &node.name, standing.status);
    }
    Ok(())
}

fn told(id: NodeId, name: &str, status: Status) {
    let word = status.as_str();
    metrics::counter!("wisehosting_node_transitions_total", "to" => word).increment(1);
    tracing::info!(node.id = %id, node.name = name, status = word, "node {name} is {word}");
}
