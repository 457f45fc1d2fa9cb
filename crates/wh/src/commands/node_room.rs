//! What workers have to give, and what they take.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::Shell;
use crate::api::types::{Node, NodePlacement};
use crate::api::{Client, path};
use crate::args::{MaxInstances, NodeSettings};
use crate::failure::Result;
use crate::ui::sanitize;
use crate::ui::table::{Cell, Table, facts};
use crate::ui::time::age_of;

/// `wh node capacity`.
pub(crate) async fn list(shell: &Shell) -> Result<()> {
    let nodes: Vec<NodePlacement> = shell.client()?.list("/placement/nodes").await?;
    if shell.ui.json {
        return crate::ui::json(&nodes);
    }
    let mut table = Table::new(&["NODE", "INSTANCES", "MEMORY", "CPU", "TAKES"]);
    for node in &nodes {
        table.row(vec![
            Cell::name(&node.name),
            Cell::plain(instances(node)),
            Cell::plain(memory(node)),
            Cell::plain(cpu(node)),
            Cell::plain(takes(node)),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

/// `wh node cordon` and `wh node uncordon`.
pub(crate) async fn cordon(shell: &Shell, name: &str, cordoned: bool) -> Result<()> {
    let verb = if cordoned { "cordon" } else { "uncordon" };
    let url = path(&["nodes", name, verb]);
    let node: NodePlacement = shell.client()?.send(Method::POST, &url, &json!({})).await?;
    if shell.ui.json {
        return crate::ui::json(&node);
    }
    shell.ui.done(&if cordoned {
        format!("{name} takes nothing new; {} run on", counted(node.instances))
    } else {
        format!("{name} takes {}", takes(&node))
    });
    Ok(())
}

/// `wh node settings`: changes what is said, and shows what then holds.
pub(crate) async fn settings(shell: &Shell, name: &str, asked: &NodeSettings) -> Result<()> {
    let mut body = Map::new();
    body.extend(asked.apps.map(|takes| ("takes_apps".to_owned(), Value::from(takes))));
    body.extend(asked.builds.map(|takes| ("takes_builds".to_owned(), Value::from(takes))));
    body.extend(asked.max_instances.map(|most| {
        let most = if let MaxInstances::Most(most) = most { Value::from(most) } else { Value::Null };
        ("max_instances".to_owned(), most)
    }));
    let (client, url) = (shell.client()?, path(&["nodes", name, "placement"]));
    let node: NodePlacement = if body.is_empty() {
        client.get(&url).await?
    } else {
        client.send(Method::PATCH, &url, &Value::Object(body)).await?
    };
    if shell.ui.json {
        return crate::ui::json(&node);
    }
    crate::ui::data(&facts(&rows(&node), shell.ui.out_paint()))
}

/// Lines for `wh node show`; none for a node that runs no apps.
pub(crate) async fn rows_of(client: &Client, node: &Node) -> Result<Vec<(&'static str, String)>> {
    if !node.roles.iter().any(|role| role == "worker") {
        return Ok(Vec::new());
    }
    client.get(&path(&["nodes", &node.name, "placement"])).await.map(|placement| rows(&placement))
}

fn rows(node: &NodePlacement) -> Vec<(&'static str, String)> {
    let mut rows =
        vec![("takes", takes(node)), ("reserved memory", memory(node)), ("reserved cpu", cpu(node))];
    if let Some(most) = node.max_instances {
        rows.push(("most instances", most.to_string()));
    }
    rows
}

fn takes(node: &NodePlacement) -> String {
    if node.cordoned_at.is_some() {
        return sanitize(&format!("nothing new (cordoned {})", age_of(node.cordoned_at)));
    }
    match (node.takes_apps, node.takes_builds) {
        (true, true) => "apps and builds",
        (true, false) => "apps",
        (false, true) => "builds",
        (false, false) => "nothing",
    }
    .to_owned()
}

fn instances(node: &NodePlacement) -> String {
    match node.max_instances {
        Some(most) => format!("{} of {most}", node.instances),
        None => node.instances.to_string(),
    }
}

fn memory(node: &NodePlacement) -> String {
    of(node.reserved.memory_mb, node.capacity.map(|capacity| capacity.memory_mb), "MiB")
}

fn cpu(node: &NodePlacement) -> String {
    let tenths = |millis: u64| millis.div_ceil(100);
    let text = |millis: u64| format!("{}.{}", tenths(millis) / 10, tenths(millis) % 10);
    of(text(node.reserved.cpu_millis), node.capacity.map(|capacity| text(capacity.cpu_millis)), "cores")
}

/// `1024 of 7936 MiB`.
fn of<T: std::fmt::Display>(part: T, whole: Option<T>, unit: &str) -> String {
    whole.map_or_else(|| format!("{part} {unit}"), |whole| format!("{part} of {whole} {unit}"))
}

fn counted(instances: u32) -> String {
    if instances == 1 { "1 instance".to_owned() } else { format!("{instances} instances") }
}
