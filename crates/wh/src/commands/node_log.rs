//! What an agent of a node says of itself.

use std::time::Duration;

use chrono::Local;

use super::Shell;
use crate::api::types::{AgentLine, AgentLog};
use crate::api::{Client, path_with};
use crate::args::NodeLogs;
use crate::failure::Result;
use crate::ui::{Ui, sanitize};

/// Between two questions for new lines.
const PAUSE: Duration = Duration::from_secs(2);

/// `wh node logs`.
pub(crate) async fn run(shell: &Shell, name: &str, asked: &NodeLogs) -> Result<()> {
    let client = shell.client()?;
    let mut log = read(&client, name, asked, None).await?;
    if shell.ui.json && !asked.follow {
        return crate::ui::json(&log.lines);
    }
    if log.lines.is_empty() && !asked.follow {
        shell.ui.note("no such lines: an agent has its last 1,000, and none from before it was started");
    }
    let mut lost = false;
    loop {
        for line in &log.lines {
            if shell.ui.json {
                crate::ui::json(line)?;
            } else {
                crate::ui::data(&show(shell.ui, line))?;
            }
        }
        if !asked.follow {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
        match read(&client, name, asked, Some(&log.place)).await {
            Ok(next) => (log, lost) = (next, false),
            // It may be starting anew just now.
            Err(failure) if failure.code == "unavailable" => {
                if !lost {
                    shell.ui.note(&shell.ui.err_paint().dim(&format!("{}; waiting for it", failure.message)));
                }
                (log.lines, lost) = (Vec::new(), true);
            }
            Err(failure) => return Err(failure),
        }
    }
}

async fn read(client: &Client, name: &str, asked: &NodeLogs, after: Option<&str>) -> Result<AgentLog> {
    let lines = if after.is_some() { 1000 } else { asked.tail }.to_string();
    let mut query = vec![("level", asked.level.as_str()), ("lines", lines.as_str())];
    query.extend(asked.agent.as_deref().map(|agent| ("agent", agent)));
    query.extend(after.map(|place| ("after", place)));
    client.get(&path_with(&["nodes", name, "agent-log"], &query)).await
}

fn show(ui: Ui, line: &AgentLine) -> String {
    let paint = ui.out_paint();
    let level = match line.level.as_str() {
        "error" => paint.status("failed").replace("failed", "ERROR"),
        "warn" => paint.yellow("WARN"),
        other => paint.dim(&other.to_ascii_uppercase()),
    };
    let at =
        line.at.map(|at| at.with_timezone(&Local).format("%m-%d %H:%M:%S").to_string()).unwrap_or_default();
    let text = sanitize(&line.text).replace('\n', " ");
    format!("{} {level} {} {text}", paint.dim(&at), paint.dim(&sanitize(&line.target)))
}
