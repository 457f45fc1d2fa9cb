//! What waits to be deployed, and deploying it.

use reqwest::Method;
use serde::Serialize;
use serde_json::json;

use super::local::{self, Local};
use super::way::Missing;
use super::{Shell, watch};
use crate::api::types::{Change, Deployment, Pending};
use crate::api::{Client, path};
use crate::failure::{Exit, Failure, Result};
use crate::ui::{changes, preview, sanitize};

/// What waits on the server, and what the project file says besides.
#[derive(Serialize)]
struct Plan<'a> {
    #[serde(flatten)]
    pending: &'a Pending,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    local: Vec<Change>,
    /// By which the file's domains are still to show whose they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    records: Vec<Missing>,
}

pub(crate) async fn plan(shell: &Shell) -> Result<()> {
    let client = shell.client()?;
    let pending: Pending = client.get(&shell.app_path(&["pending"])?).await?;
    let local = local::read(shell, &client).await?;
    if shell.ui.json {
        let (local, records) = (local.all(), local.way.missing());
        return crate::ui::json(&Plan { pending: &pending, local, records });
    }
    if pending.changes.is_empty() && local.is_empty() {
        shell.ui.note(&nothing(&pending));
        local.way.tell(shell);
        return Ok(());
    }
    let paint = shell.ui.out_paint();
    crate::ui::data(&(changes::render(&pending.changes, paint) + &local.render(paint)))?;
    if !pending.changes.is_empty() {
        shell.ui.note(&outcome(&pending));
        foretell(shell, &pending);
    }
    if let Some(text) = takes_over(&pending, &local) {
        shell.ui.note(text);
    }
    if !local.way.is_empty() {
        shell.ui.note("`wh apply` brings its domains and routes into force at once, without a deployment");
    }
    local.way.tell(shell);
    Ok(())
}

/// What will happen, step by step.
fn foretell(shell: &Shell, pending: &Pending) {
    if let Some(preview) = &pending.preview {
        preview::render(preview, shell.ui.err_paint()).lines().for_each(|line| shell.ui.note(line));
    }
}

/// One change without its mark.
pub(super) fn arrow(change: &Change) -> String {
    let side = |text: &Option<String>| text.as_deref().map_or("–".to_owned(), sanitize).replace('\n', " ");
    format!("{} {} → {}", sanitize(&change.label), side(&change.before), side(&change.after))
}

/// Who takes over what the project file says.
fn takes_over(pending: &Pending, local: &Local) -> Option<&'static str> {
    match (local.is_sendable(), local.needs_build(), pending.release) {
        (false, false, _) => None,
        (_, _, None) => Some("the first `wh deploy` takes over what wisehosting.toml says"),
        (true, false, _) => Some("`wh apply` takes over what wisehosting.toml says"),
        (true, true, _) => {
            Some("`wh apply` takes over what wisehosting.toml says and needs no build, `wh deploy` all")
        }
        (false, true, _) => Some("`wh deploy` takes over what wisehosting.toml says"),
    }
}

fn nothing(pending: &Pending) -> String {
    match pending.release {
        Some(number) => {
            format!("nothing waits: release {number} has the app's present settings and variables")
        }
        None => "nothing is deployed yet: `wh deploy` makes the first release".to_owned(),
    }
}

/// What it takes, and what to do.
fn outcome(pending: &Pending) -> String {
    let builds = pending.changes.iter().filter(|change| change.impact == "build").count();
    let rest = if builds == 0 { "" } else { "; `wh deploy` builds the rest" };
    match (pending.deployment, pending.release) {
        (Some(number), _) => format!("deployment {number} is under way: the changes can be applied after it"),
        (None, Some(release)) if pending.applicable => format!(
            "new containers of release {release}'s image, no build; the old ones serve until the new ones are \
             healthy\n`wh apply` deploys it{rest}"
        ),
        _ => "takes a new image: `wh deploy` builds it".to_owned(),
    }
}

pub(crate) async fn apply(shell: &Shell, message: Option<String>, detach: bool) -> Result<()> {
    let client = shell.client()?;
    let mut pending: Pending = client.get(&shell.app_path(&["pending"])?).await?;
    let mut local = local::read(shell, &client).await?;
    local.way.send(shell, &client).await?;
    local.way.tell(shell);
    if local.is_sendable() && pending.release.is_some() {
        send(shell, &client, &pending, &local).await?;
        pending = client.get(&shell.app_path(&["pending"])?).await?;
    }
    if local.needs_build() {
        shell.ui.note("what wisehosting.toml says about the build waits for `wh deploy`");
    }
    // To apply nothing is no error: a script may apply after every change.
    if pending.changes.is_empty() && pending.release.is_some() {
        if shell.ui.json {
            return crate::ui::json(&pending);
        }
        shell.ui.note(&nothing(&pending));
        return Ok(());
    }
    for line in changes::render(&pending.changes, shell.ui.err_paint()).lines() {
        shell.ui.note(line);
    }
    foretell(shell, &pending);
    bring(shell, &client, &shell.app()?, message, detach).await
}

/// The project file's settings become the app's. Not while a deployment is under way: they could not be applied.
async fn send(shell: &Shell, client: &Client, pending: &Pending, local: &Local) -> Result<()> {
    if let Some(number) = pending.deployment {
        let message = format!("deployment {number} is under way: what wisehosting.toml says was not sent");
        return Err(Failure::new(Exit::Conflict, "deployment_running", message)
            .hint(format!("`wh deployments watch {number}` follows it; apply after it")));
    }
    for line in local.render(shell.ui.err_paint()).lines() {
        shell.ui.note(line);
    }
    local.send(client).await
}

/// Deploys what waits of `app`, and follows that.
pub(super) async fn bring(
    shell: &Shell,
    client: &Client,
    app: &str,
    message: Option<String>,
    detach: bool,
) -> Result<()> {
    let body = message.map_or(json!({}), |message| json!({ "message": message }));
    let deployment: Deployment = client.send(Method::POST, &path(&["apps", app, "apply"]), &body).await?;
    let paint = shell.ui.err_paint();
    shell.ui.note(&format!("{} deployment {}", paint.bold(&deployment.app.slug), deployment.number));
    watch::finish(shell, client, deployment, detach).await
}
