//! `scripts/bench fleet`: one control plane, and as many agents and apps as a large fleet has. One JSON line per size.
//! `scripts/bench footprint`: the same with few of both, and what the control plane holds while nothing happens.
//!
//! The control plane and Postgres are real, and so is everything between an agent and the control plane: joining,
//! signing in, the socket, specs, jobs, reports. Only the containers are not: an agent says at once that what it was told
//! to run is healthy.

mod agent;
mod fleet;
mod plane;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use serde_json::{Value, json};
use testbed::report::Progress;

use fleet::Fleet;
use plane::Plane;
use usage::Usage;

/// Instances whose placement is timed.
const PLACED: usize = 1_000;
/// How long the fleet is watched while nothing changes: every agent says all that it says at least once.
const STEADY: Duration = Duration::from_secs(65);
/// Of the smallest fleet, whose control plane is to be small too.
const FEW_AGENTS: usize = 10;
const FEW_APPS: usize = 200;
/// For the work of a round of heartbeats to be done.
const ROUND: Duration = Duration::from_secs(5);
/// Rounds whose mean is told: one of a small fleet costs less than everything else does more or less.
const ROUNDS: u32 = 5;

#[derive(Debug, Parser)]
struct Arguments {
    /// `wisehosting-control-plane`, in the release profile.
    #[arg(long, value_name = "FILE")]
    control_plane: PathBuf,
    /// An empty database.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database: String,
    /// The process of Postgres.
    #[arg(long, value_name = "PID")]
    postgres: u32,
    /// Agents of the larger fleet; the smaller one has a tenth.
    #[arg(long, default_value_t = 1_000)]
    agents: usize,
    /// Apps of the larger fleet, each with one instance.
    #[arg(long, default_value_t = 10_000)]
    apps: usize,
    /// Only ten agents and 200 apps: what the control plane takes while nothing happens.
    #[arg(long)]
    footprint: bool,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the answer of the command")]
#[tokio::main]
async fn main() -> ExitCode {
    match measure(&Arguments::parse()).await {
        Ok(lines) => {
            for line in lines {
                println!("{line}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> Result<Vec<Value>> {
    daemon::crypto::install();
    let folder = tempfile::tempdir()?;
    let plane = Plane::start(arguments, folder.path()).await?;
    let mut fleet = Fleet::new(&plane);
    if arguments.footprint {
        let few = stage(&plane, &mut fleet, FEW_AGENTS, FEW_APPS).await?;
        fleet.disconnect().await;
        return Ok(vec![few.footprint()]);
    }
    let small = stage(&plane, &mut fleet, arguments.agents / 10, arguments.apps / 10).await?;
    let large = stage(&plane, &mut fleet, arguments.agents, arguments.apps).await?;
    fleet.disconnect().await;
    let mut lines = vec![small.json(), large.json()];
    lines.extend(growth(&small, &large));
    Ok(lines)
}

/// What one size of the fleet costs.
struct Figures {
    agents: usize,
    apps: usize,
    placed: usize,
    place_s: f64,
    connect_s: f64,
    /// Shares of one core.
    plane_steady: f64,
    database_steady: f64,
    /// Seconds of CPU, of the control plane and the database together.
    round_cpu_s: f64,
    resident_mib: f64,
}

impl Figures {
    fn json(&self) -> Value {
        json!({
            "bench": "fleet", "agents": self.agents, "apps": self.apps,
            "connect_s": round(self.connect_s),
            "place_s": round(self.place_s), "placed": self.placed,
            "steady_core": round(self.plane_steady), "steady_core_postgres": round(self.database_steady),
            "heartbeat_round_cpu_s": round(self.round_cpu_s),
            "resident_mib": round(self.resident_mib),
            "targets": { "connect_s": 60, "steady_core": 0.5 },
            "ok": self.connect_s < 60.0 && self.plane_steady < 0.5,
        })
    }

    fn footprint(&self) -> Value {
        json!({
            "bench": "footprint", "case": "control plane, idle", "agents": self.agents, "apps": self.apps,
            "metric": "resident_mib", "value": round(self.resident_mib), "unit": "MiB", "target": 150,
            "core": round(self.plane_steady), "target_core": 0.02, "core_postgres": round(self.database_steady),
            "met": self.resident_mib <= 150.0 && self.plane_steady <= 0.02,
        })
    }
}

/// At most linear: ten times the fleet costs at most ten times as much.
fn growth(small: &Figures, large: &Figures) -> [Value; 2] {
    let line = |what: &str, small: f64, large: f64, times: f64| {
        let ratio = large / small;
        json!({ "bench": "fleet", "growth_of": what, "ratio": round(ratio), "target": times, "ok": ratio <= times })
    };
    #[expect(clippy::cast_precision_loss, reason = "counts of one measurement")]
    let times = large.agents as f64 / small.agents as f64;
    [
        line(
            "steady_core",
            small.plane_steady + small.database_steady,
            large.plane_steady + large.database_steady,
            times,
        ),
        line("heartbeat_round_cpu_s", small.round_cpu_s, large.round_cpu_s, times),
    ]
}

async fn stage(plane: &Plane, fleet: &mut Fleet<'_>, agents: usize, apps: usize) -> Result<Figures> {
    let progress = Progress::loud();
    progress.step(&format!("{agents} agents join"), fleet.join(agents)).await?;
    progress.step("they connect", fleet.connect()).await?;
    let placed = PLACED.min(apps / 2);
    let before = apps - placed;
    progress.step(&format!("{before} apps are deployed"), fleet.deploy(before)).await?;
    let began = Instant::now();
    progress.step(&format!("{placed} more"), fleet.deploy(apps)).await?;
    let place_s = began.elapsed().as_secs_f64();
    fleet.disconnect().await;
    let began = Instant::now();
    progress.step("all agents connect again", fleet.connect()).await?;
    let connect_s = began.elapsed().as_secs_f64();
    progress.step("every deployment is done", fleet.settled()).await?;
    let steady = progress.step("nothing changes", steady(plane, STEADY)).await?;
    let round_cpu_s = progress.step("a round of heartbeats", heartbeats(plane, fleet)).await?;
    Ok(Figures {
        agents,
        apps,
        placed,
        place_s,
        connect_s,
        plane_steady: steady.plane_s / STEADY.as_secs_f64(),
        database_steady: steady.database_s / STEADY.as_secs_f64(),
        round_cpu_s,
        resident_mib: plane.usage()?.resident_mib,
    })
}

/// What is used while the fleet only says what it always says.
async fn steady(plane: &Plane, time: Duration) -> Result<Usage> {
    let before = plane.usage()?;
    tokio::time::sleep(time).await;
    Ok(plane.usage()?.since(&before))
}

/// Seconds of CPU that one heartbeat of every agent takes beyond what is used anyway.
async fn heartbeats(plane: &Plane, fleet: &Fleet<'_>) -> Result<f64> {
    let idle = steady(plane, ROUND * ROUNDS).await?;
    let before = plane.usage()?;
    for _ in 0..ROUNDS {
        fleet.beat().await;
        tokio::time::sleep(ROUND).await;
    }
    let used = plane.usage()?.since(&before);
    Ok(((used.both_s() - idle.both_s()) / f64::from(ROUNDS)).max(0.01))
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
