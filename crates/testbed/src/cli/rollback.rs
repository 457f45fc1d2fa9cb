//! How long going back takes: from `wh rollback` to the first page of the older release.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use testbed::cluster::Cluster;
use testbed::report::until;
use testbed::topology;

use super::hello::{self, wh};

/// Times that the app goes back and forth between its two releases.
const ROUNDS: usize = 20;
const LIMIT: Duration = Duration::from_mins(1);
const APP: &str = "rollback";

/// Seconds of each rollback, shortest first.
pub(crate) async fn measure(cluster: &Cluster, port: u16) -> Result<Vec<f64>> {
    let folder = cluster.state().join("rollback");
    for release in 1..=2 {
        write(&folder, APP, release)?;
        hello::deploy(cluster, port, &folder).await?;
        serves(cluster, release).await?;
    }
    let mut seconds = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        // Release 2 serves first.
        let release = 1 + round % 2;
        ensure!(page(cluster).await? != release.to_string(), "release {release} serves already");
        let start = Instant::now();
        let (deployment, served) =
            tokio::try_join!(roll_back(cluster, port, &folder, release), serves(cluster, release))?;
        seconds.push((served - start).as_secs_f64());
        // The other release has to be gone before anyone can go back to it.
        ended(cluster, &deployment).await?;
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds)
}

/// A page that says which release it is.
pub(super) fn write(folder: &Path, app: &str, release: usize) -> Result<()> {
    fs::create_dir_all(folder.join("www"))?;
    let files = [
        ("www/index.html", release.to_string()),
        (
            "Containerfile",
            "FROM docker.io/library/busybox:stable\nCOPY www /www\nUSER nobody\n\
             CMD [\"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]\n"
                .to_owned(),
        ),
        (
            "wisehosting.toml",
            format!("app = \"{app}\"\n[run]\nport = 8080\n[probe]\ntype = \"http\"\npath = \"/\"\n"),
        ),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Runs the command as a user would; the id of its deployment.
async fn roll_back(cluster: &Cluster, port: u16, folder: &Path, release: usize) -> Result<String> {
    let words = ["rollback", &release.to_string(), "--detach", "--json"];
    let output = wh(cluster, port, folder, &words).await?;
    ensure!(output.status.success(), "wh rollback failed: {}", String::from_utf8_lossy(&output.stderr));
    let deployment: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    Ok(deployment["id"].as_str().context("the deployment has no id")?.to_owned())
}

/// What the app answers.
async fn page(cluster: &Cluster) -> Result<String> {
    let answer = cluster.https(&format!("{APP}.{}", topology::ZONE), "/").await?;
    ensure!(answer.status == 200, "it answers {}", answer.status);
    Ok(answer.text())
}

/// When the release answered for the first time.
async fn serves(cluster: &Cluster, release: usize) -> Result<Instant> {
    let (start, wanted) = (Instant::now(), release.to_string());
    while start.elapsed() < LIMIT {
        if page(cluster).await.is_ok_and(|page| page == wanted) {
            return Ok(Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bail!("release {release} does not serve within {} s", LIMIT.as_secs())
}

async fn ended(cluster: &Cluster, deployment: &str) -> Result<()> {
    let (api, path) = (cluster.api()?, format!("/deployments/{deployment}"));
    until("the end of the rollback", LIMIT, || async {
        let deployment = api.get(&path).await?;
        ensure!(deployment["state"] != "failed", "it failed: {}", deployment["failure"]);
        Ok((!deployment["finished_at"].is_null()).then_some(()))
    })
    .await
}
