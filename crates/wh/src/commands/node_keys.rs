//! A node's API key: another one, or none any more.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Shell;
use crate::api::path;
use crate::api::types::{Node, NodeKey};
use crate::failure::{Exit, Failure, Result};
use crate::ui::time::age;
use crate::ui::{prompt, sanitize};

const PAUSE: Duration = Duration::from_millis(500);
/// A host that is connected needs seconds.
const PATIENCE: Duration = Duration::from_mins(2);

/// Lines of `wh node show`.
pub(crate) fn rows(key: &NodeKey, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let told = [
        key.revoked_at.map(|at| format!("revoked {}", age(at, now))),
        key.rotation_asked_at.map(|at| format!("asked for another one {}", age(at, now))),
        key.changed_at.map(|at| format!("changed {}", age(at, now))),
    ];
    let told: Vec<String> = told.into_iter().flatten().collect();
    if told.is_empty() { Vec::new() } else { vec![("API key", told.join(", "))] }
}

/// `wh node rotate-key`.
pub(crate) async fn rotate(shell: &Shell, name: &str, detach: bool) -> Result<()> {
    let client = shell.client()?;
    let url = path(&["nodes", name]);
    let mut node: Node = client.send(Method::POST, &path(&["nodes", name, "rotate-key"]), &json!({})).await?;
    let deadline = Instant::now() + PATIENCE;
    while node.key.rotation_asked_at.is_some() && !detach {
        if Instant::now() >= deadline {
            return Err(Failure::new(
                Exit::Timeout,
                "not_rotated",
                format!("{} has not changed its key yet; the old one is still good", sanitize(&node.name)),
            )
            .hint(format!(
                "It goes on as soon as its mesh agent is connected: `wh node show {}`",
                node.name
            )));
        }
        sleep(PAUSE).await;
        node = client.get(&url).await?;
    }
    if shell.ui.json {
        return crate::ui::json(&node);
    }
    if node.key.rotation_asked_at.is_some() {
        shell.ui.note(&format!("asked {}; `wh node show {}` tells when it is done", node.name, node.name));
    } else {
        shell.ui.done(&format!(
            "{} signs in with another key; the one before ends within 10 minutes",
            sanitize(&node.name)
        ));
    }
    Ok(())
}

/// `wh node revoke`. Asks for the name once more unless `--confirm` says it.
pub(crate) async fn revoke(shell: &Shell, name: &str, confirm: Option<String>) -> Result<()> {
    let client = shell.client()?;
    let confirm = match confirm {
        Some(confirm) => confirm,
        None if prompt::possible() => {
            prompt::line(&format!("Type {name} to refuse its keys; it can only come back by joining anew: "))?
        }
        None => {
            return Err(Failure::usage("revoking a node needs its name twice")
                .hint(format!("`wh node revoke {name} --confirm {name}`")));
        }
    };
    if confirm != name {
        return Err(Failure::usage(format!("this is not {name}: nothing was revoked")));
    }
    let url = path(&["nodes", name, "revoke"]);
    let node: Node = client.send(Method::POST, &url, &json!({ "confirm": confirm })).await?;
    if shell.ui.json {
        return crate::ui::json(&node);
    }
    shell.ui.done(&format!(
        "{} is shut out: its keys are refused, its tunnels are dropped",
        sanitize(&node.name)
    ));
    if node.instances > 0 {
        shell.ui.warn(&format!(
            "{} instances should still run there; `wh node drain {}` places them elsewhere",
            node.instances, node.name
        ));
    }
    Ok(())
}
