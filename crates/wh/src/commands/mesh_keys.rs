//! Keys of the nodes' tunnels: others in the place of those in use.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Shell;
use crate::api::path;
use crate::api::types::{Mesh, MeshNode, MeshRotationsAsked};
use crate::failure::{Exit, Failure, Result};
use crate::ui::sanitize;

const PAUSE: Duration = Duration::from_millis(500);
/// Without anybody changing. A node that is there needs seconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// `wh mesh rotate`.
pub(crate) async fn rotate(shell: &Shell, nodes: &[String], all: bool, detach: bool) -> Result<()> {
    let client = shell.client()?;
    let asked: MeshRotationsAsked =
        client.send(Method::POST, "/mesh/rotations", &json!({ "nodes": nodes, "all": all })).await?;
    if detach {
        if shell.ui.json {
            return crate::ui::json(&asked);
        }
        shell.ui.note(&format!("asked {}; `wh mesh` tells how far each is", count(asked.nodes.len())));
        return Ok(());
    }
    let mut left: BTreeSet<String> = asked.nodes.iter().cloned().collect();
    let mut deadline = Instant::now() + PATIENCE;
    loop {
        let mesh: Mesh = client.get("/mesh").await?;
        let waiting: Vec<&MeshNode> =
            mesh.nodes.iter().filter(|node| left.contains(&node.name) && node.rotation.is_some()).collect();
        let now: BTreeSet<String> = waiting.iter().map(|node| node.name.clone()).collect();
        for name in left.difference(&now) {
            deadline = Instant::now() + PATIENCE;
            if !shell.ui.json {
                shell.ui.done(&format!("the tunnel of {} uses another key", sanitize(name)));
            }
        }
        if now.is_empty() {
            break;
        }
        if Instant::now() >= deadline {
            return Err(stuck(&waiting));
        }
        left = now;
        sleep(PAUSE).await;
    }
    if shell.ui.json { crate::ui::json(&asked) } else { Ok(()) }
}

fn stuck(waiting: &[&MeshNode]) -> Box<Failure> {
    let why = waiting.iter().map(|node| {
        let who = node.rotation.as_ref().map(|rotation| rotation.waits_for.join(", ")).unwrap_or_default();
        let who = if who.is_empty() { "another node".to_owned() } else { who };
        sanitize(&format!("{} waits for {who}", node.name))
    });
    let why: Vec<String> = why.collect();
    Failure::new(Exit::Timeout, "not_rotated", format!("keys are not changed yet: {}", why.join("; "))).hint(
        "The old keys are still in use. It goes on when the mesh agents there are connected; `wh mesh rotate NODE --cancel` leaves a key as it is",
    )
}

/// `wh mesh rotate --cancel`.
pub(crate) async fn cancel(shell: &Shell, nodes: &[String]) -> Result<()> {
    let client = shell.client()?;
    for name in nodes {
        client.delete(&path(&["mesh", "rotations", name])).await?;
        shell.ui.done(&format!("{} keeps its key", sanitize(name)));
    }
    Ok(())
}

fn count(nodes: usize) -> String {
    if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") }
}
