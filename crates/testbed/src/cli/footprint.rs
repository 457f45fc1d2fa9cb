//! What the agents of a cluster hold in memory, and what of a core they use, while one app runs and nothing happens.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testbed::cluster::Cluster;
use testbed::host::Host;
use testbed::software::{MESH, PROXY, WORKER};
use testbed::topology::{self, W1};

use super::bench::milli;

/// After the deployment, for its work to be over.
const SETTLE: Duration = Duration::from_secs(20);
const WATCHED: Duration = Duration::from_mins(1);
const AGENTS: [(&str, &str); 4] =
    [(W1.name, WORKER), (W1.name, MESH), (topology::PROXY.name, PROXY), (topology::PROXY.name, MESH)];
/// Ticks of the kernel's clocks in a second, as user programs see them (`proc(5)`).
const TICKS: f64 = 100.0;

/// Compares the worker's agent with `target` MiB.
pub(crate) async fn measure(cluster: &Cluster, target: f64) -> Result<Value> {
    tokio::time::sleep(SETTLE).await;
    let before = used(cluster)?;
    tokio::time::sleep(WATCHED).await;
    let after = used(cluster)?;
    let agents = AGENTS.iter().zip(before.iter().zip(&after)).map(|((host, agent), (before, after))| {
        let core = (after.cpu_s - before.cpu_s) / WATCHED.as_secs_f64();
        json!({ "host": host, "agent": agent, "resident_mib": milli(after.resident_mib), "core": milli(core) })
    });
    let worker = after[0].resident_mib;
    Ok(json!({
        "bench": "footprint", "case": "worker agent, idle", "metric": "resident_mib",
        "value": milli(worker), "unit": "MiB", "target": target, "met": worker <= target,
        "agents": agents.collect::<Vec<_>>(),
    }))
}

/// Of a process and its children, as the tunnel is one of the mesh agent.
#[derive(Debug, Default)]
struct Used {
    resident_mib: f64,
    cpu_s: f64,
}

fn used(cluster: &Cluster) -> Result<Vec<Used>> {
    AGENTS
        .iter()
        .map(|(host, agent)| {
            let host = cluster.host(host)?;
            let process = host.inner_pid(agent).with_context(|| format!("{agent} does not run"))?;
            let mut used = Used::default();
            used.add(&host, process).with_context(|| format!("{agent} as process {process}"))?;
            Ok(used)
        })
        .collect()
}

impl Used {
    /// `process` as the host numbers it.
    fn add(&mut self, host: &Host, process: i32) -> Result<()> {
        let folder = PathBuf::from(format!("/proc/{}/root/proc/{process}", host.init()?.pid));
        let read = |name: &str| fs::read_to_string(folder.join(name)).with_context(|| name.to_owned());
        self.resident_mib += resident_kib(&read("status")?).context("no VmRSS")? / 1024.0;
        self.cpu_s += ticks(&read("stat")?).context("no times")? / TICKS;
        for child in read(&format!("task/{process}/children"))?.split_whitespace() {
            self.add(host, child.parse()?)?;
        }
        Ok(())
    }
}

fn resident_kib(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// In user mode and in the kernel. The name before them may hold anything, even parentheses.
fn ticks(stat: &str) -> Option<f64> {
    let mut after_name = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, kernel): (f64, f64) = (after_name.next()?.parse().ok()?, after_name.next()?.parse().ok()?);
    Some(user + kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_read_right() {
        let status = "Name:\tworker\nVmHWM:\t   99999 kB\nVmRSS:\t   20480 kB\n";
        assert_eq!(resident_kib(status).map(|kib| kib / 1024.0), Some(20.0));
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 900 0 3 0 150 50 0 0 20 0 5 0 100 1 2";
        assert_eq!(ticks(stat), Some(200.0));
    }
}
