//! Deploying an app as a user would: with `wh`, from the app's folder.

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::cluster::Cluster;
use testbed::http::Answer;
use testbed::report::until;
use tokio::process::Command;

/// What a first deployment looks like from outside.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) seconds: f64,
    pub(crate) answer: Answer,
}

/// Runs `wh deploy` in `folder` against the dashboard on `port`, then waits until the app answers over HTTPS.
pub(crate) async fn deploy(cluster: &Cluster, port: u16, folder: &Path) -> Result<Served> {
    let start = Instant::now();
    let output = wh(cluster, port, folder, &["deploy"]).await?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "wh deploy failed:\n{out}{err}");
    let name = app_name(folder)?;
    let app = cluster.api()?.get(&format!("/apps/{name}")).await?;
    let hostname = app["hostname"].as_str().context("the app has no host name")?.to_owned();
    let answer = until("the app over HTTPS", Duration::from_mins(1), || async {
        let answer = cluster.https(&hostname, "/").await?;
        ensure!(answer.status == 200, "it answers {}", answer.status);
        Ok(Some(answer))
    });
    let answer = answer.await?;
    Ok(Served { seconds: start.elapsed().as_secs_f64(), answer })
}

/// Runs `wh` in `folder` as a user would.
pub(crate) async fn wh(cluster: &Cluster, port: u16, folder: &Path, words: &[&str]) -> Result<Output> {
    let output = Command::new(cluster.programs().join("wh"))
        .args(words)
        .current_dir(folder)
        .env("WH_URL", format!("http://127.0.0.1:{port}"))
        .env("WH_TOKEN", &cluster.login()?.token)
        .kill_on_drop(true)
        .output();
    let limit = Duration::from_mins(5);
    let output = tokio::time::timeout(limit, output).await;
    let output = output.with_context(|| format!("wh {} takes over 5 minutes", words.join(" ")))?;
    output.with_context(|| format!("cannot run wh in {}", folder.display()))
}

/// The app that the project file names.
fn app_name(folder: &Path) -> Result<String> {
    let path = folder.join("wisehosting.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let project: toml::Table = text.parse().with_context(|| path.display().to_string())?;
    Ok(project.get("app").and_then(toml::Value::as_str).context("the project file names no app")?.to_owned())
}

impl Served {
    /// One line for scripts.
    pub(crate) fn json(&self, boot_s: f64) -> Value {
        serde_json::json!({
            "boot_s": round(boot_s),
            "deploy_s": round(self.seconds),
            "https_status": self.answer.status,
            "certificate_issuer": self.answer.issuer,
        })
    }
}

pub(crate) fn round(seconds: f64) -> f64 {
    (seconds * 100.0).round() / 100.0
}
