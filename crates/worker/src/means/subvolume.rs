//! Quotas of btrfs. Podman's driver of that name gives each container a subvolume, a snapshot of its image's. What is
//! limited is what the snapshot has for itself: neither the image nor what other containers wrote counts.
//!
//! Podman refuses to set it (`unknown option size`, in 4.3 and 5), so the worker does, with the program of btrfs-progs.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use protocol::spec::InstanceSpec;
use tokio::process::Command;

use super::{DiskQuota, Means};
use crate::podman::{Error, Podman};

/// For an answer of the file system, which may be busy.
const LIMIT: Duration = Duration::from_secs(30);

/// Whether the file system below `root` counts what subvolumes have; else what to do.
pub(super) async fn counted(root: &Path) -> Result<(), String> {
    let groups = btrfs(&["qgroup", "show", "-f", "--raw"], &root.join("btrfs")).await;
    groups.map_err(|said| {
        let root = root.display();
        format!(
            "btrfs does not count what subvolumes have: use is measured and reported; to have it enforced run `btrfs quota enable {root}` ({said})"
        )
    })
}

/// Limits what the container writes, where that is the worker's to do. Before each start, because nothing else says
/// whether the limit is there: the worker may have died after it made the container, or the quotas are newer than it.
pub(crate) async fn hold(
    podman: &Podman,
    means: &Means,
    spec: &InstanceSpec,
    container: &str,
) -> Result<(), Error> {
    let (Some(mb), Ok(DiskQuota::Btrfs)) = (spec.isolation.disk_mb, &means.disk) else { return Ok(()) };
    let root = podman.root_of(container).await?;
    limit(&root, mb).await.map_err(Error::Unlimited)
}

async fn limit(subvolume: &Path, mb: u32) -> Result<(), String> {
    if !subvolume.is_absolute() || !subvolume.components().any(|part| part.as_os_str() == "subvolumes") {
        return Err(format!("{} is no subvolume of Podman's", subvolume.display()));
    }
    btrfs(&["qgroup", "limit", "-e", &format!("{mb}M")], subvolume).await
}

async fn btrfs(words: &[&str], path: &Path) -> Result<(), String> {
    let mut btrfs = Command::new("btrfs");
    btrfs.args(words).arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = match tokio::time::timeout(LIMIT, btrfs.kill_on_drop(true).output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(format!("cannot run btrfs of btrfs-progs: {error}")),
        Err(_) => return Err("btrfs does not answer".to_owned()),
    };
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().find(|line| line.contains("ERROR")).unwrap_or("btrfs says no").trim().to_owned())
}
