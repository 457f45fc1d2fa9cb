//! What instances have written to their own disks: the writable layers of their containers. Measured seldom, because
//! every file is looked at, and one after the other. Where the host cannot refuse what is too much, it is at least told.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use protocol::report::OverDisk;
use protocol::spec::{InstanceSpec, WorkerSpec};
use tokio::process::Command;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::instances::Observer;
use crate::podman::Podman;

const EVERY: Duration = Duration::from_mins(1);
/// Rounds between two looks at an instance without a limit.
const SELDOM: u64 = 10;
/// For one instance. An app with millions of files is not measured.
const LIMIT: Duration = Duration::from_secs(30);
const MIB: u64 = 1024 * 1024;

/// Bytes by container, as measured last.
#[derive(Debug, Clone, Default)]
pub struct DiskUse(Arc<Mutex<HashMap<String, u64>>>);

impl DiskUse {
    pub(crate) fn of(&self, container: &str) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(container).copied()
    }

    /// Measures until `stop`.
    pub async fn measure(
        self,
        podman: Podman,
        observer: Observer,
        spec: watch::Receiver<Arc<WorkerSpec>>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        for round in 0_u64.. {
            let wanted = spec.borrow().clone();
            let rounds = self.round(&podman, &observer, &wanted, round.is_multiple_of(SELDOM));
            tokio::select! {
                () = rounds => {}
                () = stop.cancelled() => return Ok(()),
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
        Ok(())
    }

    async fn round(&self, podman: &Podman, observer: &Observer, spec: &WorkerSpec, all: bool) {
        let live = observer.live();
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|container, _| live.contains_key(container));
        for (container, id) in live {
            let Some(wanted) = spec.instances.iter().find(|wanted| wanted.id == id) else { continue };
            if wanted.isolation.disk_mb.is_none() && !all && self.of(&container).is_some() {
                continue;
            }
            match measured(podman, wanted, &container).await {
                Ok(bytes) => {
                    self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(container, bytes);
                    observer.note_disk(id, over(wanted, bytes));
                }
                // It has just ended, or has too many files.
                Err(error) => {
                    debug!(instance.id = %id, error = format!("{error:#}"), "its disk is not measured");
                }
            }
        }
    }
}

fn over(spec: &InstanceSpec, used_bytes: u64) -> Option<OverDisk> {
    let limit_mb = spec.isolation.disk_mb?;
    (used_bytes > u64::from(limit_mb) * MIB).then_some(OverDisk { used_bytes, limit_mb })
}

async fn measured(podman: &Podman, spec: &InstanceSpec, container: &str) -> anyhow::Result<u64> {
    if spec.isolation.read_only {
        return Ok(0);
    }
    let found = podman.inspect(container).await?;
    match found.graph_driver.data.get("UpperDir") {
        Some(folder) => bytes_in(Path::new(folder)).await,
        // Drivers other than overlay have no folder with what was written alone.
        None => Ok(podman.written_by(container).await?),
    }
}

/// `du` follows no links, counts a file with two names once, and is not misled by an app that moves folders meanwhile.
async fn bytes_in(folder: &Path) -> anyhow::Result<u64> {
    anyhow::ensure!(folder.is_absolute(), "the writable layer has no absolute path");
    let mut du = Command::new("du");
    du.args(["--summarize", "--one-file-system", "--block-size=1", "--"]).arg(folder);
    du.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    // It complains of what vanishes while it looks, and is right about the rest.
    let output = tokio::time::timeout(LIMIT, du.output()).await.context("it has too many files")??;
    let said = String::from_utf8_lossy(&output.stdout);
    said.split_whitespace().next().and_then(|bytes| bytes.parse().ok()).context("du says no number")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instances::samples::spec;

    #[tokio::test]
    async fn what_is_written_is_counted_once_and_links_lead_nowhere() {
        let folder = tempfile::tempdir().expect("folder");
        let outside = tempfile::tempdir().expect("folder");
        std::fs::write(outside.path().join("large"), vec![1; 3 << 20]).expect("written");
        let empty = bytes_in(folder.path()).await.expect("bytes");
        std::fs::write(folder.path().join("one"), vec![1; 1 << 20]).expect("written");
        std::fs::hard_link(folder.path().join("one"), folder.path().join("two")).expect("link");
        std::os::unix::fs::symlink(outside.path(), folder.path().join("away")).expect("link");
        let bytes = bytes_in(folder.path()).await.expect("bytes") - empty;
        assert!((1 << 20..2 << 20).contains(&bytes), "{bytes}");
        assert!(bytes_in(&folder.path().join("gone")).await.is_err());
    }

    #[test]
    fn more_than_the_limit_is_told_and_no_limit_is_never_reached() {
        let mut spec = spec("a", 1);
        assert_eq!(over(&spec, u64::MAX), None);
        spec.isolation.disk_mb = Some(2);
        assert_eq!(over(&spec, 2 * MIB), None);
        assert_eq!(over(&spec, 2 * MIB + 1), Some(OverDisk { used_bytes: 2 * MIB + 1, limit_mb: 2 }));
    }
}
