//! What follows when a node is gone, and what nobody knows on one.

use chrono::Utc;

use super::{Shell, short};
use crate::api::types::{Correction, NodeHealing, Stray};
use crate::api::{Client, path};
use crate::failure::{Exit, Result};
use crate::ui::sanitize;
use crate::ui::table::{Cell, Table};
use crate::ui::time::{age, until};

/// Lines of `wh node show`. A control plane of before has none.
pub(crate) async fn rows_of(client: &Client, node: &str) -> Result<Vec<(&'static str, String)>> {
    let healing: NodeHealing = match client.get(&path(&["nodes", node, "healing"])).await {
        Err(failure) if failure.exit == Exit::NotFound => return Ok(Vec::new()),
        answer => answer?,
    };
    let strays: Vec<Stray> = client.list(&path(&["nodes", node, "strays"])).await?;
    Ok(rows(&healing, strays.len()))
}

fn rows(healing: &NodeHealing, strays: usize) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if let Some(at) = healing.given_up_at {
        let again = match healing.gone_before {
            0 => String::new(),
            times => format!("; it was gone {times} times lately, so it is waited for longer"),
        };
        let now = Utc::now();
        let when = if at > now {
            format!("{}: its instances are placed elsewhere then", until(at, now))
        } else {
            format!("{}: its instances are placed elsewhere", age(at, now))
        };
        rows.push(("given up", format!("{when}{again}")));
    }
    if healing.reached {
        rows.push(("reached", "by a proxy: what runs there serves, and stays".to_owned()));
    }
    if !healing.routed {
        rows.push(("routes", "lead elsewhere: no proxy reaches it".to_owned()));
    }
    for waiting in &healing.waiting {
        let (app, instance) = (&waiting.app, short(&waiting.instance));
        let so = match (&waiting.problem, waiting.deployment) {
            (_, Some(number)) => format!("{app} {instance}: deployment {number} places it elsewhere"),
            (Some(problem), None) => format!("{app} {instance}: {problem}"),
            (None, None) => format!("{app} {instance}: is about to be placed elsewhere"),
        };
        rows.push(("waits", sanitize(&so)));
    }
    if healing.others > 0 {
        rows.push(("waits", format!("{} of other organizations", healing.others)));
    }
    if let Some(at) = healing.lease_renewed_at {
        rows.push(("lease", format!("of exclusive apps, renewed {}", age(at, Utc::now()))));
    }
    if strays > 0 {
        rows.push(("strays", format!("{strays} containers that nobody knows: `wh node strays`")));
    }
    rows
}

/// `wh node corrections`.
pub(crate) async fn corrections(shell: &Shell, name: &str) -> Result<()> {
    let all: Vec<Correction> = shell.client()?.list(&path(&["nodes", name, "corrections"])).await?;
    if shell.ui.json {
        return crate::ui::json(&all);
    }
    if all.is_empty() {
        shell.ui.note(&format!("{name} had nothing to put right for as long as is kept"));
        return Ok(());
    }
    let mut table = Table::new(&["WHEN", "APP", "DONE", "WHY"]);
    for one in &all {
        table.row(vec![
            Cell::dim(age(one.at, Utc::now())),
            Cell::name(sanitize(one.app.as_deref().unwrap_or_default())),
            Cell::plain(&one.done),
            Cell::plain(sanitize(&one.reason)),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

/// `wh node strays`.
pub(crate) async fn strays(shell: &Shell, name: &str) -> Result<()> {
    let strays: Vec<Stray> = shell.client()?.list(&path(&["nodes", name, "strays"])).await?;
    if shell.ui.json {
        return crate::ui::json(&strays);
    }
    if strays.is_empty() {
        shell.ui.note(&format!("everything on {name} is known"));
        return Ok(());
    }
    let mut table = Table::new(&["CONTAINER", "APP", "STATE", "FOUND", "REMOVED", "WHY"]);
    let now = Utc::now();
    for stray in &strays {
        let id = stray.container.get(..12).unwrap_or(&stray.container);
        let name = if stray.name.is_empty() { id } else { &stray.name };
        table.row(vec![
            Cell::name(sanitize(name)),
            Cell::plain(sanitize(stray.app.as_deref().unwrap_or_default())),
            Cell::status(&stray.state),
            Cell::dim(age(stray.found_at, now)),
            Cell::plain(until(stray.remove_at, now)),
            Cell::plain(&stray.reason),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}
