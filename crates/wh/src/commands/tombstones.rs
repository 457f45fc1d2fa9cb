//! Deleted apps, and their way back.

use reqwest::Method;
use serde_json::json;

use super::{Shell, power};
use crate::api::types::{AppChanged, Tombstone};
use crate::api::{path, path_with};
use crate::failure::{Failure, Result};
use crate::ui::prompt;
use crate::ui::table::{Cell, Table};
use crate::ui::time::age_of;

pub(super) async fn ls(shell: &Shell) -> Result<()> {
    let tombstones: Vec<Tombstone> = shell.client()?.list("/tombstones").await?;
    if shell.ui.json {
        return crate::ui::json(&tombstones);
    }
    if tombstones.is_empty() {
        shell.ui.note("no deleted apps");
        return Ok(());
    }
    let mut table = Table::new(&["APP", "DELETED", "BY", "GONE FOR GOOD"]);
    for tombstone in &tombstones {
        table.row(vec![
            Cell::name(&tombstone.slug),
            Cell::plain(age_of(Some(tombstone.deleted_at))),
            Cell::plain(&tombstone.deleted_by),
            Cell::plain(tombstone.gone_at.format("%Y-%m-%d").to_string()),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

/// Asks for the name once more unless `--confirm` says it.
pub(super) async fn rm(shell: &Shell, name: &str, confirm: Option<String>) -> Result<()> {
    let confirm = match confirm {
        Some(confirm) => confirm,
        None if prompt::possible() => {
            prompt::line(&format!("Type {name} to delete the app, its address and all that runs of it: "))?
        }
        None => {
            return Err(Failure::usage("deleting an app needs its name twice")
                .hint(format!("`wh apps rm {name} --confirm {name}`")));
        }
    };
    if confirm != name {
        return Err(Failure::usage(format!("this is not {name}: nothing was deleted")));
    }
    let client = shell.client()?;
    let request = client.request(Method::DELETE, &path_with(&["apps", name], &[("confirm", &confirm)]));
    let tombstone: Tombstone = client.answer(request).await?;
    if shell.ui.json {
        return crate::ui::json(&tombstone);
    }
    shell.ui.done(&format!("deleted {}", tombstone.slug));
    let line =
        |word: &str, text: &str| shell.ui.note(&format!("  {} {text}", shell.ui.err_paint().dim(word)));
    let (now, later) = pieces(&tombstone);
    line("stops", &now);
    line("keeps", &later);
    let until = tombstone.gone_at.format("%Y-%m-%d");
    line("undo ", &format!("`wh apps undelete {}` until {until}", tombstone.slug));
    Ok(())
}

/// What goes at once and what is kept, in words.
fn pieces(tombstone: &Tombstone) -> (String, String) {
    let counted = |(kind, count): (&String, &u64)| match (kind.as_str(), count) {
        ("git_access", _) => "access to its repository".to_owned(),
        (kind, 1) => format!("1 {}", kind.trim_end_matches('s')),
        (kind, count) => format!("{count} {kind}"),
    };
    let there = || tombstone.pieces.iter().filter(|(_, count)| **count > 0);
    let is_container = |(kind, _): &(&String, &u64)| *kind == "containers";
    let now: Vec<String> = there().filter(is_container).map(counted).collect();
    let later: Vec<String> = there().filter(|piece| !is_container(piece)).map(counted).collect();
    let or = |texts: Vec<String>, else_text: &str| {
        if texts.is_empty() { else_text.to_owned() } else { texts.join(", ") }
    };
    (or(now, "nothing: no container of it ran"), or(later, "its name"))
}

pub(super) async fn undelete(shell: &Shell, name: &str, detach: bool) -> Result<()> {
    let client = shell.client()?;
    let changed: AppChanged =
        client.send(Method::POST, &path(&["apps", name, "undelete"]), &json!({})).await?;
    power::finish(shell, &client, changed, "undelete", "back as it was", detach).await
}
