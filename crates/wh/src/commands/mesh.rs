//! The tunnels between the nodes.

use std::collections::HashMap;
use std::time::Duration;

use url::form_urlencoded;

use super::{Shell, mesh_keys};
use crate::api::types::{Mesh, MeshFinding, MeshLink, MeshNode};
use crate::args::MeshCommand;
use crate::failure::{Exit, Failure, Result};
use crate::ui::paint::Paint;
use crate::ui::sanitize;
use crate::ui::table::{Cell, Table};
use crate::ui::time;

const PROBLEM: &str = "problem";
const RELAYED: &str = "relayed";

pub(crate) async fn run(shell: &Shell, command: Option<MeshCommand>) -> Result<()> {
    match command.unwrap_or(MeshCommand::Show) {
        MeshCommand::Show => show(shell).await,
        MeshCommand::Peers { node } => peers(shell, &node).await,
        MeshCommand::Rtt => rtt(shell).await,
        MeshCommand::Rotate { nodes, cancel: true, .. } => mesh_keys::cancel(shell, &nodes).await,
        MeshCommand::Rotate { nodes, all, detach, .. } => mesh_keys::rotate(shell, &nodes, all, detach).await,
        MeshCommand::Doctor { node } => doctor(shell, node.as_deref()).await,
    }
}

async fn mesh(shell: &Shell, node: Option<&str>) -> Result<Mesh> {
    let path = match node {
        Some(node) => {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("node", node).finish();
            format!("/mesh?{query}")
        }
        None => "/mesh".to_owned(),
    };
    shell.client()?.get(&path).await
}

async fn show(shell: &Shell) -> Result<()> {
    let mesh = mesh(shell, None).await?;
    if shell.ui.json {
        return crate::ui::json(&mesh);
    }
    let others = mesh.nodes.len().saturating_sub(1);
    let mut table = Table::new(&[
        "NODE",
        "STATUS",
        "ADDRESS",
        "ENDPOINT",
        "REACHES",
        "WIREGUARD",
        "MTU",
        "KEY",
        "REPORTED",
    ]);
    for node in &mesh.nodes {
        table.row(vec![
            Cell::name(&node.name),
            Cell::status(&node.status),
            Cell::plain(&node.mesh_address),
            Cell::plain(node.endpoint.as_deref().unwrap_or_default()),
            Cell::plain(format!("{} of {others}", node.reaches)),
            Cell::plain(node.wireguard.as_deref().unwrap_or_default()),
            Cell::plain(node.mtu.map(|mtu| mtu.to_string()).unwrap_or_default()),
            key(node),
            Cell::plain(time::age_of(node.reported_at)),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))?;
    if !mesh.findings.is_empty() {
        let count = mesh.findings.len();
        let things = if count == 1 { "1 thing is".to_owned() } else { format!("{count} things are") };
        shell.ui.warn(&format!("{things} not as it should be: `wh mesh doctor`"));
    }
    Ok(())
}

async fn peers(shell: &Shell, name: &str) -> Result<()> {
    let mesh = mesh(shell, Some(name)).await?;
    let node = mesh.nodes.iter().find(|node| node.name == name || node.id == name);
    let own = node.map_or(name, |node| node.name.as_str());
    let links: Vec<&MeshLink> = mesh.links.iter().filter(|link| link.from == own).collect();
    if shell.ui.json {
        return crate::ui::json(&links);
    }
    if links.is_empty() {
        shell.ui.note("there is no other node");
        return Ok(());
    }
    let mut table =
        Table::new(&["PEER", "WAY", "ENDPOINT", "HANDSHAKE", "RTT", "LOSS", "MTU", "RECEIVED", "SENT"]);
    for link in links {
        table.row(vec![
            Cell::name(&link.to),
            way(link),
            Cell::plain(link.endpoint.as_deref().unwrap_or_default()),
            Cell::plain(link.handshake_age_s.map(handshake).unwrap_or_default()),
            Cell::plain(link.rtt_ms.map(time::ms).unwrap_or_default()),
            Cell::plain(link.loss.map(|loss| format!("{loss:.0} %")).unwrap_or_default()),
            Cell::plain(link.mtu.map(|mtu| mtu.to_string()).unwrap_or_default()),
            Cell::plain(time::size(link.received_bytes)),
            Cell::plain(time::size(link.sent_bytes)),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

fn way(link: &MeshLink) -> Cell {
    match &link.via {
        Some(via) if link.state == RELAYED => Cell::plain(format!("{RELAYED} via {via}")),
        _ => Cell::status(&link.state),
    }
}

fn key(node: &MeshNode) -> Cell {
    match &node.rotation {
        Some(rotation) => Cell::plain(format!("changing ({})", rotation.stage)),
        None => Cell::plain(time::age_of(node.key_since)),
    }
}

fn handshake(age_s: u64) -> String {
    format!("{} ago", time::duration(Duration::from_secs(age_s)))
}

async fn rtt(shell: &Shell) -> Result<()> {
    let mesh = mesh(shell, None).await?;
    if shell.ui.json {
        return crate::ui::json(&mesh.links);
    }
    if mesh.links_left_out > 0 {
        return Err(Failure::new(
            Exit::Error,
            "mesh_too_large",
            format!("{} nodes are too many for one table", mesh.nodes.len()),
        )
        .hint("Ask for one node: `wh mesh peers NODE`"));
    }
    let times: HashMap<(&str, &str), &MeshLink> =
        mesh.links.iter().map(|link| ((link.from.as_str(), link.to.as_str()), link)).collect();
    let names = mesh.nodes.iter().map(|node| node.name.as_str());
    let head: Vec<&str> = std::iter::once("FROM").chain(names.clone()).collect();
    let mut table = Table::new(&head);
    for from in names.clone() {
        let cell = |to| match times.get(&(from, to)) {
            None => Cell::dim("·"),
            Some(link) => match link.rtt_ms.filter(|_| link.state != "silent") {
                // It stands for two ways, one after the other.
                Some(rtt) if link.state == RELAYED => Cell::plain(format!("{} relayed", time::ms(rtt))),
                Some(rtt) => Cell::plain(time::ms(rtt)),
                None => Cell::status(&link.state),
            },
        };
        table.row(std::iter::once(Cell::name(from)).chain(names.clone().map(cell)).collect());
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

/// Ends with an error when a node does not reach another, so that scripts can ask.
async fn doctor(shell: &Shell, node: Option<&str>) -> Result<()> {
    let mesh = mesh(shell, node).await?;
    if shell.ui.json {
        crate::ui::json(&mesh.findings)?;
    } else if mesh.findings.is_empty() {
        shell.ui.done("every node reaches every other");
    } else {
        let paint = shell.ui.out_paint();
        let lines: Vec<String> = mesh.findings.iter().map(|finding| told(finding, paint)).collect();
        crate::ui::data(&lines.join("\n"))?;
    }
    let problems = mesh.findings.iter().filter(|finding| finding.level == PROBLEM).count();
    match problems {
        0 => Ok(()),
        1 => Err(Failure::new(Exit::Error, "mesh_broken", "the mesh has 1 problem")),
        more => Err(Failure::new(Exit::Error, "mesh_broken", format!("the mesh has {more} problems"))),
    }
}

fn told(finding: &MeshFinding, paint: Paint) -> String {
    let mark = if finding.level == PROBLEM { paint.red("✗") } else { paint.yellow("!") };
    format!("{mark} {}\n  → {}", sanitize(&finding.summary), sanitize(&finding.fix))
}
