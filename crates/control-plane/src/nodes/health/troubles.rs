//! What is off with nodes, for people: one is gone, or its clock is off.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::clock;
use crate::nodes::Status;
use crate::nodes::store::checks;
use crate::notices::{Severity, Trouble};

/// A node that somebody should look at.
#[derive(Debug)]
pub struct Ailing {
    pub name: String,
    pub status: Status,
    pub missing_since: Option<DateTime<Utc>>,
    pub error: Option<String>,
    pub clock_offset_ms: Option<i64>,
}

/// All nodes that are gone, or whose clock is off.
pub async fn find(conn: &mut PgConnection) -> sqlx::Result<Vec<Trouble>> {
    let nodes = checks::ailing(conn, clock::NOTABLE_MS).await?;
    Ok(nodes.iter().flat_map(|node| [gone(node), clock_off(node)]).flatten().collect())
}

fn gone(node: &Ailing) -> Option<Trouble> {
    let (stage, severity) = match node.status {
        Status::Offline => ("offline", Severity::Warning),
        Status::Unreachable => ("unreachable", Severity::Critical),
        Status::Joining | Status::Online => return None,
    };
    let since = node.missing_since.map(|since| since.format(" since %Y-%m-%d %H:%M UTC").to_string());
    let (name, since) = (&node.name, since.unwrap_or_default());
    let why = node.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    Some(Trouble {
        hint: Some(format!(
            "Its apps go on running as long as the host does. Look at its power and network; `wh node check {name}` asks it at once."
        )),
        ..trouble(
            node,
            "node-gone",
            stage,
            severity,
            format!("The node {name} is {stage}, missing{since}{why}."),
        )
    })
}

fn clock_off(node: &Ailing) -> Option<Trouble> {
    let offset = node.clock_offset_ms.filter(|offset| offset.saturating_abs() >= clock::NOTABLE_MS)?;
    let (stage, severity, so) = if clock::is_refused(offset) {
        ("refused", Severity::Critical, "its messages are refused")
    } else {
        ("off", Severity::Warning, "from 5 minutes on its messages are refused")
    };
    // In steps: a new text with each heartbeat would say nothing new.
    let by = clock::words(offset - offset % clock::NOTABLE_MS);
    let text = format!("The clock of the node {} is about {by}; {so}.", node.name);
    Some(Trouble {
        hint: Some("Set it on the host, for example with chrony.".to_owned()),
        ..trouble(node, "node-clock", stage, severity, text)
    })
}

fn trouble(
    node: &Ailing,
    kind: &'static str,
    stage: &'static str,
    severity: Severity,
    text: String,
) -> Trouble {
    Trouble {
        organization: None,
        kind,
        subject: format!("node:{}", node.name),
        stage,
        severity,
        text,
        hint: None,
    }
}
