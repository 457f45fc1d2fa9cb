//! What was served, in a file: a line of JSON for each app, as often as there is anything.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use ingress::Gateway;
use protocol::traffic::AppTraffic;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::warn;

const EVERY: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Line<'a> {
    at: DateTime<Utc>,
    #[serde(flatten)]
    traffic: &'a AppTraffic,
}

/// Writes until `stop`, and then what came last. What cannot be written is told and lost.
pub(super) async fn keep(
    gateway: Arc<Gateway>,
    path: PathBuf,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let more = stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some();
        let (gateway, to) = (Arc::clone(&gateway), path.clone());
        let written = tokio::task::spawn_blocking(move || write(&gateway, &to)).await?;
        if let Err(error) = written {
            warn!(error = format!("{error:#}"), "traffic is not written");
        }
        if !more {
            return Ok(());
        }
    }
}

/// Opened each time, so that the file may be renamed away.
fn write(gateway: &Gateway, path: &Path) -> anyhow::Result<()> {
    let (at, apps) = (Utc::now(), gateway.traffic());
    if apps.is_empty() {
        return Ok(());
    }
    let mut lines = Vec::new();
    for traffic in &apps {
        serde_json::to_writer(&mut lines, &Line { at, traffic })?;
        lines.push(b'\n');
    }
    let file = OpenOptions::new().create(true).append(true).open(path);
    let written = file.and_then(|mut file| file.write_all(&lines));
    written.with_context(|| format!("--traffic {}", path.display()))
}
