//! What this host can do for containers, found out once, when the worker starts.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use protocol::report::HostProbe;
use tokio::process::Command;

/// For `nft` to answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Looks at the host. What cannot be found out counts as not there.
pub async fn host() -> HostProbe {
    let nftables = nftables().await;
    // A panic in there is a bug of ours, which the worker survives.
    let found = tokio::task::spawn_blocking(|| look(Path::new("/"))).await.unwrap_or_default();
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
fn look(root: &Path) -> HostProbe {
    let mounts = std::fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
    HostProbe { cgroup_version: cgroup_version(&mounts), nftables: false, gpus: gpus(root) }
}

/// By the lines of `mountinfo` (proc(5)).
fn cgroup_version(mounts: &str) -> Option<u32> {
    let mounted = |line: &str| {
        let (place, what) = line.split_once(" - ")?;
        Some((place.split(' ').nth(4)?.to_owned(), what.split(' ').next()?.to_owned()))
    };
    let all: Vec<(String, String)> = mounts.lines().filter_map(mounted).collect();
    if all.iter().any(|(point, kind)| kind == "cgroup2" && point == "/sys/fs/cgroup") {
        return Some(2);
    }
    all.iter().any(|(_, kind)| kind == "cgroup").then_some(1)
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
