//! Releases, and the way back to one.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Shell, watch};
use crate::api::types::{Comparison, Deployment, Release, Source};
use crate::args::ReleasesCommand;
use crate::failure::{Exit, Failure, Result};
use crate::ui::changes;
use crate::ui::table::{Cell, Table};
use crate::ui::time::{age_of, duration, size};

pub(crate) async fn run(shell: &Shell, command: Option<ReleasesCommand>) -> Result<()> {
    match command.unwrap_or(ReleasesCommand::Ls) {
        ReleasesCommand::Ls => ls(shell).await,
        ReleasesCommand::Diff { before, after } => diff(shell, before, after).await,
    }
}

async fn ls(shell: &Shell) -> Result<()> {
    let mut releases: Vec<Release> = shell.client()?.list(&shell.app_path(&["releases"])?).await?;
    releases.sort_by_key(|release| std::cmp::Reverse(release.number));
    if shell.ui.json {
        return crate::ui::json(&releases);
    }
    if releases.is_empty() {
        shell.ui.note("no releases yet: `wh deploy` makes the first");
        return Ok(());
    }
    let mut table =
        Table::new(&["RELEASE", "CREATED", "SOURCE", "COMMIT", "IMAGE", "SIZE", "BY", "TOOK", "", "MESSAGE"]);
    for release in &releases {
        let image = release.image.id.strip_prefix("sha256:").unwrap_or(&release.image.id);
        table.row(vec![
            Cell::name(release.number.to_string()),
            Cell::plain(age_of(release.created_at)),
            Cell::plain(source(release.source.as_ref())),
            Cell::plain(start(release.commit.as_deref().unwrap_or_default(), 8)),
            Cell::dim(start(image, 12)),
            Cell::plain(if release.image.size_bytes > 0 {
                size(release.image.size_bytes)
            } else {
                String::new()
            }),
            Cell::plain(release.origin.as_ref().map(|made| made.created_by.clone()).unwrap_or_default()),
            Cell::plain(took(release)),
            match release {
                Release { rolled_back_from: Some(from), .. } => {
                    Cell::status(format!("live, back from {from}"))
                }
                Release { current: true, .. } => Cell::status("live"),
                Release { kept: false, .. } => Cell::dim("not kept"),
                _ => Cell::plain(" "),
            },
            Cell::plain(release.origin.as_ref().map(|made| made.message.clone()).unwrap_or_default()),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

/// How long the deployment that made it took.
fn took(release: &Release) -> String {
    let took = release.origin.as_ref().and_then(|made| made.duration_ms);
    took.map(|took| duration(Duration::from_millis(took))).unwrap_or_default()
}

async fn diff(shell: &Shell, before: i64, after: Option<i64>) -> Result<()> {
    let client = shell.client()?;
    let after = match after {
        Some(after) => after,
        None => shell.get_app(&client).await?.release.map(|release| release.number).ok_or_else(|| {
            Failure::new(Exit::NotFound, "nothing_deployed", "no release serves")
                .hint("name the other release too: `wh releases diff A B`")
        })?,
    };
    let (one, other) = (before.to_string(), after.to_string());
    let compared: Comparison = client.get(&shell.app_path(&["releases", &one, "diff", &other])?).await?;
    if shell.ui.json {
        return crate::ui::json(&compared);
    }
    if compared.changes.is_empty() {
        shell.ui.note(&format!("releases {one} and {other} do not differ"));
        return Ok(());
    }
    crate::ui::data(&changes::render(&compared.changes, shell.ui.out_paint()))
}

/// A source in words, whether the server sends it as an object or as words already.
fn source(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(words)) => words.clone(),
        Some(value) => serde_json::from_value::<Source>(value.clone())
            .map(|source| source.to_string())
            .unwrap_or_default(),
        None => String::new(),
    }
}

fn start(text: &str, length: usize) -> &str {
    text.get(..length).unwrap_or(text)
}

pub(crate) async fn rollback(
    shell: &Shell,
    release: Option<i64>,
    message: Option<String>,
    detach: bool,
) -> Result<()> {
    let client = shell.client()?;
    let mut body = release.map_or(json!({}), |number| json!({ "release": number }));
    if let Some(message) = message {
        body["message"] = json!(message);
    }
    let deployment: Deployment = client.send(Method::POST, &shell.app_path(&["rollback"])?, &body).await?;
    let paint = shell.ui.err_paint();
    let target = release.map_or("to the release before".to_owned(), |number| format!("to release {number}"));
    let what = format!("rollback {target}");
    shell.ui.note(&format!(
        "{} deployment {} · {}",
        paint.bold(&deployment.app.slug),
        deployment.number,
        paint.dim(&what)
    ));
    watch::finish(shell, &client, deployment, detach).await
}
