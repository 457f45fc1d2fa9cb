//! Whether a request is dropped while an app is deployed anew and scaled, again and again.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testbed::cluster::Cluster;
use testbed::http::Server;
use testbed::{software, topology};

use super::bench::{at, milli};
use super::hello::{self, wh};
use super::load::{Load, Outcome, Plan};
use super::rollback::write;

const REQUESTS: usize = 50_000;
/// Requests per second.
const RATE: u32 = 200;
/// As many as the app lets wait for it at worst: busybox's httpd loses what comes beyond ten.
const CLIENTS: usize = 8;
const REDEPLOYS: usize = 20;
/// Redeploys before the number of instances changes, and that number.
const SCALES: [(usize, u16); 3] = [(5, 3), (10, 4), (15, 2)];
/// How often the agent of a worker is restarted in the second round.
const RESTART_EVERY: Duration = Duration::from_secs(20);
const APP: &str = "redeploy";

/// One line: what became of the requests, with and without a worker that restarts.
pub(crate) async fn measure(cluster: &Cluster, port: u16) -> Result<Value> {
    let bench = Bench { cluster, port };
    bench.deploy(0).await?;
    bench.wh(&["scale", "2"]).await?;
    let plan = bench.plan().await?;
    let steady = bench.round(&plan, 1).await?;
    let restarted = tokio::select! {
        outcome = bench.round(&plan, 1 + REDEPLOYS) => outcome?,
        error = bench.restart_worker() => return Err(error.expect_err("it never ends by itself")),
    };
    let lost = [&steady, &restarted].map(|outcome| outcome.failed + outcome.reset);
    Ok(json!({
        "bench": "redeploy",
        "case": format!("{REDEPLOYS} redeploys and {} scale changes through two proxies", SCALES.len()),
        "metric": "lost_requests",
        "value": lost.iter().sum::<usize>(),
        "unit": "requests",
        "versus": null,
        "steady": figures(&steady),
        "worker_restarted": figures(&restarted),
        "target": 0,
        "met": lost == [0, 0],
    }))
}

fn figures(outcome: &Outcome) -> Value {
    json!({
        "requests": outcome.requests,
        "failed": outcome.failed,
        "reset": outcome.reset,
        "p50_s": milli(at(&outcome.seconds, 50)),
        "p99_s": milli(at(&outcome.seconds, 99)),
        "slowest_s": milli(at(&outcome.seconds, 100)),
        "first_failures": outcome.told,
    })
}

struct Bench<'a> {
    cluster: &'a Cluster,
    port: u16,
}

impl Bench<'_> {
    fn folder(&self) -> PathBuf {
        self.cluster.state().join(APP)
    }

    /// Deploys a page that says `number`.
    async fn deploy(&self, number: usize) -> Result<()> {
        let folder = self.folder();
        write(&folder, APP, number)?;
        hello::deploy(self.cluster, self.port, &folder).await.map(drop)
    }

    async fn wh(&self, words: &[&str]) -> Result<()> {
        let output = wh(self.cluster, self.port, &self.folder(), words).await?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "wh {} failed: {error}", words.join(" "));
        Ok(())
    }

    async fn plan(&self) -> Result<Plan> {
        let roots = self.cluster.acme_root().await?.to_owned();
        let server = |place: topology::Place| self.cluster.public(place.public, 443, Some(roots.clone()));
        let servers: Vec<Server> =
            topology::PROXIES[..2].iter().copied().map(server).collect::<Result<_>>()?;
        Ok(Plan { host: format!("{APP}.{}", topology::ZONE), servers, clients: CLIENTS, rate: RATE })
    }

    /// All redeploys and scale changes under load, and on until enough was asked.
    async fn round(&self, plan: &Plan, first: usize) -> Result<Outcome> {
        let load = Load::begin(plan);
        for done in 1..=REDEPLOYS {
            self.deploy(first + done).await?;
            for (_, replicas) in SCALES.iter().filter(|(after, _)| *after == done) {
                self.wh(&["scale", &replicas.to_string()]).await?;
            }
        }
        while load.sent() < REQUESTS {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        load.end().await
    }

    /// Kills the agent of a worker again and again; its init starts it after a second.
    async fn restart_worker(&self) -> Result<()> {
        let host = self.cluster.host(topology::W1.name)?;
        loop {
            tokio::time::sleep(RESTART_EVERY).await;
            host.kill_process(software::WORKER)?;
        }
    }
}
