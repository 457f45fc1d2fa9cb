//! Hosts, and the tokens by which new ones join.

use std::collections::BTreeMap;

use chrono::Utc;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Shell, healing, moves, node_add, node_health, node_keys, node_log, node_numbers, node_room, node_storage,
    short, usage,
};
use crate::api::path;
use crate::api::types::{Agent, NewNodeToken, Node, NodeImages, NodeNow, NodeToken, OperatingSystem, Space};
use crate::args::{NodeCommand, NodeTokenCommand};
use crate::failure::{Failure, Result};
use crate::ui::os;
use crate::ui::sanitize;
use crate::ui::table::{Cell, Table, facts};
use crate::ui::time::{age_of, ms, size};

pub(crate) async fn run(shell: &Shell, command: NodeCommand) -> Result<()> {
    match command {
        NodeCommand::Ls => ls(shell).await,
        NodeCommand::Add(add) => node_add::add(shell, &add).await,
        NodeCommand::Register(register) => node_add::register(shell, &register).await,
        NodeCommand::RotateKey { name, detach } => node_keys::rotate(shell, &name, detach).await,
        NodeCommand::Revoke { name, confirm } => node_keys::revoke(shell, &name, confirm).await,
        NodeCommand::Show { name } => show(shell, &name).await,
        NodeCommand::Check { name } => node_health::check(shell, &name).await,
        NodeCommand::History { name } => node_health::history(shell, &name).await,
        NodeCommand::Corrections { name } => healing::corrections(shell, &name).await,
        NodeCommand::Strays { name } => healing::strays(shell, &name).await,
        NodeCommand::Stats { name, range } => node_numbers::stats(shell, &name, range).await,
        NodeCommand::Ps { name } => node_storage::instances(shell, &name).await,
        NodeCommand::Storage { name } => node_storage::storage(shell, &name).await,
        NodeCommand::Logs { name, logs } => node_log::run(shell, &name, &logs).await,
        NodeCommand::Gc { name, history: true, .. } => node_storage::history(shell, &name).await,
        NodeCommand::Gc { name, dry_run, yes, .. } => node_storage::gc(shell, &name, dry_run, yes).await,
        NodeCommand::Label { name, changes } => label(shell, &name, &changes).await,
        NodeCommand::Capacity => node_room::list(shell).await,
        NodeCommand::Cordon { name } => node_room::cordon(shell, &name, true).await,
        NodeCommand::Uncordon { name } => node_room::cordon(shell, &name, false).await,
        NodeCommand::Drain { name, plan, detach } => moves::drain(shell, &name, plan, detach).await,
        NodeCommand::Settings { name, settings } => node_room::settings(shell, &name, &settings).await,
        NodeCommand::Rm { name } => {
            shell.client()?.delete(&path(&["nodes", &name])).await?;
            shell.ui.done(&format!("forgot node {name}"));
            Ok(())
        }
        NodeCommand::Token(command) => token(shell, command).await,
    }
}

async fn ls(shell: &Shell) -> Result<()> {
    let nodes: Vec<Node> = shell.client()?.list("/nodes").await?;
    if shell.ui.json {
        return crate::ui::json(&nodes);
    }
    if nodes.is_empty() {
        shell.ui.note("no nodes yet: `wh node add` prints the line by which one joins");
        return Ok(());
    }
    let mut table = Table::new(&[
        "NODE",
        "ROLES",
        "STATUS",
        "SINCE",
        "CHECKS",
        "MESH",
        "RTT",
        "INSTANCES",
        "CPU",
        "MEMORY",
        "DISK",
        "AGENTS",
        "SEEN",
        "SYSTEM",
    ]);
    for node in &nodes {
        let numbers = node.numbers.as_ref();
        let connected = node.agents.iter().filter(|agent| agent.connected).count();
        table.row(vec![
            Cell::name(&node.name),
            Cell::plain(node.roles.join(", ")),
            Cell::status(status(node)),
            Cell::dim(age_of(node.status_since)),
            Cell::plain(node_health::brief(&node.health, Utc::now())),
            Cell::plain(node.mesh_address.as_deref().unwrap_or_default()),
            Cell::plain(node.rtt_ms.map(ms).unwrap_or_default()),
            Cell::plain(node.instances.to_string()),
            Cell::plain(numbers.map(|now| format!("{:.0}%", now.cpu_percent)).unwrap_or_default()),
            Cell::plain(numbers.map(|now| node_numbers::share(now.memory)).unwrap_or_default()),
            Cell::plain(numbers.map(disk).unwrap_or_default()),
            Cell::plain(format!("{connected}/{}", node.agents.len())),
            Cell::dim(age_of(node.last_seen_at)),
            Cell::plain(system(node).map(|os| os::brief(os, Utc::now())).unwrap_or_default()),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

/// With a mark where it takes nothing new.
fn status(node: &Node) -> String {
    let cordoned = if node.cordoned_at.is_some() { ", cordoned" } else { "" };
    format!("{}{cordoned}", node.status)
}

/// Of the fuller of its disks.
fn disk(now: &NodeNow) -> String {
    let fuller = |one: Space, other: Space| {
        let share = |space: Space| space.used_bytes.saturating_mul(1000) / space.total_bytes.max(1);
        if share(other) > share(one) { other } else { one }
    };
    node_numbers::share(now.containers.map_or(now.root, |containers| fuller(now.root, containers)))
}

fn system(node: &Node) -> Option<&OperatingSystem> {
    node.host.as_ref()?.os.as_ref()
}

async fn show(shell: &Shell, name: &str) -> Result<()> {
    let node: Node = shell.client()?.get(&path(&["nodes", name])).await?;
    if shell.ui.json {
        return crate::ui::json(&node);
    }
    let paint = shell.ui.out_paint();
    let (labels, standing) = (labels(&node), status(&node));
    let room = node_room::rows_of(&shell.client()?, &node).await?;
    let host = node.host.unwrap_or_default();
    let memory = size(host.memory_mb.saturating_mul(1024 * 1024));
    let machine = format!("{} cores, {memory}, {} {}", host.cpus, host.architecture, host.kernel);
    let mut rows = vec![
        ("node", paint.bold(&sanitize(&node.name))),
        ("status", format!("{} {}", paint.status(&standing), paint.dim(&age_of(node.status_since)))),
        ("roles", node.roles.join(", ")),
        ("origin", node.origin.clone()),
        ("mesh address", node.mesh_address.unwrap_or_default()),
        ("endpoint", node.endpoint.unwrap_or_default()),
        ("machine", if host.cpus == 0 { String::new() } else { sanitize(&machine) }),
        ("labels", sanitize(&labels)),
        ("zone", sanitize(&node.zone.unwrap_or_default())),
        (
            "instances",
            format!(
                "{} of {}",
                node.instances,
                if node.apps == 1 { "1 app".to_owned() } else { format!("{} apps", node.apps) }
            ),
        ),
        ("rtt", node.rtt_ms.map(ms).unwrap_or_default()),
        ("joined", age_of(node.created_at)),
    ];
    rows.splice(2..2, node_health::rows(&node.health, Utc::now()));
    if let Some(os) = &host.os {
        rows.extend(os::rows(os, Utc::now(), paint));
    }
    rows.extend(node.numbers.iter().flat_map(node_numbers::rows));
    if node.capabilities.is_empty() {
        rows.push(("podman", host.podman.unwrap_or_default()));
        rows.push(("wireguard", host.wireguard.unwrap_or_default()));
    }
    rows.extend(room);
    rows.extend(node_keys::rows(&node.key, Utc::now()));
    rows.extend(node_add::capability_rows(&node.capabilities));
    rows.extend(host.enforced.iter().flat_map(usage::enforced));
    rows.extend(healing::rows_of(&shell.client()?, name).await?);
    let images = node.images.unwrap_or_default();
    rows.extend(image_rows(&images));
    rows.extend(node.warnings.iter().map(|warning| ("warning", sanitize(warning))));
    let mut text = facts(&rows, paint);
    if !node.agents.is_empty() {
        text.push('\n');
        text.push_str(&agents(&node.agents).render(paint));
    }
    crate::ui::data(&text)
}

/// Nothing for a node that has told nothing.
fn image_rows(images: &NodeImages) -> Vec<(&'static str, String)> {
    if images.count == 0 {
        return Vec::new();
    }
    let mut parts = vec![images.count.to_string(), size(images.size_bytes)];
    for (bytes, what) in [(images.reclaimable_bytes, "no longer needed"), (images.cache_bytes, "build cache")]
    {
        if bytes > 0 {
            parts.push(format!("{} {what}", size(bytes)));
        }
    }
    let mut rows = vec![("images", parts.join(", "))];
    if images.copies_waiting > 0 {
        rows.push(("to fetch", images.copies_waiting.to_string()));
    }
    rows.extend(images.problems.iter().map(|problem| ("image problem", sanitize(problem))));
    rows
}

/// `disk=nvme, rack=3 (declared)`.
fn labels(node: &Node) -> String {
    let one = |(key, value): (&String, &String)| {
        let declared = if node.declared_labels.contains(key) { " (declared)" } else { "" };
        format!("{key}={value}{declared}")
    };
    node.labels.iter().map(one).collect::<Vec<_>>().join(", ")
}

async fn label(shell: &Shell, name: &str, changes: &[String]) -> Result<()> {
    let client = shell.client()?;
    let url = path(&["nodes", name]);
    let node: Node = if changes.is_empty() {
        client.get(&url).await?
    } else {
        let changes: BTreeMap<&str, Option<&str>> =
            changes.iter().map(|text| change(text)).collect::<Result<_>>()?;
        client.send(Method::PATCH, &url, &json!({ "labels": changes })).await?
    };
    if shell.ui.json {
        return crate::ui::json(&node.labels);
    }
    if !changes.is_empty() {
        shell.ui.done(&format!("labelled {name}"));
    }
    let lines: Vec<String> =
        node.labels.iter().map(|(key, value)| sanitize(&format!("{key}={value}"))).collect();
    if lines.is_empty() { Ok(()) } else { crate::ui::data(&lines.join("\n")) }
}

/// `key=value`, or `key-` for one that goes.
pub(super) fn change(text: &str) -> Result<(&str, Option<&str>)> {
    match (text.split_once('='), text.strip_suffix('-')) {
        (Some((key, value)), _) if !key.is_empty() => Ok((key, Some(value))),
        (None, Some(key)) if !key.is_empty() => Ok((key, None)),
        _ => Err(Failure::usage(format!("`{text}` is no label")).hint("KEY=VALUE sets one, KEY- removes it")),
    }
}

fn agents(agents: &[Agent]) -> Table {
    let mut table = Table::new(&["AGENT", "STATUS", "VERSION", "SPEC", "SEEN"]);
    for agent in agents {
        let spec = match (agent.applied_generation, agent.generation) {
            (Some(applied), Some(wanted)) if applied == wanted => Cell::plain(applied.to_string()),
            (Some(applied), Some(wanted)) => Cell::plain(format!("{applied} of {wanted}")),
            _ => Cell::plain(""),
        };
        table.row(vec![
            Cell::name(&agent.kind),
            Cell::status(if agent.connected { "online" } else { "offline" }),
            Cell::plain(agent.version.as_deref().unwrap_or_default()),
            spec,
            Cell::dim(age_of(agent.last_seen_at)),
        ]);
    }
    table
}

async fn token(shell: &Shell, command: NodeTokenCommand) -> Result<()> {
    let client = shell.client()?;
    match command {
        NodeTokenCommand::Create { roles, name, expires } => {
            let mut body = json!({ "roles": roles, "expires_in_s": expires.as_secs() });
            if let Some(name) = name {
                body["name"] = Value::from(name);
            }
            let token: NewNodeToken = client.send(Method::POST, "/node-tokens", &body).await?;
            created(shell, &token)
        }
        NodeTokenCommand::Ls => tokens(shell, &client.list("/node-tokens").await?),
        NodeTokenCommand::Revoke { id } => {
            let id = full_id(&client.list("/node-tokens").await?, id);
            client.delete(&path(&["node-tokens", &id])).await?;
            shell.ui.done(&format!("revoked token {}", short(&id)));
            Ok(())
        }
    }
}

fn created(shell: &Shell, token: &NewNodeToken) -> Result<()> {
    if shell.ui.json {
        return crate::ui::json(token);
    }
    let paint = shell.ui.err_paint();
    let until =
        token.expires_at.map(|end| end.format(", until %Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default();
    shell.ui.done(&format!(
        "made a token for one {} {}",
        token.roles.join(" and "),
        paint.dim(&format!("(works once{until})"))
    ));
    if token.command.is_empty() {
        return crate::ui::data(&sanitize(&token.token));
    }
    shell.ui.note(&format!("  {}", paint.dim("shown only now; on the new host run")));
    crate::ui::data(&sanitize(&token.command))
}

fn tokens(shell: &Shell, tokens: &[NodeToken]) -> Result<()> {
    if shell.ui.json {
        return crate::ui::json(&tokens);
    }
    if tokens.is_empty() {
        shell.ui.note("no tokens: `wh node add` makes one");
        return Ok(());
    }
    let now = Utc::now();
    let mut table = Table::new(&["TOKEN", "ROLES", "STATE", "BY"]);
    for token in tokens {
        let state = match (token.used_at, token.expires_at) {
            (Some(_), _) => format!("used {}", age_of(token.used_at)),
            (None, Some(end)) if end < now => "expired".to_owned(),
            (None, Some(end)) => format!("open until {}", end.format("%Y-%m-%d %H:%M UTC")),
            (None, None) => "open".to_owned(),
        };
        let by = match &token.used_by {
            Some(Value::String(name)) => name.clone(),
            Some(node) => node["name"].as_str().unwrap_or_default().to_owned(),
            None => String::new(),
        };
        table.row(vec![
            Cell::name(short(&token.id)),
            Cell::plain(token.roles.join(", ")),
            Cell::plain(state),
            Cell::plain(by),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

/// The whole id for the end that the list shows; anything else is the server's to judge.
fn full_id(tokens: &[NodeToken], typed: String) -> String {
    let mut matching = tokens.iter().filter(|token| token.id.ends_with(&typed));
    match (matching.next(), matching.next()) {
        (Some(token), None) => token.id.clone(),
        _ => typed,
    }
}
