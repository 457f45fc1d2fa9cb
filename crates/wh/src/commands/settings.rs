//! Settings of an app: shown and changed in the words of the project file.

use reqwest::Method;
use serde_json::{Map, Value};

use super::{Shell, plan};
use crate::api::path;
use crate::api::types::{App, Change, Pending};
use crate::args::{Applying, Resize, SettingsCommand};
use crate::failure::{Failure, Result};
use crate::settings;
use crate::ui::table::{Cell, Table};

pub(crate) async fn run(shell: &Shell, app: Option<String>, command: Option<SettingsCommand>) -> Result<()> {
    let app = app.map_or_else(|| shell.app(), Ok)?;
    match command {
        None => show(shell, &app).await,
        Some(SettingsCommand::Set { pairs, applying }) => change(shell, &app, &pairs, applying).await,
    }
}

pub(crate) async fn resize(shell: &Shell, resize: Resize) -> Result<()> {
    let app = resize.app_name.map_or_else(|| shell.app(), Ok)?;
    let memory = resize.memory.map(|mb| format!("resources.memory_mb={mb}"));
    let cpu = resize.cpu.map(|millis| format!("resources.cpu_millis={millis}"));
    let pairs: Vec<String> = memory.into_iter().chain(cpu).collect();
    if pairs.is_empty() {
        return Err(Failure::usage("resize to what?").hint("`--memory 512M`, `--cpu 0.5`, or both"));
    }
    change(shell, &app, &pairs, resize.applying).await
}

async fn show(shell: &Shell, app: &str) -> Result<()> {
    let app: App = shell.client()?.get(&path(&["apps", app])).await?;
    let all = settings::flat(&app.settings);
    if shell.ui.json {
        return crate::ui::json(&Value::Object(all.into_iter().collect::<Map<_, _>>()));
    }
    let mut table = Table::new(&["SETTING", "VALUE"]);
    for (word, value) in &all {
        table.row(vec![Cell::name(word), Cell::plain(settings::text(value))]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

async fn change(shell: &Shell, app: &str, pairs: &[String], applying: Applying) -> Result<()> {
    let client = shell.client()?;
    let at = path(&["apps", app]);
    let mut now: App = client.get(&at).await?;
    let wanted = settings::set(&now.settings, pairs)?;
    let changes = settings::changes(&now.settings, &wanted);
    if !changes.is_empty() {
        now = client.send(Method::PATCH, &at, &settings::patch(&now.settings, &wanted)).await?;
    }
    for change in &changes {
        shell.ui.done(&plan::arrow(change));
    }
    let pending: Pending = client.get(&path(&["apps", app, "pending"])).await?;
    if applying.apply && (pending.applicable || pending.deployment.is_some()) {
        return plan::bring(shell, &client, app, applying.message, applying.detach).await;
    }
    if shell.ui.json {
        return crate::ui::json(&now);
    }
    shell.ui.note(&next(&pending, &changes));
    Ok(())
}

/// When the changes come into force, and what to do for it.
fn next(pending: &Pending, changes: &[Change]) -> String {
    let all = |impact: &str| changes.iter().all(|change| change.impact == impact);
    let text = match (pending.release, pending.deployment) {
        (None, _) => "the first deployment takes it",
        _ if changes.is_empty() && pending.changes.is_empty() => "nothing changes: the app is set so already",
        _ if !changes.is_empty() && all("nothing") => "holds from the next deployment on",
        (_, Some(number)) => {
            return format!("pending: after deployment {number}, see `wh plan`, then `wh apply`");
        }
        _ if pending.applicable => "pending: see `wh plan`, then `wh apply`",
        _ if pending.changes.is_empty() => "the live release has it already",
        _ => "takes a new image: `wh deploy` builds it",
    };
    text.to_owned()
}
