//! What is on a node: instances, containers of others, volumes, images that can go.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::{Shell, short};
use crate::api::path;
use crate::api::types::{CleanableImage, Cleanup, CleanupPreview, NodeInstance, NodeInstances, NodeStorage};
use crate::failure::{Exit, Failure, Result};
use crate::ui::table::{Cell, Table};
use crate::ui::time::{age_of, size};
use crate::ui::{prompt, sanitize};

/// Between two looks at a clean-up.
const PAUSE: Duration = Duration::from_secs(1);

/// `wh node ps`.
pub(crate) async fn instances(shell: &Shell, name: &str) -> Result<()> {
    let all: NodeInstances = shell.client()?.get(&path(&["nodes", name, "instances"])).await?;
    if shell.ui.json {
        return crate::ui::json(&all);
    }
    let others = match all.others {
        0 => String::new(),
        count => format!("{count} of other organizations"),
    };
    if all.items.is_empty() {
        shell.ui.note(&if others.is_empty() { format!("nothing runs on {name}") } else { others });
        return Ok(());
    }
    let mut table = Table::new(&["APP", "INSTANCE", "RELEASE", "STATE", "SEEN", "CPU", "MEMORY", "RESTARTS"]);
    for instance in &all.items {
        table.row(row(instance));
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))?;
    if !others.is_empty() {
        shell.ui.note(&format!("and {others}"));
    }
    Ok(())
}

fn row(instance: &NodeInstance) -> Vec<Cell> {
    let state = if instance.unknown_since.is_some() { "unknown" } else { &instance.state };
    let what = if instance.task { "command of " } else { "" };
    vec![
        Cell::name(format!("{what}{}", instance.app)),
        Cell::plain(short(&instance.id)),
        Cell::plain(format!("v{}", instance.release)),
        Cell::status(state),
        Cell::dim(age_of(instance.observed_at)),
        Cell::plain(instance.stats.map(|stats| format!("{}m", stats.cpu_millis)).unwrap_or_default()),
        Cell::plain(instance.stats.map(|stats| size(stats.memory_bytes)).unwrap_or_default()),
        Cell::plain(instance.restarts.to_string()),
    ]
}

/// `wh node storage`.
pub(crate) async fn storage(shell: &Shell, name: &str) -> Result<()> {
    let storage: NodeStorage = shell.client()?.get(&path(&["nodes", name, "storage"])).await?;
    if shell.ui.json {
        return crate::ui::json(&storage);
    }
    if storage.reported_at.is_none() {
        shell.ui.note(&format!("{name} has not told yet: only workers do"));
        return Ok(());
    }
    let mut containers = Table::new(&["CONTAINER", "IMAGE", "STATE", "SINCE", "WROTE"]);
    for other in &storage.containers {
        containers.row(vec![
            Cell::name(&other.name),
            Cell::plain(&other.image),
            Cell::status(&other.state),
            Cell::dim(age_of(other.created_at)),
            Cell::plain(other.size_bytes.map(size).unwrap_or_default()),
        ]);
    }
    let mut volumes = Table::new(&["VOLUME", "SIZE", "CONTAINERS"]);
    for volume in &storage.volumes {
        volumes.row(vec![
            Cell::name(&volume.name),
            Cell::plain(size(volume.size_bytes)),
            Cell::plain(volume.containers.to_string()),
        ]);
    }
    let paint = shell.ui.out_paint();
    let mut parts = Vec::new();
    if storage.container_count > 0 {
        parts.push(containers.render(paint));
    }
    if storage.volume_count > 0 {
        parts.push(volumes.render(paint));
    }
    if parts.is_empty() {
        shell.ui.note(&format!("{name} has no containers of others and no volumes"));
        return Ok(());
    }
    crate::ui::data(&parts.join("\n"))?;
    let disk = storage.disk.map(|disk| {
        format!(", {} of {} of its disk are used", size(disk.used_bytes), size(disk.total_bytes))
    });
    shell.ui.note(&format!(
        "{} containers that are not managed, {} volumes (measured {}){}",
        storage.container_count,
        storage.volume_count,
        if storage.measured_at.is_some() { age_of(storage.measured_at) } else { "not yet".to_owned() },
        disk.unwrap_or_default()
    ));
    Ok(())
}

/// `wh node gc`.
pub(crate) async fn gc(shell: &Shell, name: &str, dry_run: bool, yes: bool) -> Result<()> {
    let client = shell.client()?;
    let preview: CleanupPreview = client.get(&path(&["nodes", name, "gc", "preview"])).await?;
    if dry_run && shell.ui.json {
        return crate::ui::json(&preview);
    }
    if preview.images.is_empty() {
        shell.ui.note(&format!("{name} has nothing that can go"));
        return if shell.ui.json { crate::ui::json(&json!({ "removed": [] })) } else { Ok(()) };
    }
    let count = preview.images.len();
    if !shell.ui.json {
        crate::ui::data(&images(&preview.images).render(shell.ui.out_paint()))?;
        shell.ui.note(&format!("{count} images, about {}; volumes never go", size(preview.frees_bytes)));
    }
    if dry_run {
        return Ok(());
    }
    sure(name, count, yes)?;
    let ids: Vec<&str> = preview.images.iter().map(|image| image.id.as_str()).collect();
    let url = path(&["nodes", name, "gc"]);
    let mut cleanup: Cleanup = client.send(Method::POST, &url, &json!({ "images": ids })).await?;
    while cleanup.state == "running" {
        tokio::time::sleep(PAUSE).await;
        let all: Vec<Cleanup> = client.list(&url).await?;
        cleanup = all.into_iter().find(|one| one.id == cleanup.id).unwrap_or_default();
    }
    ended(shell, name, &cleanup)
}

fn sure(name: &str, count: usize, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !prompt::possible() {
        return Err(Failure::usage("nobody can be asked whether these images go")
            .hint(format!("`wh node gc {name} --yes` removes them, `--dry-run` only shows them")));
    }
    match prompt::line(&format!("Remove these {count} images from {name}? [y/N] "))?.as_str() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::usage("nothing was removed")),
    }
}

fn ended(shell: &Shell, name: &str, cleanup: &Cleanup) -> Result<()> {
    if shell.ui.json {
        crate::ui::json(cleanup)?;
    }
    for left in &cleanup.left {
        shell.ui.note(&sanitize(&format!("  {} stays: {}", brief(&left.id), left.why)));
    }
    if cleanup.state == "done" {
        let (removed, freed) = (cleanup.removed.len(), size(cleanup.freed_bytes));
        shell.ui.done(&format!("removed {removed} images from {name}, about {freed}"));
        return Ok(());
    }
    let why = cleanup.problem.as_deref().unwrap_or("its worker has not answered");
    Err(Failure::new(Exit::Error, "not_cleaned", sanitize(&format!("{name} was not cleaned up: {why}")))
        .hint(format!("`wh node gc {name} --history` shows what became of it")))
}

/// `wh node gc --history`.
pub(crate) async fn history(shell: &Shell, name: &str) -> Result<()> {
    let all: Vec<Cleanup> = shell.client()?.list(&path(&["nodes", name, "gc"])).await?;
    if shell.ui.json {
        return crate::ui::json(&all);
    }
    if all.is_empty() {
        shell.ui.note(&format!("nobody has cleaned {name} up for as long as is kept"));
        return Ok(());
    }
    let mut table = Table::new(&["WHEN", "BY", "STATE", "REMOVED", "FREED", "STAYED", "WHY"]);
    for cleanup in &all {
        table.row(vec![
            Cell::dim(age_of(cleanup.at)),
            Cell::plain(&cleanup.started_by),
            Cell::status(&cleanup.state),
            Cell::plain(format!("{} of {}", cleanup.removed.len(), cleanup.images)),
            Cell::plain(size(cleanup.freed_bytes)),
            Cell::plain(cleanup.left.len().to_string()),
            Cell::plain(cleanup.problem.as_deref().unwrap_or_default()),
        ]);
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))
}

fn images(images: &[CleanableImage]) -> Table {
    let mut table = Table::new(&["IMAGE", "ID", "MADE", "FREES", "WHY"]);
    for image in images {
        table.row(vec![
            Cell::name(image.names.first().map_or("(no name)", String::as_str)),
            Cell::plain(brief(&image.id)),
            Cell::dim(age_of(image.made_at)),
            Cell::plain(size(image.frees_bytes)),
            Cell::dim(&image.reason),
        ]);
    }
    table
}

/// Enough of an id to tell it from others.
fn brief(id: &str) -> String {
    id.trim_start_matches("sha256:").chars().take(12).collect()
}
