//! What an instance may write to its own disk: the writable layer of its container.

use std::fmt;
use std::fs;

use super::subvolume;
use crate::podman::Storage;

/// Who refuses what is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskQuota {
    /// The file system, told by Podman when it makes the container.
    Xfs,
    /// The file system, told by the worker: each container has a subvolume of its own.
    Btrfs,
}

impl fmt::Display for DiskQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xfs => "project quota of XFS",
            Self::Btrfs => "quota group of btrfs",
        })
    }
}

/// By which of them this host's storage can be limited.
pub(super) async fn quota(storage: &Storage) -> Result<DiskQuota, String> {
    if storage.driver == "btrfs" {
        return subvolume::counted(&storage.root).await.map(|()| DiskQuota::Btrfs);
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    xfs(storage, &mounts).map(|()| DiskQuota::Xfs)
}

/// Podman sets one per container on XFS alone, and refuses to where XFS was mounted without.
fn xfs(storage: &Storage, mounts: &str) -> Result<(), String> {
    let remedy = "use is measured and reported; to have it enforced put Podman's storage on XFS mounted with `pquota`, or on btrfs with Podman's driver `btrfs`";
    if storage.driver != "overlay" {
        return Err(format!(
            "Podman's storage driver {} has no quota per container: {remedy}",
            storage.driver
        ));
    }
    if storage.backing != "xfs" {
        return Err(format!(
            "{} below the driver overlay has no quota that Podman can set: {remedy}",
            storage.backing
        ));
    }
    let root = storage.root.to_string_lossy();
    match options(mounts, &root) {
        Some(options) if options.split(',').any(|option| matches!(option, "prjquota" | "pquota")) => Ok(()),
        _ => Err(format!(
            "{root} is on XFS without project quota: mount it with `pquota`, the root file system by `rootflags=pquota` on the kernel's command line"
        )),
    }
}

/// Of the file system that holds `path`: the longest mount point that leads to it.
fn options<'a>(mounts: &'a str, path: &str) -> Option<&'a str> {
    let holds = |point: &str| {
        path.strip_prefix(point.trim_end_matches('/'))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let of = |line: &'a str| {
        let (mount, file_system) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4).filter(|point| holds(point))?;
        Some((point.len(), file_system.split(' ').nth(2)?))
    };
    mounts.lines().filter_map(of).max_by_key(|(length, _)| *length).map(|(_, options)| options)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 254:1 / /var/lib rw,relatime shared:2 - xfs /dev/vdb rw,attr2,prjquota
31 30 254:2 / /var/lib/containers rw,relatime shared:3 - xfs /dev/vdc rw,attr2,noquota
";

    fn at(root: &str) -> Storage {
        Storage { driver: "overlay".to_owned(), backing: "xfs".to_owned(), root: root.into() }
    }

    #[test]
    fn the_file_system_under_the_storage_decides() {
        assert_eq!(xfs(&at("/var/lib/other"), MOUNTS), Ok(()));
        let why = xfs(&at("/var/lib/containers/storage"), MOUNTS).expect_err("no quota");
        assert!(why.contains("pquota"), "{why}");
        assert_eq!(options(MOUNTS, "/var/library"), Some("rw"), "not a folder of /var/lib");
        for (driver, backing, word) in [("overlay", "extfs", "extfs"), ("vfs", "xfs", "driver vfs")] {
            let other =
                Storage { driver: driver.to_owned(), backing: backing.to_owned(), ..at("/var/lib/other") };
            let why = xfs(&other, MOUNTS).expect_err(word);
            assert!(why.contains(word) && why.contains("btrfs"), "{why}");
        }
    }
}
