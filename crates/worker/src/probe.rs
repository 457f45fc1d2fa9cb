//! What this host can do for containers, found out once, when the worker starts.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use protocol::report::{ContainerStorage, DiskQuota, HostProbe};
use tokio::process::Command;
use tracing::warn;

use crate::podman::Podman;

/// For `nft` to answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Looks at the host. What cannot be found out counts as not there.
pub async fn host(podman: &Podman) -> HostProbe {
    let graph_root = match podman.graph_root().await {
        Ok(path) => Some(path.to_owned()),
        Err(error) => {
            warn!(%error, "Podman does not say where it keeps containers");
            None
        }
    };
    let nftables = nftables().await;
    let look = move || look(Path::new("/"), graph_root.as_deref());
    // A panic in there is a bug of ours, which the worker survives.
    let found = tokio::task::spawn_blocking(look).await.unwrap_or_default();
    HostProbe { nftables, ..found }
}

/// `nft list tables` works: the program is there, the kernel has it, and this process may.
async fn nftables() -> bool {
    let mut nft = Command::new("nft");
    nft.args(["list", "tables"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let ended = tokio::time::timeout(LIMIT, nft.kill_on_drop(true).status()).await;
    matches!(ended, Ok(Ok(status)) if status.success())
}

/// Reads the files of the host whose root is `root`.
fn look(root: &Path, graph_root: Option<&Path>) -> HostProbe {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let mounts = mounts(&read("proc/self/mountinfo"));
    let (cgroup_version, cgroup_controllers) = cgroups(&mounts, &read("sys/fs/cgroup/cgroup.controllers"));
    HostProbe {
        cgroup_version,
        cgroup_controllers,
        user_namespaces: root.join("proc/self/ns/user").exists()
            && read("proc/sys/user/max_user_namespaces").trim().parse().is_ok_and(|most: u64| most > 0),
        nftables: false,
        storage: graph_root.and_then(|path| storage(&mounts, path)),
        gpus: gpus(root),
    }
}

/// A line of `mountinfo` (proc(5)).
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    kind: String,
    /// Of the mount and of the file system.
    options: Vec<String>,
}

fn mounts(mountinfo: &str) -> Vec<Mount> {
    mountinfo.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (place, what) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(4);
    let (point, own) = (place.next()?, place.next()?);
    let mut what = what.split(' ');
    let (kind, options) = (what.next()?, what.nth(1).unwrap_or_default());
    let options = own.split(',').chain(options.split(',')).map(str::to_owned).collect();
    Some(Mount { point: PathBuf::from(unescaped(point)), kind: kind.to_owned(), options })
}

/// The kernel writes spaces, tabs, line ends and backslashes as `\040`.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (written, meant)| text.replace(written, meant))
}

fn cgroups(mounts: &[Mount], unified: &str) -> (Option<u32>, Vec<String>) {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    if mounts.iter().any(|mount| mount.kind == "cgroup2" && mount.point == Path::new("/sys/fs/cgroup")) {
        return (Some(2), words(unified));
    }
    let first: Vec<&Mount> = mounts.iter().filter(|mount| mount.kind == "cgroup").collect();
    if first.is_empty() {
        return (None, Vec::new());
    }
    let known = ["cpu", "memory", "pids", "io", "blkio"];
    let has = |word: &&str| first.iter().any(|mount| mount.options.iter().any(|option| option == word));
    (Some(1), known.into_iter().filter(has).map(str::to_owned).collect())
}

/// The file system of `path`: of several mounts on one point the last one hides the others.
fn storage(mounts: &[Mount], path: &Path) -> Option<ContainerStorage> {
    let holds = |mount: &&Mount| path.starts_with(&mount.point);
    let mount = mounts.iter().filter(holds).max_by_key(|mount| mount.point.components().count())?;
    let has = |words: &[&str]| mount.options.iter().any(|option| words.contains(&option.as_str()));
    let projects = has(&["prjquota", "pquota"]);
    let quota = match mount.kind.as_str() {
        "btrfs" => DiskQuota::Subvolumes,
        "xfs" if projects => DiskQuota::Projects,
        "xfs" => DiskQuota::Unmounted,
        _ => DiskQuota::None,
    };
    Some(ContainerStorage { path: path.display().to_string(), file_system: mount.kind.clone(), quota })
}

/// Of the cards that the kernel has a driver for. Numbers are those of the PCI list.
fn gpus(root: &Path) -> Vec<String> {
    let cards = std::fs::read_dir(root.join("sys/class/drm")).into_iter().flatten().flatten();
    let vendor = |card: std::fs::DirEntry| std::fs::read_to_string(card.path().join("device/vendor")).ok();
    let mut gpus: Vec<String> = cards
        .filter_map(vendor)
        .filter_map(|vendor| match vendor.trim() {
            "0x10de" => Some("nvidia"),
            "0x1002" => Some("amd"),
            "0x8086" => Some("intel"),
            _ => None,
        })
        .map(str::to_owned)
        .collect();
    // NVIDIA's own driver may come without a display.
    if root.join("proc/driver/nvidia/version").exists() {
        gpus.push("nvidia".to_owned());
    }
    gpus.sort_unstable();
    gpus.dedup();
    gpus
}

#[cfg(test)]
mod tests;
