//! What came in for an app, in numbers.

use chrono::{DateTime, Local, Utc};
use clap::ValueEnum as _;

use super::Shell;
use crate::api::path_with;
use crate::api::types::{Traffic, TrafficNumbers};
use crate::args;
use crate::failure::Result;
use crate::ui::table::{Cell, Table, facts};
use crate::ui::time::{age_of, ms, size};

pub(crate) async fn run(shell: &Shell, asked: args::Traffic) -> Result<()> {
    let app = asked.app_name.map_or_else(|| shell.app(), Ok)?;
    let range = asked.range.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let traffic: Traffic =
        shell.client()?.get(&path_with(&["apps", &app, "traffic"], &[("range", &range)])).await?;
    if shell.ui.json {
        return crate::ui::json(&traffic);
    }
    if traffic.points.is_empty() {
        shell.ui.note(&format!("no requests in the last {}", traffic.range));
        return Ok(());
    }
    let paint = shell.ui.out_paint();
    let parts =
        [steps(&traffic).render(paint), facts(&totals(&traffic), paint), paths(&traffic).render(paint)];
    crate::ui::data(&parts.join("\n"))
}

fn steps(traffic: &Traffic) -> Table {
    let mut table = Table::new(&["AT", "REQUESTS", "4XX", "5XX", "IN", "OUT", "P50", "P95", "P99"]);
    let of_days = (traffic.until - traffic.from).num_hours() > 24;
    for point in &traffic.points {
        let numbers = &point.numbers;
        table.row(vec![
            Cell::dim(clock(point.at, of_days)),
            Cell::plain(numbers.all().to_string()),
            some(numbers.of("4xx")),
            some(numbers.of("5xx")),
            Cell::plain(size(numbers.received_bytes)),
            Cell::plain(size(numbers.sent_bytes)),
            Cell::plain(numbers.p50_ms.map(ms).unwrap_or_default()),
            Cell::plain(numbers.p95_ms.map(ms).unwrap_or_default()),
            Cell::plain(numbers.p99_ms.map(ms).unwrap_or_default()),
        ]);
    }
    table
}

/// Nothing is no news.
fn some(count: u64) -> Cell {
    if count == 0 { Cell::dim("0") } else { Cell::name(count.to_string()) }
}

fn totals(traffic: &Traffic) -> [(&'static str, String); 6] {
    let total = &traffic.total;
    let sources: Vec<String> = traffic
        .sources
        .iter()
        .map(|source| format!("{} {}", source.node, age_of(Some(source.reported_at))))
        .collect();
    let failed = match total.upstream_errors {
        0 => String::new(),
        count => format!("{count}× an instance gave no answer"),
    };
    let streams = match total.connections {
        0 => String::new(),
        count => format!("{count} connections"),
    };
    [
        ("requests", classes(total)),
        ("streams", streams),
        ("bytes", format!("{} in, {} out", size(total.received_bytes), size(total.sent_bytes))),
        ("took", percentiles(total)),
        ("failed", failed),
        ("reported", sources.join(", ")),
    ]
}

fn classes(total: &TrafficNumbers) -> String {
    let classes = total.requests.iter().filter(|(_, count)| **count > 0);
    let classes: Vec<String> = classes.map(|(class, count)| format!("{count} {class}")).collect();
    format!("{} ({})", total.all(), classes.join(", "))
}

fn percentiles(total: &TrafficNumbers) -> String {
    let told = [("p50", total.p50_ms), ("p95", total.p95_ms), ("p99", total.p99_ms)];
    let told: Vec<String> =
        told.into_iter().filter_map(|(name, took)| Some(format!("{name} {}", ms(took?)))).collect();
    told.join(", ")
}

fn paths(traffic: &Traffic) -> Table {
    let mut table = Table::new(&["PATH", "REQUESTS", "5XX", "MEAN"]);
    for path in &traffic.paths {
        table.row(vec![
            Cell::plain(&path.path),
            Cell::plain(path.requests.to_string()),
            some(path.errors),
            Cell::plain(ms(path.mean_ms)),
        ]);
    }
    table
}

fn clock(at: DateTime<Utc>, of_days: bool) -> String {
    at.with_timezone(&Local).format(if of_days { "%m-%d %H:%M" } else { "%H:%M" }).to_string()
}
