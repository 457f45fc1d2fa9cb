//! What somebody changed of a container that runs: its limits, which its control group tells, and its networks. Pure but for
//! [`Holds::read`].

use std::fs;
use std::path::{Path, PathBuf};

use protocol::spec::{InstanceSpec, Resources};

use crate::means::Cgroups;
use crate::podman::Listed;

/// What is not as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Drift {
    /// Can be set again while it runs.
    Limits(String),
    /// Only another container is as it should be.
    Beyond(String),
}

/// Limits are rounded on their way to the kernel: memory to pages, processor time to hundredths of a core by systemd.
const PAGE: u64 = 64 * 1024;
const HUNDREDTH: u64 = 10;

/// The limits that a control group has; `None` where its kernel does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Holds {
    memory_bytes: Option<u64>,
    cpu_millis: Option<u64>,
    pids: Option<u64>,
}

/// The kernel's words for none.
const UNLIMITED: [&str; 2] = ["max", "-1"];

impl Holds {
    /// Of the container with that main process, on the machine whose files begin at `root`.
    pub(super) fn read(root: &Path, cgroups: Cgroups, listed: &Listed) -> Self {
        let text = fs::read_to_string(root.join(format!("proc/{}/cgroup", listed.pid))).unwrap_or_default();
        let groups = root.join("sys/fs/cgroup");
        let file = |controller: &str, name: &str| {
            let path = group(&groups, cgroups, controller, &text, &listed.id)?.join(name);
            fs::read_to_string(path).ok()
        };
        let number = |text: String| {
            let text = text.trim();
            if UNLIMITED.contains(&text) { Some(u64::MAX) } else { text.parse().ok() }
        };
        match cgroups {
            Cgroups::V1 => {
                let quota = file("cpu", "cpu.cfs_quota_us").and_then(number);
                let period = file("cpu", "cpu.cfs_period_us").and_then(number);
                Self {
                    memory_bytes: file("memory", "memory.limit_in_bytes").and_then(number),
                    cpu_millis: quota.zip(period).and_then(|(quota, period)| millis(quota, period)),
                    pids: file("pids", "pids.max").and_then(number),
                }
            }
            Cgroups::V2 => {
                let cpu = file("", "cpu.max").and_then(|text| {
                    let (quota, period) = text.trim().split_once(' ')?;
                    millis(number(quota.to_owned())?, period.parse().ok()?)
                });
                Self {
                    memory_bytes: file("", "memory.max").and_then(number),
                    cpu_millis: cpu,
                    pids: file("", "pids.max").and_then(number),
                }
            }
        }
    }

    /// How they differ from those that were asked for, in words.
    fn differ(&self, wanted: &Resources) -> Option<Drift> {
        let memory = u64::from(wanted.memory_mb) * 1024 * 1024;
        let memory =
            differs("memory", self.memory_bytes, memory, PAGE, |bytes| format!("{} MiB", bytes >> 20));
        let core = |millis| format!("{millis} thousandths of a core");
        let cpu = u64::from(wanted.cpu_millis.max(10));
        let cpu = differs("processor time", self.cpu_millis, cpu, HUNDREDTH, core);
        let pids = differs("processes", self.pids, wanted.pids.into(), 0, |pids| pids.to_string());
        let beyond = pids.is_some();
        let found: Vec<String> = [memory, cpu, pids].into_iter().flatten().collect();
        let words = (!found.is_empty()).then(|| found.join(", "))?;
        // Podman 4 cannot set the last one while it runs.
        Some(if beyond { Drift::Beyond(words) } else { Drift::Limits(words) })
    }
}

fn differs(
    name: &str,
    found: Option<u64>,
    wanted: u64,
    near: u64,
    text: impl Fn(u64) -> String,
) -> Option<String> {
    let found = found.filter(|found| found.abs_diff(wanted) > near)?;
    // The kernel rounds that down to pages, too.
    let found = if found > u64::MAX / 4 { "none".to_owned() } else { text(found) };
    Some(format!("its limit of {name} was {found}, not {}", text(wanted)))
}

fn millis(quota: u64, period: u64) -> Option<u64> {
    if quota == u64::MAX { Some(u64::MAX) } else { quota.saturating_mul(1000).checked_div(period) }
}

/// The folder of the container's control group: the one with its id in its name, in which the runtime may have made others.
fn group(groups: &Path, cgroups: Cgroups, controller: &str, text: &str, id: &str) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        controllers.split(',').any(|one| one == controller).then_some(path)
    })?;
    if id.is_empty() {
        return None;
    }
    let root = match cgroups {
        Cgroups::V1 => groups.join(controller),
        Cgroups::V2 => groups.to_owned(),
    };
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let last = parts.iter().position(|part| part.contains(id))?;
    parts.iter().all(|part| *part != "..").then(|| root.join(parts[..=last].join("/")))
}

/// What is known of a container besides what it was made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) holds: Holds,
    /// Those of its project, of which it has one.
    pub(super) networks: &'a [String],
    /// It was in that one and in no other since its start. Else nobody can tell a change from another way of listing.
    pub(super) attached: bool,
    /// Its limits could not be set again.
    pub(super) in_vain: bool,
}

/// Whether it is in the network of its project, and in no other.
pub(super) fn is_attached(listed: &Listed, networks: &[String]) -> bool {
    listed.networks.as_ref().is_some_and(|found| found.len() == 1 && networks.contains(&found[0]))
}

/// What is not as it should be of a container that runs.
pub(super) fn of(wanted: &InstanceSpec, listed: &Listed, seen: Seen<'_>) -> Option<Drift> {
    if let Some(words) = elsewhere(listed, seen.networks).filter(|_| seen.attached) {
        return Some(Drift::Beyond(words));
    }
    match seen.holds.differ(&wanted.resources)? {
        Drift::Limits(words) if seen.in_vain => Some(Drift::Beyond(words)),
        drift => Some(drift),
    }
}

fn elsewhere(listed: &Listed, networks: &[String]) -> Option<String> {
    let found = listed.networks.as_ref()?;
    let (own, others): (Vec<_>, Vec<_>) =
        found.iter().map(String::as_str).partition(|found| networks.iter().any(|own| own == found));
    let cut_off = own.is_empty().then(|| "it was not in the network of its project".to_owned());
    let beside = (!others.is_empty()).then(|| format!("it was in the network {}", others.join(", ")));
    let words: Vec<String> = cut_off.into_iter().chain(beside).collect();
    (!words.is_empty()).then(|| words.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instances::samples::spec;

    const ID: &str = "c0ffee";

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("folder");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            fs::write(path, text).expect("written");
        }
        root
    }

    fn listed(networks: Option<&[&str]>) -> Listed {
        let networks = networks.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        Listed { id: ID.to_owned(), pid: 7, networks, ..Listed::default() }
    }

    fn found(holds: Holds, networks: Option<&[&str]>) -> Option<Drift> {
        let mut wanted = spec("a", 1);
        wanted.resources = Resources { memory_mb: 64, cpu_millis: 250, pids: 100 };
        let own = ["own".to_owned(), "of-before".to_owned()];
        let seen = Seen { holds, networks: &own, attached: true, in_vain: false };
        let found = of(&wanted, &listed(networks), seen);
        let vain = of(&wanted, &listed(networks), Seen { in_vain: true, ..seen });
        assert!(!matches!(vain, Some(Drift::Limits(_))), "another container has them");
        found
    }

    const AS_MADE: Holds = Holds { memory_bytes: Some(64 << 20), cpu_millis: Some(250), pids: Some(100) };

    #[test]
    fn limits_are_read_from_control_groups_of_either_version() {
        let old = machine(&[
            (
                "proc/7/cgroup",
                "9:pids:/p/libpod-c0ffee\n4:cpu,cpuacct:/p/libpod-c0ffee\n3:memory:/p/libpod-c0ffee\n",
            ),
            ("sys/fs/cgroup/memory/p/libpod-c0ffee/memory.limit_in_bytes", "67108864\n"),
            ("sys/fs/cgroup/cpu/p/libpod-c0ffee/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/p/libpod-c0ffee/cpu.cfs_period_us", "100000\n"),
        ]);
        let read = Holds::read(old.path(), Cgroups::V1, &listed(None));
        assert_eq!(read, Holds { memory_bytes: Some(64 << 20), cpu_millis: Some(u64::MAX), pids: None });
        let new = machine(&[
            ("proc/7/cgroup", "0::/machine.slice/libpod-c0ffee.scope/container\n"),
            ("sys/fs/cgroup/machine.slice/libpod-c0ffee.scope/memory.max", "max\n"),
            ("sys/fs/cgroup/machine.slice/libpod-c0ffee.scope/cpu.max", "25000 100000\n"),
            ("sys/fs/cgroup/machine.slice/libpod-c0ffee.scope/pids.max", "100\n"),
        ]);
        let read = Holds::read(new.path(), Cgroups::V2, &listed(None));
        assert_eq!(read, Holds { memory_bytes: Some(u64::MAX), ..AS_MADE });
        let elsewhere =
            machine(&[("proc/7/cgroup", "0::/another\n"), ("sys/fs/cgroup/another/pids.max", "1\n")]);
        let read = Holds::read(elsewhere.path(), Cgroups::V2, &listed(None));
        assert_eq!(read, Holds::default(), "the process is another's by now");
    }

    #[test]
    fn a_limit_that_was_changed_is_named_and_rounding_is_none() {
        let limits = |holds| match found(holds, Some(&["own"])) {
            Some(Drift::Limits(words)) => words,
            Some(Drift::Beyond(words)) => format!("anew: {words}"),
            None => String::new(),
        };
        assert_eq!(limits(AS_MADE), "");
        assert_eq!(limits(Holds::default()), "", "nobody knows");
        assert_eq!(limits(Holds { cpu_millis: Some(260), ..AS_MADE }), "");
        let memory = Holds { memory_bytes: Some(96 << 20), ..AS_MADE };
        assert_eq!(limits(memory), "its limit of memory was 96 MiB, not 64 MiB");
        let none = Holds {
            memory_bytes: Some(9_223_372_036_854_771_712),
            cpu_millis: Some(u64::MAX),
            pids: Some(99),
        };
        assert_eq!(
            limits(none),
            "anew: its limit of memory was none, not 64 MiB, its limit of processor time was none, not 250 thousandths of a \
             core, its limit of processes was 99, not 100"
        );
    }

    #[test]
    fn a_container_is_in_the_network_of_its_project_and_in_no_other() {
        let beyond = |networks: Option<&[&str]>| match found(AS_MADE, networks) {
            Some(Drift::Beyond(words)) => words,
            other => format!("{other:?}"),
        };
        assert_eq!(beyond(Some(&["own"])), "None");
        assert_eq!(beyond(Some(&["of-before"])), "None");
        assert_eq!(beyond(None), "None", "Podman does not say");
        assert_eq!(beyond(Some(&[])), "it was not in the network of its project");
        assert_eq!(beyond(Some(&["own", "podman"])), "it was in the network podman");
        let unsure = Seen { holds: AS_MADE, networks: &[], attached: false, in_vain: false };
        assert_eq!(
            of(&spec("a", 1), &listed(Some(&["b1d4"])), Seen { holds: Holds::default(), ..unsure }),
            None
        );
        assert_eq!(
            beyond(Some(&["podman"])),
            "it was not in the network of its project and it was in the network podman"
        );
    }
}
