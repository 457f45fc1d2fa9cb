//! Claiming and completing builds: our code beside pgbench, which runs the same statements on the same database in the
//! same run, with a long history kept. Prints one line of JSON. `scripts/bench queue` brings the Postgres.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the answer of the command")]

mod pgbench;
mod world;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use control_plane::deployments::store::progress;
use control_plane::jobs::store::{self, Claimed};
use protocol::identity::AgentKind;
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::task::JoinSet;

const WORKERS: [u32; 3] = [1, 4, 16];
/// Finished jobs that are kept.
const HISTORY: i64 = 100_000;
/// Jobs of one measurement.
const JOBS: u32 = 2_000;
/// Measurements of each side, one after the other, so that a slow moment of the machine meets both.
const ROUNDS: u32 = 3;
/// Least share of pgbench's throughput.
const TARGET: f64 = 0.5;

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL is not set: run scripts/bench queue")?;
    let log = std::env::var_os("POSTGRES_LOG").context("POSTGRES_LOG is not set: run scripts/bench queue")?;
    let connect: PgConnectOptions = url.parse()?;
    // Statements as a replica of ours sends them, on as many connections as there are workers.
    let pool = PgPoolOptions::new().max_connections(20).connect_with(connect).await?;
    control_plane::db::migrate(&pool).await?;
    world::make(&pool, HISTORY).await?;
    world::queue(&pool, 1).await?;
    let script = pgbench::Script::record(&pool, &PathBuf::from(log)).await?;
    let (mut by_workers, mut least) = (serde_json::Map::new(), f64::INFINITY);
    for workers in WORKERS {
        let (mut ours, mut theirs) = (0.0, 0.0);
        for _ in 0..ROUNDS {
            world::queue(&pool, JOBS).await?;
            ours += measure(&pool, workers).await?;
            // Some to spare: pgbench gives up when a claim finds nothing.
            world::queue(&pool, JOBS + workers).await?;
            theirs += script.run(&url, workers, JOBS).await?;
        }
        let (ours, theirs) = (ours / f64::from(ROUNDS), theirs / f64::from(ROUNDS));
        eprintln!("  {workers:2} workers: {ours:.0} jobs/s, pgbench {theirs:.0}");
        least = least.min(ours / theirs);
        let figures = json!({ "jobs_s": ours.round(), "pgbench_jobs_s": theirs.round(), "ratio": round(ours / theirs) });
        by_workers.insert(workers.to_string(), figures);
    }
    println!("{}", line(least, by_workers.into()));
    ensure!(least >= TARGET, "less than {TARGET} of pgbench");
    Ok(())
}

fn line(least: f64, by_workers: Value) -> Value {
    json!({
        "bench": "queue",
        "case": format!("claim and complete, {HISTORY} finished jobs kept"),
        "metric": "least_ratio",
        "value": round(least),
        "unit": "ratio",
        "versus": "pgbench -M prepared, the same statements",
        "workers": by_workers,
        "target": TARGET,
        "met": least >= TARGET,
    })
}

fn round(ratio: f64) -> f64 {
    (ratio * 100.0).round() / 100.0
}

/// Jobs per second until all that wait are done.
async fn measure(pool: &PgPool, workers: u32) -> Result<f64> {
    let (start, done) = (Instant::now(), std::sync::Arc::new(AtomicU32::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..workers {
        let (pool, done) = (pool.clone(), done.clone());
        tasks.spawn(async move {
            while one_job(&pool).await?.is_some() {
                done.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let (took, done) = (start.elapsed(), done.load(Ordering::Relaxed));
    ensure!(done == JOBS, "{done} of {JOBS} jobs were done");
    Ok(f64::from(done) / took.as_secs_f64())
}

/// What the scheduler does for a job, and what the hub does when the job's worker has stopped it.
async fn one_job(pool: &PgPool) -> Result<Option<Claimed>> {
    let mut tx = pool.begin().await?;
    // A scheduler looks once for all jobs that are queued; here each job finds another state of the workers.
    let mut free = store::Free::of(AgentKind::Worker);
    let Some(claimed) = store::claim(&mut tx, &mut free).await? else { return Ok(None) };
    tx.commit().await?;
    let mut tx = pool.begin().await?;
    let job = store::lock_running(&mut tx, claimed.id, claimed.node).await?.context("it does not run")?;
    store::finish(&mut tx, claimed.id, "cancelled", None).await?;
    progress::cancelled(&mut tx, job.deployment_id.context("it is no build")?).await?;
    tx.commit().await?;
    Ok(Some(claimed))
}
