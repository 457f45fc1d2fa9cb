//! Deployments: what was tried, how it went, and stopping one.

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::{Shell, watch};
use crate::api::types::{Deployment, LogLine, Page, Recipe};
use crate::api::{Client, path, path_with};
use crate::args::DeploymentsCommand;
use crate::failure::{Exit, Failure, Result};
use crate::ui::live::{log_line, stage_line};
use crate::ui::table::{Cell, Table, facts};
use crate::ui::{card, sanitize, time};

/// How many the list shows.
const SHOWN: &str = "20";

pub(crate) async fn run(shell: &Shell, command: Option<DeploymentsCommand>) -> Result<()> {
    let client = shell.client()?;
    match command.unwrap_or(DeploymentsCommand::Ls) {
        DeploymentsCommand::Ls => ls(shell, &client).await,
        DeploymentsCommand::Show { number, containerfile: true, .. } => {
            containerfile(shell, &client, number).await
        }
        DeploymentsCommand::Show { number, log, .. } => show(shell, &client, number, log).await,
        DeploymentsCommand::Watch { number } => {
            let deployment = find(shell, &client, number).await?;
            watch::finish(shell, &client, deployment, false).await
        }
    }
}

async fn ls(shell: &Shell, client: &Client) -> Result<()> {
    let app = shell.app()?;
    let page: Page<Deployment> =
        client.get(&path_with(&["apps", &app, "deployments"], &[("limit", SHOWN)])).await?;
    if shell.ui.json {
        return crate::ui::json(&page.items);
    }
    if page.items.is_empty() {
        shell.ui.note("no deployments yet: `wh deploy`");
        return Ok(());
    }
    let mut table =
        Table::new(&["#", "STATE", "KIND", "SOURCE", "RELEASE", "BY", "STARTED", "TOOK", "MESSAGE"]);
    for deployment in &page.items {
        let source = deployment.source.as_ref().map(ToString::to_string);
        table.row(vec![
            Cell::name(deployment.number.to_string()),
            Cell::status(&deployment.state),
            Cell::plain(&deployment.kind),
            Cell::plain(source.unwrap_or_default()),
            Cell::plain(deployment.release_in_words()),
            Cell::plain(&deployment.created_by),
            Cell::plain(time::age_of(Some(deployment.created_at))),
            Cell::plain(took(deployment)),
            Cell::plain(&deployment.message),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

/// From its beginning to its end.
fn took(deployment: &Deployment) -> String {
    let end = deployment.finished_at;
    end.map(|end| time::duration(time::between(deployment.created_at, end))).unwrap_or_default()
}

/// By number, or the latest.
pub(super) async fn find(shell: &Shell, client: &Client, number: Option<i64>) -> Result<Deployment> {
    let app = shell.app()?;
    let Some(number) = number else {
        let latest = shell.get_app(client).await?.deployment.ok_or_else(|| {
            Failure::new(Exit::NotFound, "deployment_unknown", format!("{app} was never deployed"))
                .hint("`wh deploy`")
        })?;
        return client.get(&path(&["deployments", &latest.id])).await;
    };
    let all: Vec<Deployment> = client.list(&path(&["apps", &app, "deployments"])).await?;
    all.into_iter().find(|deployment| deployment.number == number).ok_or_else(|| {
        Failure::new(Exit::NotFound, "deployment_unknown", format!("{app} has no deployment {number}"))
            .hint("`wh deployments` lists them")
    })
}

async fn show(shell: &Shell, client: &Client, number: Option<i64>, log: bool) -> Result<()> {
    let deployment = find(shell, client, number).await?;
    let lines = if log { read_log(client, &deployment.id).await? } else { Vec::new() };
    if shell.ui.json {
        let mut value = json!(deployment);
        if log {
            value["log"] = json!(lines);
        }
        return crate::ui::json(&value);
    }
    let paint = shell.ui.out_paint();
    let rows = [
        ("deployment", format!("{} of {}", deployment.number, deployment.app.slug)),
        ("state", paint.status(&deployment.state)),
        ("place in queue", deployment.queue_position.map(|place| place.to_string()).unwrap_or_default()),
        ("waiting for", deployment.waiting_for.as_deref().map(sanitize).unwrap_or_default()),
        (
            "source",
            deployment.source.as_ref().map(|source| sanitize(&source.to_string())).unwrap_or_default(),
        ),
        ("preset", deployment.recipe.as_ref().map(Recipe::in_words).unwrap_or_default()),
        ("commit", deployment.commit.as_deref().map(sanitize).unwrap_or_default()),
        ("image", deployment.image_size_bytes.filter(|size| *size > 0).map(time::size).unwrap_or_default()),
        ("release", deployment.release_in_words()),
        ("message", sanitize(&deployment.message)),
        ("by", sanitize(&deployment.created_by)),
        ("started", time::age_of(Some(deployment.created_at))),
        ("took", took(&deployment)),
    ];
    let mut text = facts(&rows, paint);
    for stage in &deployment.stages {
        text.push_str(&(stage_line(stage, paint) + "\n"));
    }
    for line in &lines {
        text.push_str(&(log_line(line, paint) + "\n"));
    }
    crate::ui::data(&text)?;
    if deployment.failure.is_some() {
        // Shown like the failure that it was; having shown it is a success.
        card::failure(&deployment, shell.ui.err_paint()).print(shell.ui);
    }
    Ok(())
}

/// What a preset wrote, as it is.
async fn containerfile(shell: &Shell, client: &Client, number: Option<i64>) -> Result<()> {
    let deployment = find(shell, client, number).await?;
    let Some(recipe) = deployment.recipe else {
        let message = format!("deployment {} was not built by a preset", deployment.number);
        return Err(Failure::new(Exit::NotFound, "no_preset", message)
            .hint("its Containerfile is the source's own, or its build has not begun"));
    };
    if shell.ui.json { crate::ui::json(&recipe) } else { crate::ui::data(&sanitize(&recipe.containerfile)) }
}

#[derive(Deserialize)]
struct Log {
    lines: Vec<LogLine>,
    #[serde(default)]
    next: Option<i64>,
}

async fn read_log(client: &Client, id: &str) -> Result<Vec<LogLine>> {
    let (mut lines, mut after) = (Vec::new(), 0);
    loop {
        let page: Log =
            client.get(&path_with(&["deployments", id, "log"], &[("after", &after.to_string())])).await?;
        let more = !page.lines.is_empty();
        lines.extend(page.lines);
        match page.next {
            Some(next) if more && next > after => after = next,
            _ => return Ok(lines),
        }
    }
}

pub(crate) async fn cancel(shell: &Shell, number: Option<i64>) -> Result<()> {
    let client = shell.client()?;
    let deployment = find(shell, &client, number).await?;
    let cancelled: Deployment =
        client.send(Method::POST, &path(&["deployments", &deployment.id, "cancel"]), &json!({})).await?;
    if shell.ui.json {
        return crate::ui::json(&cancelled);
    }
    shell.ui.done(&format!(
        "cancelled deployment {} of {}; what ran before stays",
        cancelled.number, cancelled.app.slug
    ));
    Ok(())
}
