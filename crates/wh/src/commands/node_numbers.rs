//! How a host is doing and did.

use chrono::{DateTime, Local, Utc};
use clap::ValueEnum as _;

use super::Shell;
use crate::api::path_with;
use crate::api::types::{NodeNow, NodePoint, NodeSeries, Space};
use crate::args::Range;
use crate::failure::Result;
use crate::ui::table::{Cell, Table, facts};
use crate::ui::time::{age_of, size};

/// `wh node stats`.
pub(crate) async fn stats(shell: &Shell, name: &str, range: Range) -> Result<()> {
    let range = range.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let url = path_with(&["nodes", name, "numbers"], &[("range", &range)]);
    let series: NodeSeries = shell.client()?.get(&url).await?;
    if shell.ui.json {
        return crate::ui::json(&series);
    }
    if series.points.is_empty() && series.now.is_none() {
        shell.ui.note(&format!(
            "{name} has told nothing in the last {range}: `wh node show {name}` tells whether it is there"
        ));
        return Ok(());
    }
    let paint = shell.ui.out_paint();
    let mut parts = Vec::new();
    if !series.points.is_empty() {
        parts.push(steps(&series).render(paint));
    }
    if let Some(now) = &series.now {
        parts.push(facts(&rows(now), paint));
    }
    crate::ui::data(&parts.join("\n"))
}

fn steps(series: &NodeSeries) -> Table {
    let mut table =
        Table::new(&["AT", "CPU", "MOST", "LOAD", "MEMORY", "SWAP", "DISK", "CONTAINERS", "IN", "OUT"]);
    let of_days = (series.until - series.from).num_hours() > 24;
    for point in &series.points {
        table.row(vec![
            Cell::dim(clock(point.at, of_days)),
            Cell::plain(format!("{:.0}%", point.cpu_percent)),
            Cell::plain(format!("{:.0}%", point.cpu_most_percent)),
            Cell::plain(format!("{:.2}", point.load)),
            Cell::plain(share(point.memory)),
            Cell::plain(share(point.swap)),
            Cell::plain(share(point.root)),
            Cell::plain(containers(point)),
            Cell::plain(size(point.received_bytes)),
            Cell::plain(size(point.sent_bytes)),
        ]);
    }
    table
}

fn containers(point: &NodePoint) -> String {
    point.containers.map(share).unwrap_or_default()
}

/// Lines of `wh node show`, too.
pub(crate) fn rows(now: &NodeNow) -> Vec<(&'static str, String)> {
    let of = |space: Space| {
        if space.total_bytes == 0 {
            return String::new();
        }
        format!("{} of {} ({})", size(space.used_bytes), size(space.total_bytes), share(space))
    };
    let network = now.received_per_s.zip(now.sent_per_s);
    vec![
        ("cpu", format!("{:.0}%, load {:.2} ({})", now.cpu_percent, now.load, age_of(Some(now.at)))),
        ("memory", of(now.memory)),
        ("swap", of(now.swap)),
        ("disk", of(now.root)),
        ("containers' disk", now.containers.map(of).unwrap_or_default()),
        (
            "network",
            network
                .map(|(received, sent)| format!("{}/s in, {}/s out", size(received), size(sent)))
                .unwrap_or_default(),
        ),
        (
            "up for",
            now.uptime_s
                .map(|seconds| crate::ui::time::duration(std::time::Duration::from_secs(seconds)))
                .unwrap_or_default(),
        ),
    ]
}

/// `37%`; nothing of nothing.
#[expect(clippy::cast_precision_loss, reason = "whole percents are shown")]
pub(crate) fn share(space: Space) -> String {
    if space.total_bytes == 0 {
        return String::new();
    }
    format!("{:.0}%", space.used_bytes as f64 * 100.0 / space.total_bytes as f64)
}

fn clock(at: DateTime<Utc>, of_days: bool) -> String {
    at.with_timezone(&Local).format(if of_days { "%m-%d %H:%M" } else { "%H:%M" }).to_string()
}
