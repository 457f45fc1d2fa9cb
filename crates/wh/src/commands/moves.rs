//! Instances that go to other nodes: emptying a node, and rebalancing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::Utc;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Shell, short};
use crate::api::types::{Drain, DrainLeft, Move, PlannedMove};
use crate::api::{Client, path};
use crate::failure::{Exit, Failure, Result};
use crate::ui::sanitize;
use crate::ui::table::{Cell, Table};
use crate::ui::time::until;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// `wh node drain`.
pub(crate) async fn drain(shell: &Shell, name: &str, plan: bool, detach: bool) -> Result<()> {
    let client = shell.client()?;
    if plan {
        let moves: Vec<PlannedMove> = client.list(&path(&["nodes", name, "drain", "preview"])).await?;
        return planned(shell, &moves, &format!("{name} has no instances to move"));
    }
    let url = path(&["nodes", name, "drain"]);
    let mut drain: Drain = client.send(Method::POST, &url, &json!({})).await?;
    let undo = format!("`wh node uncordon {name}` ends it");
    shell.ui.note(&format!("{name} takes nothing new and is emptied; {undo}"));
    let mut told = BTreeMap::new();
    while drain.finished_at.is_none() && !detach {
        tell(shell, &drain, &mut told);
        tokio::time::sleep(PAUSE).await;
        drain = still(client.get(&url).await, name)?;
    }
    if shell.ui.json {
        return crate::ui::json(&drain);
    }
    if drain.finished_at.is_some() {
        shell.ui.done(&format!("{name} is empty; `wh node uncordon {name}` lets it take apps again"));
    } else {
        let left = drain.left.len() + usize::try_from(drain.others).unwrap_or_default();
        shell.ui.note(&format!("  {left} to go; `wh node drain {name}` follows it"));
    }
    Ok(())
}

/// A drain that is gone was ended by somebody.
fn still(answer: Result<Drain>, name: &str) -> Result<Drain> {
    answer.map_err(|failure| match failure.exit {
        Exit::NotFound => Failure::new(
            Exit::Conflict,
            "drain_ended",
            format!("the drain of {name} was ended before it was empty"),
        ),
        _ => failure,
    })
}

/// Lines for what is news.
fn tell(shell: &Shell, drain: &Drain, told: &mut BTreeMap<String, String>) {
    let here: BTreeSet<&String> = drain.left.iter().map(|left| &left.instance).collect();
    let gone: Vec<String> = told.keys().filter(|instance| !here.contains(instance)).cloned().collect();
    for instance in gone {
        told.remove(&instance);
    }
    for left in &drain.left {
        let now = words(left);
        if told.get(&left.instance) != Some(&now) {
            shell.ui.note(&sanitize(&format!("  {} {}: {now}", left.app, short(&left.instance))));
            told.insert(left.instance.clone(), now);
        }
    }
}

fn words(left: &DrainLeft) -> String {
    let under = left.deployment.map(|number| format!(" (deployment {number})")).unwrap_or_default();
    match (left.stage.as_str(), &left.problem) {
        ("failed", Some(problem)) => {
            let again = left.next_try_at.map(|at| format!(", tried again {}", until(at, Utc::now())));
            format!("could not be moved{}: {problem}", again.unwrap_or_default())
        }
        (_, Some(problem)) => format!("waits: {problem}"),
        ("moving", None) => format!("another starts in its place{under}"),
        ("ending", None) => "ends its requests".to_owned(),
        ("deploying", None) => "waits for its deployment".to_owned(),
        ("command", None) => "waits for the end of a command of its release".to_owned(),
        _ => "waits for its turn".to_owned(),
    }
}

/// `wh rebalance`.
pub(crate) async fn rebalance(shell: &Shell, apply: bool, detach: bool) -> Result<()> {
    let client = shell.client()?;
    let moves: Vec<PlannedMove> = client.list("/rebalance/preview").await?;
    if !apply || moves.is_empty() {
        planned(shell, &moves, "every instance is where it is best off")?;
        if !moves.is_empty() && !shell.ui.json {
            shell.ui.note("`wh rebalance --apply` carries them out");
        }
        return Ok(());
    }
    let asked: Vec<Value> = moves
        .iter()
        .map(|planned| json!({ "instance": planned.instance, "to": planned.to, "reason": planned.reason }))
        .collect();
    let _: Value = client.send(Method::POST, "/rebalance", &json!({ "moves": asked })).await?;
    if !shell.ui.json {
        planned(shell, &moves, "")?;
    }
    if detach {
        return Ok(());
    }
    let instances: BTreeSet<&str> = moves.iter().map(|planned| planned.instance.as_str()).collect();
    let ended = follow(shell, &client, &instances).await?;
    if shell.ui.json {
        crate::ui::json(&ended)?;
    }
    let failed = ended.iter().filter(|one| one.state != "done").count();
    if failed > 0 {
        let message = format!("{failed} of {} instances were not moved", ended.len());
        return Err(Failure::new(Exit::Error, "not_moved", message).hint("They serve where they were"));
    }
    shell.ui.done(&format!("moved {} instances", ended.len()));
    Ok(())
}

/// `wh rebalance cancel`: what waits stays, what moves goes on.
pub(crate) async fn cancel(shell: &Shell, id: Option<String>) -> Result<()> {
    let client = shell.client()?;
    let Some(typed) = id else {
        let moves: Value = client.send(Method::POST, "/rebalance/cancel", &json!({})).await?;
        if shell.ui.json {
            return crate::ui::json(&moves);
        }
        shell.ui.done("what has not begun to move stays where it is");
        return Ok(());
    };
    let moves: Vec<Move> = client.list("/moves").await?;
    let mut matching = moves.iter().filter(|one| one.id.ends_with(&typed));
    let id = match (matching.next(), matching.next()) {
        (Some(one), None) => one.id.clone(),
        _ => typed,
    };
    client.delete(&path(&["moves", &id])).await?;
    shell.ui.done(&format!("move {} was taken back", short(&id)));
    Ok(())
}

/// Waits for the end of the newest move of each of the instances.
async fn follow(shell: &Shell, client: &Client, instances: &BTreeSet<&str>) -> Result<Vec<Move>> {
    let mut told = BTreeMap::new();
    loop {
        let mut newest: BTreeMap<String, Move> = BTreeMap::new();
        // Open ones first, then the newest.
        for one in client.list::<Move>("/moves").await? {
            if instances.contains(one.instance.as_str()) {
                newest.entry(one.instance.clone()).or_insert(one);
            }
        }
        for (instance, one) in &newest {
            let to = one.to.as_deref().unwrap_or("another node");
            let problem = one.problem.as_deref().map(|problem| format!(": {problem}")).unwrap_or_default();
            let now = format!("{} {} → {to} {}{problem}", one.app, one.from, one.state);
            if told.get(instance) != Some(&now) {
                shell.ui.note(&sanitize(&format!("  {now}")));
                told.insert(instance.clone(), now);
            }
        }
        if newest.values().all(|one| !matches!(one.state.as_str(), "waiting" | "moving")) {
            return Ok(newest.into_values().collect());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn planned(shell: &Shell, moves: &[PlannedMove], none: &str) -> Result<()> {
    if shell.ui.json {
        return crate::ui::json(&moves);
    }
    if moves.is_empty() {
        shell.ui.note(none);
        return Ok(());
    }
    let mut table = Table::new(&["APP", "INSTANCE", "FROM", "TO", "WHY"]);
    for planned in moves {
        table.row(vec![
            planned.app.as_ref().map_or_else(|| Cell::dim("of another organization"), Cell::name),
            Cell::plain(short(&planned.instance)),
            Cell::plain(&planned.from),
            planned.to.as_ref().map_or_else(|| Cell::status("nowhere"), Cell::plain),
            Cell::dim(&planned.reason),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}
