//! What an app says.

use chrono::{DateTime, Local, Utc};

use super::{Shell, short, watch};
use crate::api::stream::{Events, Next};
use crate::api::types::{AppLine, AppLines, Instance};
use crate::api::{Client, path, path_with};
use crate::args::Logs;
use crate::failure::{Exit, Failure, Result};
use crate::ui::{Ui, sanitize};

pub(crate) async fn run(shell: &Shell, logs: Logs) -> Result<()> {
    let (client, app) = (shell.client()?, shell.app()?);
    let instance = match &logs.instance {
        Some(part) => Some(instance_id(&client, &app, part).await?),
        None => None,
    };
    let release = logs.release.map(|number| number.to_string());
    let filter = [("instance", instance), ("release", release), ("text", logs.grep)];
    let filter: Vec<(&str, &str)> =
        filter.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
    if logs.follow {
        return follow(shell, &client, &app, &filter, logs.tail).await;
    }
    let tail = logs.tail.to_string();
    let query = [&[("tail", tail.as_str()), ("limit", tail.as_str())], filter.as_slice()].concat();
    let answer: AppLines = client.get(&path_with(&["apps", &app, "logs"], &query)).await?;
    let skip = answer.lines.len().saturating_sub(logs.tail as usize);
    if shell.ui.json {
        return crate::ui::json(&&answer.lines[skip..]);
    }
    if answer.lines.is_empty() {
        shell.ui.note("no lines yet");
    }
    let text: String = answer.lines[skip..].iter().map(|line| show(shell.ui, line) + "\n").collect();
    if text.is_empty() { Ok(()) } else { crate::ui::data(&text) }
}

/// New lines as they come, until the reader stops; each once, also over lost connections.
async fn follow(shell: &Shell, client: &Client, app: &str, filter: &[(&str, &str)], tail: u32) -> Result<()> {
    let address = path_with(&["apps", app, "logs"], filter);
    let mut events = Events::new(client, address, Some(("tail", tail.to_string())));
    let mut lost = false;
    loop {
        match events.next().await? {
            Next::Lost if !lost => {
                lost = true;
                shell.ui.note(&shell.ui.err_paint().dim("connection lost, reconnecting"));
            }
            Next::Lost => {}
            Next::Event(event) => {
                lost = false;
                if event.name == "line" {
                    let line: AppLine = watch::read(&event)?;
                    crate::ui::data(&if shell.ui.json { event.data } else { show(shell.ui, &line) })?;
                }
            }
        }
    }
}

/// The full id for one that was typed: whole, or the end that `wh ps` shows.
pub(super) async fn instance_id(client: &Client, app: &str, part: &str) -> Result<String> {
    let instances: Vec<Instance> = client.list(&path(&["apps", app, "instances"])).await?;
    let mut matching = instances.into_iter().map(|instance| instance.id).filter(|id| id.ends_with(part));
    match (matching.next(), matching.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => Err(Failure::usage(format!("more than one instance's id ends in {part}"))),
        // Perhaps one that is gone and whose lines are still there.
        (None, _) if part.len() == 36 => Ok(part.to_owned()),
        (None, _) => {
            Err(Failure::new(Exit::NotFound, "instance_unknown", format!("{app} has no instance {part}"))
                .hint("`wh ps` lists them"))
        }
    }
}

fn show(ui: Ui, line: &AppLine) -> String {
    let paint = ui.out_paint();
    let instance = short(&line.instance_id);
    let instance = if line.stream == "stderr" { paint.yellow(instance) } else { paint.cyan(instance) };
    format!("{} {instance} {}", paint.dim(&clock(line.at)), sanitize(&line.text).replace('\n', " "))
}

/// The reader's own time of day; the date too when it is not today's.
fn clock(at: Option<DateTime<Utc>>) -> String {
    let Some(at) = at.map(|at| at.with_timezone(&Local)) else { return "--:--:--".to_owned() };
    let format = if at.date_naive() == Local::now().date_naive() { "%H:%M:%S" } else { "%m-%d %H:%M:%S" };
    at.format(format).to_string()
}
