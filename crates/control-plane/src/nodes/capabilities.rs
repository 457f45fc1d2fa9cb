//! What a host is and has, as chips with hints: what is missing, why that matters, what to do. Which limits of instances
//! hold there is told by its worker, as `enforced` of the host.

use protocol::identity::Role;
use protocol::report::{HostFacts, HostProbe};
use serde::{Deserialize, Serialize};

use super::health::clock;

/// One thing that a host can do, or cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Capability {
    /// A stable word, such as `cgroups`.
    pub name: String,
    /// A few words for people, such as `cgroup v2`.
    pub label: String,
    pub state: Standing,
    /// What is missing and why it matters. Null for what is as it should be.
    pub problem: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = CapabilityState)]
pub enum Standing {
    Good,
    /// It works with less than it could have.
    Limited,
    /// Something that users may ask for does not work.
    Missing,
}

fn good(name: &str, label: impl Into<String>) -> Capability {
    Capability {
        name: name.to_owned(),
        label: label.into(),
        state: Standing::Good,
        problem: None,
        hint: None,
    }
}

fn bad(name: &str, label: impl Into<String>, state: Standing, problem: &str, hint: &str) -> Capability {
    Capability { state, problem: Some(problem.to_owned()), hint: Some(hint.to_owned()), ..good(name, label) }
}

/// All that is known of a node with these roles. What no agent has told is left out.
pub fn of(roles: &[Role], host: &HostFacts, clock_offset_ms: Option<i64>) -> Vec<Capability> {
    let mut all = Vec::new();
    if !host.architecture.is_empty() {
        all.push(good("architecture", &host.architecture));
    }
    if !host.kernel.is_empty() {
        all.push(kernel(&host.kernel));
    }
    all.extend(host.wireguard.as_deref().map(wireguard));
    all.extend(clock_offset_ms.map(clock_offset));
    if roles.contains(&Role::Worker) {
        all.extend(host.podman.as_deref().map(podman));
        all.extend(host.probe.as_ref().map(containers).unwrap_or_default());
    }
    all
}

/// Releases from before this one lack what containers and the tunnel are made with.
const OLDEST_KERNEL: (u32, u32) = (5, 10);
/// What the worker asks of Podman's interface.
const OLDEST_PODMAN: (u32, u32) = (4, 3);

fn kernel(release: &str) -> Capability {
    let label = format!("Linux {release}");
    match version(release) {
        Some(found) if found < OLDEST_KERNEL => bad(
            "kernel",
            label,
            Standing::Limited,
            "this kernel is older than 5.10, with which containers and tunnels are tested",
            "Install a newer kernel and boot it",
        ),
        _ => good("kernel", label),
    }
}

fn podman(release: &str) -> Capability {
    let label = format!("Podman {release}");
    match version(release) {
        Some(found) if found < OLDEST_PODMAN => bad(
            "podman",
            label,
            Standing::Limited,
            "this Podman is older than 4.3, which the worker is made for",
            "Install a newer Podman and restart wisehosting-worker",
        ),
        _ => good("podman", label),
    }
}

/// The first two numbers of `6.1.0-18-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn wireguard(kind: &str) -> Capability {
    if kind == "kernel" {
        return good("wireguard", "WireGuard in the kernel");
    }
    bad(
        "wireguard",
        "WireGuard in userspace",
        Standing::Limited,
        "the kernel has no WireGuard, so the tunnel runs as a process, which costs more CPU per packet",
        "Load the kernel's module: `modprobe wireguard`; then restart wisehosting-mesh",
    )
}

fn clock_offset(offset_ms: i64) -> Capability {
    if offset_ms.saturating_abs() < clock::NOTABLE_MS {
        return good("clock", "clock in step");
    }
    let label = format!("clock {}", clock::words(offset_ms));
    let state = if clock::is_refused(offset_ms) { Standing::Missing } else { Standing::Limited };
    let problem = "messages are signed with the time and refused from 5 minutes on";
    bad("clock", label, state, problem, "Set the clock on the host, for example with chrony")
}

fn containers(probe: &HostProbe) -> Vec<Capability> {
    let mut all = vec![cgroups(probe), nftables(probe)];
    all.extend(probe.gpus.iter().map(|maker| good("gpu", format!("GPU: {maker}"))));
    all
}

fn cgroups(probe: &HostProbe) -> Capability {
    let name = "cgroups";
    let Some(version) = probe.cgroup_version else {
        return bad(
            name,
            "no control groups",
            Standing::Missing,
            "no control groups are mounted, so limits of memory, CPU and processes do not hold",
            "Boot with systemd and its unified hierarchy: remove `cgroup_disable` and `systemd.unified_cgroup_hierarchy=0` from the kernel's command line",
        );
    };
    let label = format!("cgroup v{version}");
    if version == 2 {
        return good(name, label);
    }
    bad(
        name,
        label,
        Standing::Limited,
        "with control groups of version 1 memory pressure and reads and writes of the disk are not measured",
        "Boot with the unified hierarchy: `systemd.unified_cgroup_hierarchy=1`",
    )
}

fn nftables(probe: &HostProbe) -> Capability {
    if probe.nftables {
        return good("nftables", "nftables");
    }
    bad(
        "nftables",
        "no nftables",
        Standing::Missing,
        "the firewall around containers cannot be loaded, so no instance is started",
        "Install nftables and give the worker CAP_NET_ADMIN; then restart wisehosting-worker",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe() -> HostProbe {
        HostProbe { cgroup_version: Some(2), nftables: true, gpus: vec!["nvidia".to_owned()] }
    }

    fn host(probe: HostProbe) -> HostFacts {
        HostFacts {
            architecture: "x86_64".to_owned(),
            kernel: "6.1.0-18-amd64".to_owned(),
            podman: Some("5.2.1".to_owned()),
            wireguard: Some("kernel".to_owned()),
            probe: Some(probe),
            ..HostFacts::default()
        }
    }

    fn worker(host: &HostFacts) -> Vec<Capability> {
        of(&[Role::Worker], host, Some(120))
    }

    #[test]
    fn a_host_that_has_everything_is_told_without_a_problem() {
        let all = worker(&host(probe()));
        let labels: Vec<&str> = all.iter().map(|one| one.label.as_str()).collect();
        assert_eq!(
            labels,
            [
                "x86_64",
                "Linux 6.1.0-18-amd64",
                "WireGuard in the kernel",
                "clock in step",
                "Podman 5.2.1",
                "cgroup v2",
                "nftables",
                "GPU: nvidia",
            ]
        );
        assert!(all.iter().all(|one| one.state == Standing::Good && one.problem.is_none()), "{all:?}");
    }

    #[test]
    fn each_lack_is_told_with_what_to_do() {
        let with = |change: fn(&mut HostProbe)| {
            let mut probe = probe();
            change(&mut probe);
            host(probe)
        };
        let old = |change: fn(&mut HostFacts)| {
            let mut host = host(probe());
            change(&mut host);
            host
        };
        for (host, name, state, said) in [
            (
                with(|probe| probe.cgroup_version = None),
                "cgroups",
                Standing::Missing,
                "kernel's command line",
            ),
            (with(|probe| probe.cgroup_version = Some(1)), "cgroups", Standing::Limited, "unified"),
            (with(|probe| probe.nftables = false), "nftables", Standing::Missing, "CAP_NET_ADMIN"),
            (
                old(|host| host.wireguard = Some("userspace".to_owned())),
                "wireguard",
                Standing::Limited,
                "modprobe",
            ),
            (old(|host| host.podman = Some("3.4.4".to_owned())), "podman", Standing::Limited, "Podman"),
            (old(|host| host.kernel = "4.19.0".to_owned()), "kernel", Standing::Limited, "newer kernel"),
        ] {
            let all = worker(&host);
            let off: Vec<&Capability> = all.iter().filter(|one| one.state != Standing::Good).collect();
            assert_eq!(off.len(), 1, "{name}: {off:?}");
            assert_eq!((off[0].name.as_str(), off[0].state), (name, state), "{off:?}");
            assert!(off[0].problem.is_some() && off[0].hint.as_ref().is_some_and(|hint| hint.contains(said)));
        }
    }

    #[test]
    fn only_what_the_roles_need_and_what_was_told_is_shown() {
        let names = |all: Vec<Capability>| all.into_iter().map(|one| one.name).collect::<Vec<_>>();
        assert_eq!(names(of(&[Role::Worker], &HostFacts::default(), None)), Vec::<String>::new());
        let proxy = names(of(&[Role::Proxy], &host(HostProbe::default()), None));
        assert_eq!(proxy, ["architecture", "kernel", "wireguard"]);
    }

    #[test]
    fn a_clock_is_a_problem_from_where_it_is_a_warning() {
        let state = |offset| clock_offset(offset).state;
        assert_eq!(state(29_999), Standing::Good);
        assert_eq!(state(-30_000), Standing::Limited);
        assert_eq!(state(300_001), Standing::Missing);
    }
}
