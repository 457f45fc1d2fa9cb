//! A control group per host, seen by the host as the root of its own cgroup namespace: everything that Podman and
//! runc make inside stays below it, and goes with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// The group that holds a host's ordinary processes below its root on cgroup v2, where a group with
/// controllers may not hold processes itself.
const INNER: &str = "init";

/// One mounted hierarchy: cgroup v2, or one controller of v1.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    mount: PathBuf,
    /// `None` for v2, otherwise the mount options that name the controllers.
    v1: Option<String>,
}

/// Makes the group `name` in every hierarchy.
pub(crate) fn create(name: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        let group = hierarchy.mount.join(name);
        let inner = if hierarchy.v1.is_none() { group.join(INNER) } else { group.clone() };
        fs::create_dir_all(&inner).with_context(|| format!("cannot make {}", inner.display()))?;
        // A v1 cpuset starts empty and takes no process before it is filled.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if hierarchy.v1.is_some() && group.join(file).exists() {
                fs::write(group.join(file), fs::read(hierarchy.mount.join(file))?)?;
            }
        }
    }
    Ok(())
}

/// Moves a process (0: this one) into the group `name`.
pub(crate) fn enter(name: &str, pid: i32) -> Result<()> {
    for hierarchy in hierarchies()? {
        let mut group = hierarchy.mount.join(name);
        if hierarchy.v1.is_none() {
            group.push(INNER);
        }
        fs::write(group.join("cgroup.procs"), pid.to_string())
            .with_context(|| format!("cannot move process {pid} into {}", group.display()))?;
    }
    Ok(())
}

/// Removes the group `name` and all below it. Its processes must have been killed; the kernel may take a moment.
pub(crate) fn remove(name: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        let group = hierarchy.mount.join(name);
        let start = Instant::now();
        while let Err(error) = remove_tree(&group) {
            if start.elapsed() > Duration::from_secs(5) {
                return Err(error).with_context(|| format!("cannot remove {}", group.display()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}

/// Makes the caller's group the root of what it sees. For a single-threaded process with its own mount namespace.
pub(crate) fn isolate() -> Result<()> {
    let hierarchies = hierarchies()?;
    unshare(CloneFlags::CLONE_NEWCGROUP).context("cannot make a cgroup namespace")?;
    for Hierarchy { mount: point, v1 } in &hierarchies {
        umount2(point, MntFlags::MNT_DETACH)
            .with_context(|| format!("cannot unmount {}", point.display()))?;
        let kind = if v1.is_some() { "cgroup" } else { "cgroup2" };
        mount(Some(kind), point, Some(kind), MsFlags::empty(), v1.as_deref())
            .with_context(|| format!("cannot mount {}", point.display()))?;
    }
    Ok(())
}

fn hierarchies() -> Result<Vec<Hierarchy>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
    Ok(parse_mounts(&mounts))
}

fn parse_mounts(mounts: &str) -> Vec<Hierarchy> {
    let generic =
        |option: &&str| !matches!(*option, "rw" | "ro" | "nosuid" | "nodev" | "noexec" | "relatime");
    mounts
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let &[_, point, kind, options, ..] = fields.as_slice() else { return None };
            let v1 = match kind {
                "cgroup2" => None,
                "cgroup" => Some(options.split(',').filter(generic).collect::<Vec<_>>()),
                _ => return None,
            };
            // A named hierarchy has no controller, and the kernel wants to hear that.
            let v1 = v1.map(|mut options| {
                options.retain(|option| !option.starts_with("release_agent") && *option != "xattr");
                if options.first().is_some_and(|option| option.starts_with("name=")) {
                    options.insert(0, "none");
                }
                options.join(",")
            });
            Some(Hierarchy { mount: PathBuf::from(point), v1 })
        })
        .collect()
}

fn remove_tree(group: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hybrid_and_unified_machines_are_read() {
        let mounts = "proc /proc proc rw 0 0\n\
            cgroup /sys/fs/cgroup/cpu cgroup rw,nosuid,nodev,relatime,cpu,cpuacct 0 0\n\
            cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,xattr,name=systemd 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime,nsdelegate 0 0\n";
        let found = parse_mounts(mounts);
        let v1: Vec<Option<&str>> = found.iter().map(|hierarchy| hierarchy.v1.as_deref()).collect();
        assert_eq!(v1, [Some("cpu,cpuacct"), Some("none,name=systemd"), None]);
        assert_eq!(found[2].mount, Path::new("/sys/fs/cgroup/unified"));
    }
}
