//! Control groups, with which the kernel limits memory, processor time and processes.

use std::fs;
use std::path::Path;

/// The kernel's control groups, in which limits are asked for differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cgroups {
    V1,
    V2,
}

impl Cgroups {
    pub(crate) fn of_this_host() -> Self {
        let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        if unified { Self::V2 } else { Self::V1 }
    }
}

/// What of them this kernel has: by what, or why not.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) memory: Result<String, String>,
    pub(super) swap: Result<String, String>,
    pub(super) cpu: Result<String, String>,
    pub(super) pids: Result<String, String>,
}

impl Limits {
    /// Of the machine whose files begin at `root`.
    pub(super) fn read(cgroups: Cgroups, root: &Path) -> Self {
        let groups = root.join("sys/fs/cgroup");
        let all = fs::read_to_string(groups.join("cgroup.controllers")).unwrap_or_default();
        let name = match cgroups {
            Cgroups::V1 => "cgroups v1",
            Cgroups::V2 => "cgroups v2",
        };
        let has = |controller: &str| match cgroups {
            Cgroups::V1 => groups.join(controller).is_dir(),
            Cgroups::V2 => all.split_whitespace().any(|other| other == controller),
        };
        let of = |controller: &str| {
            if has(controller) {
                Ok(name.to_owned())
            } else {
                Err(format!(
                    "the kernel has no controller `{controller}` of {name}: boot it with `cgroup_enable={controller}` and without `cgroup_disable`"
                ))
            }
        };
        let memory = of("memory");
        let swap =
            match (&memory, cgroups) {
                (Err(why), _) => Err(why.clone()),
                _ if !has_swap(root) => Ok("no swap on this host".to_owned()),
                (Ok(_), Cgroups::V1) if groups.join("memory/memory.memsw.limit_in_bytes").exists() => {
                    of("memory")
                }
                (Ok(_), Cgroups::V2) if any_child_has(&groups, "memory.swap.max") => of("memory"),
                _ => Err("the kernel does not count swap: boot it with `swapaccount=1`, or switch swap off"
                    .to_owned()),
            };
        Self { swap, memory, cpu: of("cpu"), pids: of("pids") }
    }
}

/// The first line of the file is a heading.
fn has_swap(root: &Path) -> bool {
    fs::read_to_string(root.join("proc/swaps")).is_ok_and(|text| text.lines().nth(1).is_some())
}

/// The group of everything has no limits, so no such file.
fn any_child_has(groups: &Path, file: &str) -> bool {
    let children = fs::read_dir(groups).into_iter().flatten().filter_map(Result::ok);
    children.map(|child| child.path().join(file)).any(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("folder");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            fs::write(path, text).expect("written");
        }
        root
    }

    const SWAP: (&str, &str) =
        ("proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 8 0 -2\n");

    #[test]
    fn a_controller_that_the_kernel_lacks_is_named() {
        let new = machine(&[("sys/fs/cgroup/cgroup.controllers", "cpuset cpu memory\n")]);
        let limits = Limits::read(Cgroups::V2, new.path());
        assert_eq!(limits.cpu.as_deref(), Ok("cgroups v2"));
        assert!(limits.pids.is_err_and(|why| why.contains("`pids` of cgroups v2")));
        let old = machine(&[("sys/fs/cgroup/pids/tasks", "")]);
        let limits = Limits::read(Cgroups::V1, old.path());
        assert_eq!(limits.pids.as_deref(), Ok("cgroups v1"));
        assert!(limits.memory.is_err() && limits.swap.is_err() && limits.cpu.is_err());
    }

    #[test]
    fn swap_is_limited_where_it_is_counted_or_absent() {
        let controllers = ("sys/fs/cgroup/cgroup.controllers", "memory\n");
        let counted = ("sys/fs/cgroup/system.slice/memory.swap.max", "max\n");
        let swap = |files: &[(&str, &str)]| Limits::read(Cgroups::V2, machine(files).path()).swap;
        assert_eq!(swap(&[controllers]).as_deref(), Ok("no swap on this host"));
        assert!(swap(&[controllers, SWAP]).is_err());
        assert_eq!(swap(&[controllers, SWAP, counted]).as_deref(), Ok("cgroups v2"));
    }
}
