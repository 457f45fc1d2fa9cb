//! Whether a node is there: what checks found, and how it went and came back.

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::json;

use super::Shell;
use crate::api::path;
use crate::api::types::{Health, Node, Transition};
use crate::failure::{Exit, Failure, Result};
use crate::ui::sanitize;
use crate::ui::table::{Cell, Table};
use crate::ui::time::{age, until};

/// A clock this many milliseconds off is said so to the second.
const EXACT_MS: i64 = 10_000;
/// Below this nobody would notice.
const IN_STEP_MS: i64 = 1000;

/// `3 failed, next in 2m`; nothing for a node that is not checked.
pub(crate) fn brief(health: &Health, now: DateTime<Utc>) -> String {
    let next = health.next_check_at.map(|at| format!("next {}", until(at, now)));
    let failed = (health.failures > 0).then(|| format!("{} failed", health.failures));
    [failed, next].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Lines of `wh node show`.
pub(crate) fn rows(health: &Health, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if let Some(since) = health.missing_since {
        rows.push(("missing", format!("no agent is connected since {}", age(since, now))));
    }
    let last = health.checked_at.map(|at| format!("last {}", age(at, now)));
    let checks: Vec<String> =
        [last, Some(brief(health, now)).filter(|text| !text.is_empty())].into_iter().flatten().collect();
    if !checks.is_empty() {
        rows.push(("checks", checks.join(", ")));
    }
    if let Some(error) = &health.error {
        rows.push(("last error", sanitize(error)));
    }
    if let Some(offset) = health.clock_offset_ms {
        let measured = health.clock_measured_at.map(|at| format!(", measured {}", age(at, now)));
        rows.push(("clock", format!("{}{}", clock(offset), measured.unwrap_or_default())));
    }
    rows
}

/// `in step`, `1.25 s ahead`, `370 s behind`. What a message takes on its way is part of what is measured.
#[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
fn clock(offset_ms: i64) -> String {
    let way = if offset_ms < 0 { "behind" } else { "ahead" };
    let seconds = offset_ms.unsigned_abs() as f64 / 1000.0;
    if offset_ms.saturating_abs() < IN_STEP_MS {
        return "in step".to_owned();
    }
    if offset_ms.saturating_abs() < EXACT_MS {
        format!("{seconds:.2} s {way}")
    } else {
        format!("{seconds:.0} s {way}")
    }
}

/// Asks at once. A node that does not answer is a failure, so that scripts can wait for one.
pub(crate) async fn check(shell: &Shell, name: &str) -> Result<()> {
    let url = path(&["nodes", name, "check"]);
    let node: Node = shell.client()?.send(Method::POST, &url, &json!({})).await?;
    if shell.ui.json {
        crate::ui::json(&node)?;
    }
    match &node.health.error {
        None => {
            if !shell.ui.json {
                shell.ui.done(&format!("{} answers: {}", sanitize(&node.name), node.status));
            }
            Ok(())
        }
        Some(error) => {
            let brief = brief(&node.health, Utc::now());
            let counted = if brief.is_empty() { String::new() } else { format!(" ({brief})") };
            let message = format!("{} does not answer: {error}{counted}", node.name);
            Err(Failure::new(Exit::Error, "node_silent", sanitize(&message))
                .hint(format!("It is {}: `wh node show {}` tells more", node.status, node.name)))
        }
    }
}

pub(crate) async fn history(shell: &Shell, name: &str) -> Result<()> {
    let history: Vec<Transition> = shell.client()?.list(&path(&["nodes", name, "history"])).await?;
    if shell.ui.json {
        return crate::ui::json(&history);
    }
    if history.is_empty() {
        shell.ui.note(&format!("{name} has been as it is for as long as is kept"));
        return Ok(());
    }
    let mut table = Table::new(&["WHEN", "AT", "STATUS", "BEFORE", "WHY"]);
    for one in &history {
        table.row(vec![
            Cell::dim(age(one.at, Utc::now())),
            Cell::plain(one.at.format("%Y-%m-%d %H:%M:%S UTC").to_string()),
            Cell::status(&one.to),
            Cell::plain(&one.from),
            Cell::plain(&one.reason),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}
