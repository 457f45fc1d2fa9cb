//! Stop, start, restart and scale.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Shell, logs, short, watch};
use crate::api::types::{AppChanged, Preview};
use crate::api::{Client, path_with};
use crate::failure::Result;
use crate::ui::preview;

pub(crate) async fn stop(shell: &Shell) -> Result<()> {
    let what = "stopped; `wh start` starts it again, until then its address answers 503";
    change(shell, "stop", json!({}), what, false).await
}

pub(crate) async fn start(shell: &Shell, detach: bool) -> Result<()> {
    let what = "not stopped; `wh restart` replaces its instances";
    change(shell, "start", json!({}), what, detach).await
}

/// All instances, or the one whose id ends in `instance`.
pub(crate) async fn restart(shell: &Shell, instance: Option<String>, detach: bool) -> Result<()> {
    let Some(part) = instance else {
        return change(shell, "restart", json!({}), "restarted", detach).await;
    };
    let client = shell.client()?;
    let id = logs::instance_id(&client, &shell.app()?, &part).await?;
    let path = shell.app_path(&["instances", &id, "restart"])?;
    let changed: AppChanged = client.send(Method::POST, &path, &json!({})).await?;
    let verb = format!("restart of instance {}", short(&id));
    finish(shell, &client, changed, &verb, "restarted", detach).await
}

pub(crate) async fn scale(shell: &Shell, replicas: u16, message: Option<String>, detach: bool) -> Result<()> {
    let what = format!("set to {replicas} instances");
    let mut body = json!({ "replicas": replicas });
    if let Some(message) = message {
        body["message"] = json!(message);
    }
    change(shell, "scale", body, &what, detach).await
}

/// What scaling would do.
pub(crate) async fn plan_scale(shell: &Shell, replicas: u16) -> Result<()> {
    let path =
        path_with(&["apps", &shell.app()?, "scale", "preview"], &[("replicas", &replicas.to_string())]);
    let preview: Preview = shell.client()?.get(&path).await?;
    if shell.ui.json {
        return crate::ui::json(&preview);
    }
    crate::ui::data(&preview::render(&preview, shell.ui.out_paint()))
}

/// Asks for `verb`.
async fn change(shell: &Shell, verb: &str, body: Value, otherwise: &str, detach: bool) -> Result<()> {
    let client = shell.client()?;
    let changed: AppChanged = client.send(Method::POST, &shell.app_path(&[verb])?, &body).await?;
    finish(shell, &client, changed, verb, otherwise, detach).await
}

/// Follows the deployment of a change called `verb`; without one says `otherwise`.
pub(super) async fn finish(
    shell: &Shell,
    client: &Client,
    changed: AppChanged,
    verb: &str,
    otherwise: &str,
    detach: bool,
) -> Result<()> {
    let paint = shell.ui.err_paint();
    let Some(deployment) = changed.deployment else {
        if shell.ui.json {
            return crate::ui::json(&changed);
        }
        shell.ui.done(&format!("{} is {otherwise}", paint.bold(&changed.app.slug)));
        return Ok(());
    };
    shell.ui.note(&format!(
        "{} deployment {} · {}",
        paint.bold(&deployment.app.slug),
        deployment.number,
        paint.dim(verb)
    ));
    watch::finish(shell, client, deployment, detach).await
}
