//! What a container is made from: its limits, its rights, its names.

use std::collections::BTreeMap;

use protocol::ids::ExecId;
use protocol::spec::{InstanceSpec, Tmpfs};

use super::label;
use super::record::spec_hash;
use crate::means::{Cgroups, DiskQuota, IDS, Means, Root};
use crate::podman::{
    CpuLimit, Error, HealthConfig, LogDriver, MemoryLimit, NetNs, NewContainer, NewMount, OwnUsers,
    PidsLimit, PortMapping, ResourceLimits,
};
use crate::private::Bridge;

/// What images commonly need at their start: entry points that chown a data folder, then drop to a user (CHOWN,
/// `DAC_OVERRIDE`, FOWNER, SETGID, SETUID), servers on port 80 (`NET_BIND_SERVICE`), init processes that signal workers of
/// another user (KILL). Everything else that Podman would grant is dropped.
const CAPABILITIES: [&str; 7] =
    ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID", "NET_BIND_SERVICE", "KILL"];

/// Podman begins a new log file after so many bytes.
const LOG_BYTES: i64 = 16 * 1024 * 1024;

/// The end of an id is its random part; its beginning is the same for all of one moment.
fn end_of(id: impl std::fmt::Display) -> String {
    let text = id.to_string();
    text[text.len() - 8..].to_owned()
}

/// The limit of `bytes` without swap.
///
/// `memory.swap` counts memory and swap together, so the limit itself should mean none. But crun hands that sum to
/// systemd as the swap alone (`get_memory_swap_max` in its cgroup-systemd.c, in 1.29 still), while it takes 0 for none;
/// runc takes 0 for unset and the file for what it says.
fn memory_without_swap(bytes: i64, cgroups: Cgroups) -> (MemoryLimit, BTreeMap<&'static str, &'static str>) {
    match cgroups {
        Cgroups::V1 => (MemoryLimit { limit: bytes, swap: bytes }, BTreeMap::new()),
        Cgroups::V2 => (MemoryLimit { limit: bytes, swap: 0 }, BTreeMap::from([("memory.swap.max", "0")])),
    }
}

fn memory_bytes(spec: &InstanceSpec) -> i64 {
    i64::from(spec.resources.memory_mb) * 1024 * 1024
}

/// What it may use.
pub(super) fn limits(spec: &InstanceSpec, means: &Means) -> ResourceLimits {
    ResourceLimits {
        memory: memory_without_swap(memory_bytes(spec), means.cgroups).0,
        cpu: CpuLimit { quota: i64::from(spec.resources.cpu_millis.max(10)) * 100, period: 100_000 },
        pids: PidsLimit { limit: i64::from(spec.resources.pids) },
    }
}

/// Of an instance. What `means` the host has is no part of the spec's hash: a host that gets more of them leaves alone
/// what runs.
pub(super) fn container(spec: &InstanceSpec, bridge: &Bridge, means: &Means) -> NewContainer {
    let (_, unified) = memory_without_swap(memory_bytes(spec), means.cgroups);
    NewContainer {
        name: format!("wh-{}-{}-{}", spec.app, spec.release, end_of(spec.id)),
        image: spec.image.id.clone(),
        env: env(spec),
        command: spec.command.clone(),
        labels: labels(spec),
        cap_drop: vec!["ALL"],
        cap_add: CAPABILITIES.to_vec(),
        no_new_privileges: true,
        read_only_filesystem: spec.isolation.read_only,
        mounts: folders(spec),
        users: matches!(means.root, Root::Nobody { .. }).then(|| OwnUsers::new(IDS)),
        storage_opts: disk(spec, means),
        resource_limits: limits(spec, means),
        unified,
        stdin: false,
        terminal: false,
        netns: NetNs { nsmode: "bridge" },
        networks: BTreeMap::from([(bridge.network.clone(), serde_json::Map::new())]),
        dns_server: bridge.resolver.map(|resolver| [resolver]),
        portmappings: if spec.once { Vec::new() } else { ports(spec) },
        log_configuration: LogDriver { driver: "k8s-file", size: LOG_BYTES },
        // The agent restarts, with its own pauses and counts.
        restart_policy: "no",
        stop_timeout: spec.stop_grace_s,
        // The agent probes from outside; an image's own HEALTHCHECK would need a systemd timer.
        healthconfig: HealthConfig { test: vec!["NONE"] },
        systemd: "false",
    }
}

fn labels(spec: &InstanceSpec) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        (label::INSTANCE.to_owned(), spec.id.to_string()),
        (label::APP.to_owned(), spec.app.clone()),
        (label::APP_ID.to_owned(), spec.app_id.to_string()),
        (label::RELEASE.to_owned(), spec.release.to_string()),
        (label::SPEC_HASH.to_owned(), spec_hash(spec)),
    ]);
    if spec.exclusive {
        labels.insert(label::EXCLUSIVE.to_owned(), "true".to_owned());
    }
    labels
}

/// In memory. Whoever the app runs as may write there, and nothing there is a device or changes who somebody is.
fn folders(spec: &InstanceSpec) -> Vec<NewMount> {
    let mount = |folder: &Tmpfs| {
        let size = format!("size={}m", folder.size_mb());
        let options = ["mode=1777", "nosuid", "nodev", &size].map(str::to_owned).to_vec();
        NewMount { destination: folder.path().to_owned(), kind: "tmpfs", source: "tmpfs", options }
    };
    spec.isolation.folders().iter().map(mount).collect()
}

fn disk(spec: &InstanceSpec, means: &Means) -> BTreeMap<&'static str, String> {
    match (spec.isolation.disk_mb, &means.disk) {
        (Some(mb), Ok(DiskQuota::Xfs)) => BTreeMap::from([("size", format!("{mb}M"))]),
        _ => BTreeMap::new(),
    }
}

/// The app's variables, and what the platform tells it. Of that a user may set `PORT` alone.
fn env(spec: &InstanceSpec) -> BTreeMap<String, String> {
    let mut env = spec.env.clone();
    // What apps written for other platforms look for.
    env.entry("PORT".to_owned()).or_insert_with(|| spec.port.to_string());
    env.extend(spec.predefined.clone());
    env
}

fn ports(spec: &InstanceSpec) -> Vec<PortMapping> {
    let mapping = |protocol| PortMapping {
        host_ip: spec.published.ip(),
        host_port: spec.published.port(),
        container_port: spec.port,
        protocol,
    };
    let udp = spec.udp.then_some("udp");
    std::iter::once("tcp").chain(udp).map(mapping).collect()
}

/// Of a program that somebody runs once: as the app's instances, but with an input, and with no record of what it prints.
pub(crate) fn fresh(
    spec: &InstanceSpec,
    bridge: &Bridge,
    session: ExecId,
    terminal: bool,
    means: &Means,
) -> NewContainer {
    let mut made = container(spec, bridge, means);
    made.name = format!("wh-{}-run-{}", spec.app, end_of(session));
    made.labels
        .retain(|name, _| ![label::INSTANCE, label::SPEC_HASH, label::EXCLUSIVE].contains(&name.as_str()));
    made.labels.insert(label::RUN.to_owned(), session.to_string());
    made.stdin = true;
    made.terminal = terminal;
    if terminal {
        made.env.entry("TERM".to_owned()).or_insert_with(|| "xterm-256color".to_owned());
    }
    made.portmappings = Vec::new();
    made.log_configuration = LogDriver { driver: "none", size: 0 };
    made
}

/// The OCI runtime did not find or could not run the command.
pub(crate) fn is_the_apps_fault(error: &Error) -> bool {
    let text = error.to_string();
    ["executable file not found", "exec format error", "no such file or directory", "permission denied"]
        .iter()
        .any(|word| text.contains(word))
        && text.contains("exec")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instances::samples::spec;

    fn bridge() -> Bridge {
        Bridge {
            network: "wisehosting-private-shop".to_owned(),
            resolver: Some(std::net::Ipv4Addr::new(10, 89, 1, 1)),
        }
    }

    #[test]
    fn a_container_has_its_limits_and_no_more_rights_than_it_needs() {
        let spec = spec("hello", 7);
        let made = serde_json::to_value(container(&spec, &bridge(), &Means::sample())).expect("json");
        insta::assert_json_snapshot!(made, {
            ".name" => "wh-hello-7-[id]",
            ".labels[\"wisehosting.instance\"]" => "[id]",
            ".labels[\"wisehosting.app-id\"]" => "[id]",
            ".labels[\"wisehosting.spec-hash\"]" => "[hash]",
        });
    }

    #[test]
    fn an_app_with_a_udp_stream_has_its_port_for_both_and_others_are_made_as_before() {
        let plain = spec("hello", 7);
        let both = InstanceSpec { udp: true, ..plain.clone() };
        let mapped = |spec: &InstanceSpec| -> Vec<_> {
            ports(spec).iter().map(|port| (port.protocol, port.host_port, port.container_port)).collect()
        };
        assert_eq!(mapped(&plain), [("tcp", 20001, 8080)]);
        assert_eq!(mapped(&both), [("tcp", 20001, 8080), ("udp", 20001, 8080)]);
        let text = serde_json::to_string(&plain).expect("json");
        assert!(!text.contains("udp"), "the hash of a running container stays");
        assert_ne!(spec_hash(&plain), spec_hash(&both));
    }

    #[test]
    fn an_app_is_told_what_it_is_and_may_choose_its_port_alone() {
        let mut spec = spec("hello", 7);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        spec.predefined = BTreeMap::from([pair("WISEHOSTING_APP", "hello")]);
        spec.env = BTreeMap::from([pair("A", "1"), pair("WISEHOSTING_APP", "other")]);
        let told = [pair("A", "1"), pair("PORT", "8080"), pair("WISEHOSTING_APP", "hello")];
        assert_eq!(env(&spec), BTreeMap::from(told));
        spec.env = BTreeMap::from([pair("PORT", "9000")]);
        assert_eq!(env(&spec)["PORT"], "9000");
    }

    #[test]
    fn a_host_with_old_cgroups_is_asked_in_its_own_words() {
        let (memory, unified) = memory_without_swap(64, Cgroups::V1);
        assert_eq!((memory.limit, memory.swap), (64, 64));
        assert!(unified.is_empty(), "runtimes refuse it there");
    }

    #[test]
    fn a_missing_program_is_told_from_a_host_in_trouble() {
        let error = |message: &str| Error::Failed { status: 500, message: message.to_owned() };
        assert!(is_the_apps_fault(&error("exec: \"nope\": executable file not found in $PATH")));
        assert!(!is_the_apps_fault(&error("netavark: permission denied")));
    }

    #[test]
    fn a_fresh_container_is_no_instance_and_leaves_no_log() {
        let spec = spec("hello", 7);
        let means = Means::sample();
        let (instance, session) = (container(&spec, &bridge(), &means), ExecId::new());
        let made = fresh(&spec, &bridge(), session, true, &means);
        assert!(!made.labels.contains_key(label::INSTANCE), "the reconciler would remove it");
        assert_eq!(made.labels[label::RUN], session.to_string());
        assert!(made.portmappings.is_empty() && made.stdin && made.terminal);
        assert_eq!((made.log_configuration.driver, made.env["TERM"].as_str()), ("none", "xterm-256color"));
        let limits = |new: &NewContainer| serde_json::to_value(&new.resource_limits).expect("json");
        assert_eq!((limits(&made), &made.networks), (limits(&instance), &instance.networks));
        assert_eq!(made.cap_add, instance.cap_add);
    }

    #[test]
    fn a_read_only_app_gets_its_folders_in_memory_and_a_program_beside_it_the_same() {
        let mut spec = spec("hello", 7);
        let plain = spec_hash(&spec);
        spec.isolation.read_only = true;
        spec.isolation.tmpfs = vec!["/data=8".to_owned().try_into().expect("a folder")];
        assert_ne!(spec_hash(&spec), plain);
        let means = Means::sample();
        let folders = |made: &NewContainer| serde_json::to_value(&made.mounts).expect("json");
        let made = container(&spec, &bridge(), &means);
        assert!(made.read_only_filesystem);
        let words =
            |mount: &NewMount| format!("{} {} {}", mount.kind, mount.destination, mount.options.join(","));
        insta::assert_snapshot!(made.mounts.iter().map(words).collect::<Vec<_>>().join("\n"), @r"
        tmpfs /tmp mode=1777,nosuid,nodev,size=64m
        tmpfs /var/tmp mode=1777,nosuid,nodev,size=64m
        tmpfs /run mode=1777,nosuid,nodev,size=64m
        tmpfs /data mode=1777,nosuid,nodev,size=8m
        ");
        let beside = fresh(&spec, &bridge(), ExecId::new(), false, &means);
        assert_eq!((beside.read_only_filesystem, folders(&beside)), (true, folders(&made)));
    }

    #[test]
    fn the_hosts_means_change_what_is_new_and_no_hash() {
        let mut spec = spec("hello", 7);
        spec.isolation.disk_mb = Some(200);
        let made = |means: &Means| {
            let made = container(&spec, &bridge(), means);
            (made.labels[label::SPEC_HASH].clone(), serde_json::to_value(&made).expect("json"))
        };
        let poor =
            Means { disk: Err("no".to_owned()), root: Root::OfHost("no".to_owned()), ..Means::sample() };
        let rich = Means { disk: Ok(DiskQuota::Xfs), root: Root::Nobody { must: false }, ..Means::sample() };
        let ((hash, without), (same, with)) = (made(&poor), made(&rich));
        assert_eq!(hash, same);
        assert!(without["userns"].is_null() && without["storage_opts"].is_null());
        assert_eq!(with["userns"]["nsmode"], "auto");
        assert_eq!(with["idmappings"]["AutoUserNs"], true);
        assert_eq!(with["idmappings"]["AutoUserNsOpts"]["Size"], 65536);
        assert_eq!(with["storage_opts"]["size"], "200M");
    }
}
