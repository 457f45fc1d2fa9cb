//! Following a deployment to its end.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Shell;
use crate::api::sse::Event;
use crate::api::stream::{Events, Next};
use crate::api::types::{Deployment, LogLine};
use crate::api::{Client, path};
use crate::failure::{Exit, Failure, Result};
use crate::ui::live::Live;
use crate::ui::{card, time};

/// Follows `deployment` unless `detach`; says how it ended, and is an error when it failed.
pub(crate) async fn finish(
    shell: &Shell,
    client: &Client,
    deployment: Deployment,
    detach: bool,
) -> Result<()> {
    let ui = shell.ui;
    let paint = ui.err_paint();
    if detach {
        if ui.json {
            return crate::ui::json(&deployment);
        }
        ui.note(&format!(
            "  {} `wh deployments watch {}` follows it",
            paint.dim("goes on:"),
            deployment.number
        ));
        return if deployment.url.is_empty() { Ok(()) } else { crate::ui::data(&deployment.url) };
    }
    let ended = follow(shell, client, &deployment).await?;
    if ui.json {
        crate::ui::json(&ended)?;
    }
    if ended.state != "live" {
        return Err(card::failure(&ended, paint));
    }
    let took = ended.finished_at.map(|end| time::duration(time::between(ended.created_at, end)));
    let release = ended.release.map(|number| format!("release {number}"));
    let facts: Vec<String> = release.into_iter().chain(took).collect();
    ui.done(&format!(
        "{} is live {}",
        paint.bold(&ended.app.slug),
        paint.dim(&format!("({})", facts.join(", ")))
    ));
    if ui.json || ended.url.is_empty() { Ok(()) } else { crate::ui::data(&ended.url) }
}

async fn follow(shell: &Shell, client: &Client, deployment: &Deployment) -> Result<Deployment> {
    let mut live = Live::new(shell.ui);
    let mut events = Events::new(client, path(&["deployments", &deployment.id, "events"]), None);
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let mut latest = deployment.clone();
    live.deployment(&latest);
    loop {
        // The same future over many ticks: dropping it in between would lose what it has read.
        let next = events.next();
        tokio::pin!(next);
        let next = loop {
            tokio::select! {
                next = &mut next => break next?,
                _ = tick.tick() => live.tick(),
                _ = tokio::signal::ctrl_c() => return Err(interrupted(deployment)),
            }
        };
        match next {
            // The server may close without the last word when the end came while nobody was connected.
            Next::Lost if latest.is_final() => return Ok(latest),
            Next::Lost => live.lost(),
            Next::Event(event) => match event.name.as_str() {
                "deployment" => {
                    latest = read(&event)?;
                    live.deployment(&latest);
                }
                "log" => live.log(&read::<LogLine>(&event)?),
                "end" => {
                    latest = read(&event)?;
                    live.deployment(&latest);
                    return Ok(latest);
                }
                // A newer server may say more than this version understands.
                _ => {}
            },
        }
    }
}

pub(crate) fn read<T: DeserializeOwned>(event: &Event) -> Result<T> {
    serde_json::from_str(&event.data).map_err(|error| {
        let message = format!("the server's `{}` event is not understood: {error}", event.name);
        Failure::new(Exit::Error, "answer_unknown", message)
    })
}

fn interrupted(deployment: &Deployment) -> Box<Failure> {
    let number = deployment.number;
    Failure::new(Exit::Interrupted, "interrupted", format!("no longer watching; deployment {number} goes on"))
        .hint(format!("`wh cancel {number}` ends it, `wh deployments watch {number}` follows it"))
}
