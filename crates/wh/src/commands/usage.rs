//! What instances use of what they may, and what of that nothing enforces.

use super::{Shell, short};
use crate::api::types::{Enforcement, Instance};
use crate::failure::Result;
use crate::ui::sanitize;
use crate::ui::table::{Cell, Table};
use crate::ui::time::size;

const MIB: u64 = 1 << 20;

/// `wh ps --use`.
pub(crate) async fn ps(shell: &Shell) -> Result<()> {
    let instances: Vec<Instance> = shell.client()?.list(&shell.app_path(&["instances"])?).await?;
    if shell.ui.json {
        return crate::ui::json(&instances);
    }
    if instances.is_empty() {
        shell.ui.note("no instances: `wh deploy` starts some");
        return Ok(());
    }
    let mut table =
        Table::new(&["INSTANCE", "NODE", "CPU", "MEMORY", "PROCESSES", "DISK", "RECEIVES", "SENDS"]);
    for instance in &instances {
        table.row(row(instance));
    }
    crate::ui::data(&table.render(shell.ui.out_paint()))?;
    for line in unenforced(&instances) {
        shell.ui.note(&line);
    }
    Ok(())
}

fn row(instance: &Instance) -> Vec<Cell> {
    let stats = instance.stats.clone().unwrap_or_default();
    let seen = instance.stats.is_some();
    let limit = |group: &serde_json::Value, name: &str| group[name].as_u64();
    let (resources, isolation) = (&instance.resources, &instance.isolation);
    let cores = |millis: u64| format!("{}.{:02}", millis / 1000, millis % 1000 / 10);
    let bits = |bytes: u64| format!("{}.{:02}", bytes * 8 / 1_000_000, bytes * 8 % 1_000_000 / 10_000);
    let (cpu, memory) = (limit(resources, "cpu_millis"), limit(resources, "memory_mb"));
    let disk = limit(isolation, "disk_mb").map(|mb| size(mb * MIB));
    let rate = |bytes: Option<u64>, limit: Option<u64>| {
        of(bytes.map(bits), limit.map(|mbit| mbit.to_string()), " Mbit/s")
    };
    vec![
        Cell::name(short(&instance.id)),
        Cell::plain(&instance.node.name),
        Cell::plain(of(seen.then(|| cores(stats.cpu_millis)), cpu.map(cores), "")),
        Cell::plain(of(seen.then(|| size(stats.memory_bytes)), memory.map(|mb| size(mb * MIB)), "")),
        Cell::plain(of(stats.pids.map(text), limit(resources, "pids").map(text), "")),
        Cell::plain(of(stats.disk_bytes.map(size), disk, "")),
        Cell::plain(rate(stats.receive_rate, limit(isolation, "ingress_mbit"))),
        Cell::plain(rate(stats.send_rate, limit(isolation, "egress_mbit"))),
    ]
}

fn text(number: u64) -> String {
    number.to_string()
}

/// Nothing where nothing was measured.
fn of(used: Option<String>, limit: Option<String>, unit: &str) -> String {
    match (used, limit) {
        (None, _) => String::new(),
        (Some(used), None) => format!("{used}{unit}"),
        (Some(used), Some(limit)) => format!("{used} of {limit}{unit}"),
    }
}

/// A line for each limit that nothing enforces where an instance is.
pub(crate) fn unenforced(instances: &[Instance]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for instance in instances {
        for limit in &instance.unenforced {
            let line =
                format!("  {} is not enforced on {}: {}", limit.setting, instance.node.name, limit.why);
            let line = sanitize(&line);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines
}

/// Rows about a node: what it enforces, and what it does not and why.
pub(crate) fn enforced(
    found: &std::collections::BTreeMap<String, Enforcement>,
) -> Vec<(&'static str, String)> {
    let (holds, misses): (Vec<_>, Vec<_>) = found.iter().partition(|(_, one)| one.by.is_some());
    let names: Vec<String> = holds.iter().map(|(name, _)| name.replace('_', " ")).collect();
    let mut rows = vec![("enforces", sanitize(&names.join(", ")))];
    rows.extend(misses.into_iter().map(|(name, one)| {
        let why = one.why_not.as_deref().unwrap_or("it does not say why");
        ("not enforced", sanitize(&format!("{}: {why}", name.replace('_', " "))))
    }));
    rows
}
