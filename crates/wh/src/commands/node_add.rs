//! A new host comes in: the line to run on it, and the way from there until it is online.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Shell, nodes, short, usage};
use crate::api::types::{Capability, NewNodeToken, Node, NodeToken, RegisteredNode};
use crate::api::{Client, path};
use crate::args::{AddNode, NodeKind, RegisterNode};
use crate::failure::{Exit, Failure, Result};
use crate::ui::sanitize;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// `wh node add`.
pub(crate) async fn add(shell: &Shell, add: &AddNode) -> Result<()> {
    let client = shell.client()?;
    let mut body = kind(&add.kind)?;
    body["name"] = json!(add.name);
    body["expires_in_s"] = json!(add.expires.as_secs());
    let token: NewNodeToken = client.send(Method::POST, "/node-tokens", &body).await?;
    print(shell, &token)?;
    if add.no_wait {
        return Ok(());
    }
    let waiting = "waiting for the node; Ctrl-C leaves the token as it is";
    shell.ui.note(&shell.ui.err_paint().dim(waiting));
    let mut watch = Watch { shell, client: &client, token: &token, told: Vec::new() };
    tokio::select! {
        joined = watch.follow(add.wait) => finish(shell, &joined?),
        _ = tokio::signal::ctrl_c() => Err(interrupted(&token)),
    }
}

fn kind(kind: &NodeKind) -> Result<Value> {
    let roles = if kind.roles.is_empty() { vec!["worker".to_owned()] } else { kind.roles.clone() };
    let labels: BTreeMap<&str, &str> = kind
        .labels
        .iter()
        .map(|text| match nodes::change(text)? {
            (key, Some(value)) => Ok((key, value)),
            (_, None) => {
                Err(Failure::usage(format!("`{text}` is no label")).hint("KEY=VALUE, or KEY= without one"))
            }
        })
        .collect::<Result<_>>()?;
    Ok(json!({ "roles": roles, "labels": labels, "zone": kind.zone }))
}

/// The line alone is data, so that it can be piped to a host.
fn print(shell: &Shell, token: &NewNodeToken) -> Result<()> {
    if shell.ui.json {
        return told_json("token", &json!(token));
    }
    let paint = shell.ui.err_paint();
    let until = until(token.expires_at);
    shell.ui.done(&format!(
        "made a token for one {} {}",
        token.roles.join(" and "),
        paint.dim(&format!("(works once, until {until})"))
    ));
    shell
        .ui
        .note(&format!("  {}", paint.dim("shown only now; run on the new host, which has wisehosting-mesh")));
    crate::ui::data(&sanitize(&token.command))?;
    if !token.nixos.is_empty() {
        shell.ui.note(&format!(
            "  {}",
            paint.dim("a host with NixOS is set up with this module, then joins by the same line")
        ));
        for line in token.nixos.lines() {
            shell.ui.note(&format!("  {}", sanitize(line)));
        }
    }
    Ok(())
}

fn until(at: Option<DateTime<Utc>>) -> String {
    at.map(|end| end.format("%Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default()
}

fn told_json(event: &str, value: &Value) -> Result<()> {
    crate::ui::data(&crate::ui::json_line(&json!({ "event": event, event: value }))?)
}

/// Looks again and again, and tells each step once.
struct Watch<'a> {
    shell: &'a Shell,
    client: &'a Client,
    token: &'a NewNodeToken,
    told: Vec<String>,
}

impl Watch<'_> {
    async fn follow(&mut self, limit: Duration) -> Result<Node> {
        let deadline = Instant::now() + limit;
        loop {
            let known = match self.look().await {
                Ok((token, node)) => {
                    self.tell(&steps(&token, node.as_ref()))?;
                    if let Some(node) = node.as_ref().filter(|node| is_in(node)) {
                        return Ok(node.clone());
                    }
                    if token.used_at.is_none() && token.expires_at.is_some_and(|end| end < Utc::now()) {
                        return Err(Failure::new(
                            Exit::Timeout,
                            "token_expired",
                            "the token has expired and no host has joined",
                        )
                        .hint("`wh node add` makes another one; `--expires` gives it longer"));
                    }
                    node
                }
                // The control plane may be restarted meanwhile.
                Err(failure) if failure.is_lost() => {
                    self.tell(&["connection lost, trying again".to_owned()])?;
                    None
                }
                Err(failure) => return Err(failure),
            };
            if Instant::now() >= deadline {
                return Err(too_late(self.token, known.as_ref()));
            }
            sleep(PAUSE).await;
        }
    }

    /// The token, and the node that came by it.
    async fn look(&self) -> Result<(NodeToken, Option<Node>)> {
        let token: NodeToken = match self.client.get(&path(&["node-tokens", &self.token.id])).await {
            Err(failure) if failure.exit == Exit::NotFound => {
                return Err(Failure::new(
                    Exit::Conflict,
                    "token_revoked",
                    "the token was withdrawn meanwhile",
                )
                .hint("`wh node add` makes another one"));
            }
            answer => answer?,
        };
        let Some(name) = token.used_by.as_ref().and_then(Value::as_str) else { return Ok((token, None)) };
        match self.client.get(&path(&["nodes", name])).await {
            Ok(node) => Ok((token, Some(node))),
            // Removed again.
            Err(failure) if failure.exit == Exit::NotFound => Ok((token, None)),
            Err(failure) => Err(failure),
        }
    }

    fn tell(&mut self, steps: &[String]) -> Result<()> {
        for step in steps {
            if self.told.contains(step) {
                continue;
            }
            if self.shell.ui.json {
                told_json("step", &json!(step))?;
            } else {
                self.shell.ui.done(&sanitize(step));
            }
            self.told.push(step.clone());
        }
        Ok(())
    }
}

/// How far it is, in the order in which it comes.
fn steps(token: &NodeToken, node: Option<&Node>) -> Vec<String> {
    let mut steps = Vec::new();
    if let (Some(refusal), Some(at)) = (&token.refusal, token.refused_at) {
        steps.push(format!("a host was refused at {}: {refusal}", at.format("%H:%M:%S")));
    }
    let Some(node) = node else { return steps };
    let name = &node.name;
    steps.push(format!("the token was used by {name}"));
    for kind in wanted(node) {
        if node.agents.iter().any(|agent| agent.kind == kind && agent.connected) {
            steps.push(match kind {
                "mesh" => format!("{name} is in the mesh at {}", node.mesh_address.as_deref().unwrap_or("?")),
                kind => format!("its {kind} agent is connected"),
            });
        }
    }
    steps
}

/// The agents that its roles run.
fn wanted(node: &Node) -> Vec<&'static str> {
    let has = |role: &str| node.roles.iter().any(|known| known == role);
    let roles = [("worker", has("worker")), ("proxy", has("proxy"))];
    let of_roles = roles.into_iter().filter(|(_, has)| *has).map(|(kind, _)| kind);
    std::iter::once("mesh").chain(of_roles).collect()
}

fn is_in(node: &Node) -> bool {
    let connected = |kind: &&str| node.agents.iter().any(|agent| agent.kind == *kind && agent.connected);
    node.status == "online" && wanted(node).iter().all(connected)
}

fn too_late(token: &NewNodeToken, node: Option<&Node>) -> Box<Failure> {
    let Some(node) = node else {
        let message =
            format!("no host has joined yet; the token stays valid until {}", until(token.expires_at));
        return Failure::new(Exit::Timeout, "no_node", message)
            .hint("The line above can still be run; on the host `wisehosting-mesh join` says why it fails");
    };
    let missing: Vec<&str> = wanted(node)
        .into_iter()
        .filter(|kind| !node.agents.iter().any(|agent| agent.kind == *kind && agent.connected))
        .collect();
    let name = &node.name;
    Failure::new(
        Exit::Timeout,
        "node_incomplete",
        format!("{name} has joined, and is {}; not connected: {}", node.status, missing.join(", ")),
    )
    .hint(format!(
        "On the host `journalctl -u 'wisehosting-*'` tells why; `wh node show {name}` tells what is there"
    ))
}

fn interrupted(token: &NewNodeToken) -> Box<Failure> {
    let message = format!("no longer waiting; the token stays valid until {}", until(token.expires_at));
    Failure::new(Exit::Interrupted, "interrupted", message).hint(format!(
        "`wh node ls` shows whether the node has come, `wh node token revoke {}` makes the token useless",
        short(&token.id)
    ))
}

fn finish(shell: &Shell, node: &Node) -> Result<()> {
    if shell.ui.json {
        return told_json("node", &json!(node));
    }
    shell.ui.done(&format!("{} is online", shell.ui.err_paint().bold(&sanitize(&node.name))));
    let enforced = node.host.as_ref().and_then(|host| host.enforced.as_ref());
    let limits = enforced.map(usage::enforced).unwrap_or_default();
    for (name, value) in capability_rows(&node.capabilities).into_iter().chain(limits) {
        shell.ui.note(&format!("  {} {value}", shell.ui.err_paint().dim(name)));
    }
    for warning in &node.warnings {
        shell.ui.warn(&sanitize(warning));
    }
    Ok(())
}

/// What the host can do on one line, then what it lacks, each with the remedy.
pub(crate) fn capability_rows(all: &[Capability]) -> Vec<(&'static str, String)> {
    let (good, off): (Vec<_>, Vec<_>) = all.iter().partition(|one| one.problem.is_none());
    let mut rows = Vec::new();
    if !good.is_empty() {
        let labels: Vec<&str> = good.iter().map(|one| one.label.as_str()).collect();
        rows.push(("has", sanitize(&labels.join(" · "))));
    }
    rows.extend(off.iter().map(|one| {
        let [problem, hint] = [&one.problem, &one.hint].map(|text| text.as_deref().unwrap_or_default());
        let name = if one.state == "missing" { "lacks" } else { "limited" };
        (name, sanitize(&format!("{}: {problem}. {hint}", one.label)))
    }));
    rows
}

/// `wh node register`.
pub(crate) async fn register(shell: &Shell, register: &RegisterNode) -> Result<()> {
    let mut body = kind(&register.kind)?;
    body["name"] = json!(register.name);
    body["public_key"] = json!(register.public_key);
    body["endpoint"] = json!(register.endpoint);
    let made: RegisteredNode = shell.client()?.send(Method::POST, "/nodes", &body).await?;
    if shell.ui.json {
        return crate::ui::json(&made);
    }
    let address = made.node.mesh_address.as_deref().unwrap_or_default();
    shell.ui.done(&format!("entered {}, mesh address {address}", sanitize(&made.node.name)));
    let dim = shell.ui.err_paint().dim("its identity and API key, shown only now; run on the host");
    shell.ui.note(&format!("  {dim}"));
    crate::ui::data(&sanitize(&made.command))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(value: Value) -> NodeToken {
        let mut token = json!({ "id": "1", "roles": ["worker"] });
        token.as_object_mut().expect("object").extend(value.as_object().expect("object").clone());
        serde_json::from_value(token).expect("a token")
    }

    fn node(roles: &[&str], connected: &[&str], status: &str) -> Node {
        let agents: Vec<Value> =
            connected.iter().map(|kind| json!({ "kind": kind, "connected": true })).collect();
        serde_json::from_value(json!({
            "name": "w2", "roles": roles, "agents": agents, "status": status, "mesh_address": "10.50.0.12",
        }))
        .expect("a node")
    }

    #[test]
    fn each_step_is_told_once_it_is_seen_and_not_before() {
        assert!(steps(&token(json!({})), None).is_empty());
        let refused = json!({ "refusal": "wrong name", "refused_at": "2026-01-01T10:11:12Z" });
        assert_eq!(steps(&token(refused), None), ["a host was refused at 10:11:12: wrong name"]);
        let used = token(json!({ "used_by": "w2" }));
        let seen = |connected: &[&str]| steps(&used, Some(&node(&["worker"], connected, "joining")));
        assert_eq!(seen(&[]), ["the token was used by w2"]);
        assert_eq!(seen(&["mesh"])[1..], ["w2 is in the mesh at 10.50.0.12"]);
        assert_eq!(seen(&["mesh", "worker"])[2..], ["its worker agent is connected"]);
    }

    #[test]
    fn a_node_is_in_when_it_is_online_with_all_that_its_roles_run() {
        let both = ["worker", "proxy"];
        for (roles, connected, status, wanted) in [
            (&both[..1], &["mesh", "worker"][..], "online", true),
            (&both[..1], &["mesh", "worker"], "joining", false),
            (&both[..1], &["mesh"], "online", false),
            (&both, &["mesh", "worker"], "online", false),
            (&both, &["mesh", "worker", "proxy"], "online", true),
        ] {
            assert_eq!(is_in(&node(roles, connected, status)), wanted, "{roles:?} {connected:?} {status}");
        }
    }
}
