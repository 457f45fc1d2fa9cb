//! The queue of builds: who builds, who waits and why, and the way to the front.

use reqwest::Method;
use serde_json::json;

use super::{Shell, deployments};
use crate::api::path;
use crate::api::types::{Deployment, QueuedBuild};
use crate::args::QueueCommand;
use crate::failure::Result;
use crate::ui::table::{Cell, Table};
use crate::ui::time;

pub(crate) async fn run(shell: &Shell, command: Option<QueueCommand>) -> Result<()> {
    match command.unwrap_or(QueueCommand::Ls) {
        QueueCommand::Ls => ls(shell).await,
        QueueCommand::Front { number } => front(shell, number).await,
    }
}

async fn ls(shell: &Shell) -> Result<()> {
    let builds: Vec<QueuedBuild> = shell.client()?.list("/jobs").await?;
    if shell.ui.json {
        return crate::ui::json(&builds);
    }
    if builds.is_empty() {
        shell.ui.note("nothing builds and nothing waits");
        return Ok(());
    }
    let mut table = Table::new(&["PLACE", "APP", "DEPLOYMENT", "STATE", "SINCE", "NODE", "BY", "REASON"]);
    for build in &builds {
        table.row(vec![
            Cell::name(build.position.map(|place| place.to_string()).unwrap_or_default()),
            Cell::plain(&build.app.slug),
            Cell::plain(build.deployment.number.to_string()),
            Cell::status(if build.cancelling { "cancelling" } else { &build.state }),
            Cell::plain(time::age_of(build.since)),
            Cell::plain(build.node.as_deref().unwrap_or_default()),
            Cell::plain(&build.created_by),
            Cell::plain(build.reason.as_deref().unwrap_or_default()),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

async fn front(shell: &Shell, number: Option<i64>) -> Result<()> {
    let client = shell.client()?;
    let deployment = deployments::find(shell, &client, number).await?;
    let moved: Deployment =
        client.send(Method::POST, &path(&["deployments", &deployment.id, "front"]), &json!({})).await?;
    if shell.ui.json {
        return crate::ui::json(&moved);
    }
    let place = moved.queue_position.map(|place| format!(", at place {place}")).unwrap_or_default();
    shell.ui.done(&format!("deployment {} of {} moved to the front{place}", moved.number, moved.app.slug));
    Ok(())
}
