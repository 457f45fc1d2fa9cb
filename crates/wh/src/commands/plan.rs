//! What waits to be deployed, and deploying it.

use reqwest::Method;
use serde_json::json;

use super::{Shell, watch};
use crate::api::types::{Deployment, Pending};
use crate::failure::Result;
use crate::ui::changes;

pub(crate) async fn plan(shell: &Shell) -> Result<()> {
    let pending: Pending = shell.client()?.get(&shell.app_path(&["pending"])?).await?;
    if shell.ui.json {
        return crate::ui::json(&pending);
    }
    if pending.changes.is_empty() {
        shell.ui.note(&nothing(&pending));
        return Ok(());
    }
    crate::ui::data(&changes::render(&pending.changes, shell.ui.out_paint()))?;
    shell.ui.note(&outcome(&pending));
    Ok(())
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
    let pending: Pending = client.get(&shell.app_path(&["pending"])?).await?;
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
    let body = message.map_or(json!({}), |message| json!({ "message": message }));
    let deployment: Deployment = client.send(Method::POST, &shell.app_path(&["apply"])?, &body).await?;
    let paint = shell.ui.err_paint();
    shell.ui.note(&format!("{} deployment {}", paint.bold(&deployment.app.slug), deployment.number));
    watch::finish(shell, &client, deployment, detach).await
}
