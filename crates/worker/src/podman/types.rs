//! What Podman is told and what it tells, as far as the worker cares.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use crate::instances::label;

/// Podman sends `null` where it has nothing.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Version {
    pub version: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Image {
    /// 64 hexadecimal digits.
    pub id: String,
    #[serde(deserialize_with = "or_default")]
    pub repo_tags: Vec<String>,
    pub size: u64,
    #[serde(deserialize_with = "or_default")]
    pub config: ImageConfig,
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RootFs {
    /// Digests of the layers' content, `sha256:<64 digits>`, base first.
    #[serde(deserialize_with = "or_default")]
    pub layers: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ImageConfig {
    /// Keys such as `8080/tcp`.
    #[serde(deserialize_with = "or_default")]
    pub exposed_ports: BTreeMap<String, serde_json::Value>,
}

impl Image {
    /// As the protocol names images.
    pub fn full_id(&self) -> String {
        format!("sha256:{}", self.id.trim_start_matches("sha256:"))
    }

    /// TCP ports, lowest first.
    pub fn tcp_ports(&self) -> Vec<u16> {
        let tcp = |key: &String| match key.split_once('/') {
            Some((port, "tcp")) => port.parse().ok(),
            None => key.parse().ok(),
            _ => None,
        };
        let mut ports: Vec<u16> = self.config.exposed_ports.keys().filter_map(tcp).collect();
        ports.sort_unstable();
        ports
    }
}

/// One line of the list of containers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Listed {
    pub id: String,
    #[serde(deserialize_with = "or_default")]
    pub names: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// `created`, `running`, `exited`, `stopped`, `paused`, `stopping`, `removing` …
    pub state: String,
    pub exit_code: i32,
    /// Unix seconds.
    pub started_at: i64,
    /// Of the main process; 0 when there is none.
    pub pid: u32,
    /// Names of the networks that it is in; none while Podman does not say.
    pub networks: Option<Vec<String>>,
}

/// One line of the list of images.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ListedImage {
    pub id: String,
    /// With their registries.
    #[serde(deserialize_with = "or_default")]
    pub names: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// The image that this one continues, as far as Podman can tell; else empty.
    pub parent_id: String,
    /// Bytes of all its layers.
    pub size: u64,
    /// Unix seconds.
    pub created: i64,
    /// Containers that are made of it, running or not.
    pub containers: u32,
}

/// A network that exists.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Network {
    pub name: String,
    /// Its bridge.
    pub network_interface: String,
    #[serde(deserialize_with = "or_default")]
    pub subnets: Vec<ListedSubnet>,
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ListedSubnet {
    pub gateway: Option<String>,
}

/// One container in full.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Container {
    pub id: String,
    pub state: ContainerState,
    pub host_config: HostConfig,
    pub graph_driver: GraphDriver,
    pub config: ContainerConfig,
    pub network_settings: NetworkSettings,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct NetworkSettings {
    #[serde(deserialize_with = "or_default")]
    networks: BTreeMap<String, Attachment>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Attachment {
    #[serde(rename = "IPAddress")]
    address: String,
}

impl NetworkSettings {
    /// While it runs, in the first of its networks.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.networks.values().find_map(|attachment| attachment.address.parse().ok())
    }
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerConfig {
    /// `NAME=value`, those of the image among them.
    #[serde(rename = "Env")]
    env: Vec<String>,
}

impl ContainerConfig {
    /// By name; without those that every container has.
    pub fn variables(&self) -> BTreeMap<String, String> {
        const OF_ALL: [&str; 5] = ["PATH", "HOME", "HOSTNAME", "TERM", "container"];
        let pairs = self.env.iter().filter_map(|pair| pair.split_once('='));
        let own = pairs.filter(|(name, _)| !OF_ALL.contains(name));
        own.map(|(name, value)| (name.into(), value.into())).collect()
    }
}

impl std::fmt::Debug for ContainerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ContainerConfig { … }")
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct GraphDriver {
    #[serde(deserialize_with = "or_default")]
    pub data: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    #[serde(rename = "Running")]
    pub running: bool,
    /// Of the main process; 0 when there is none.
    #[serde(rename = "Pid")]
    pub pid: u32,
    #[serde(rename = "ExitCode")]
    pub exit_code: i32,
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    #[serde(rename = "StartedAt")]
    pub started_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct HostConfig {
    pub log_config: LogConfig,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct LogConfig {
    /// The k8s-file log on this host.
    pub path: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct StatsAnswer {
    #[serde(rename = "Stats", deserialize_with = "or_default")]
    pub stats: Vec<ContainerStats>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerStats {
    #[serde(rename = "ContainerID")]
    pub container_id: String,
    /// Processor time used so far.
    #[serde(rename = "CPUNano")]
    pub cpu_nano: u64,
    /// The clock when it was read.
    #[serde(rename = "SystemNano")]
    pub system_nano: u64,
    #[serde(rename = "MemUsage")]
    pub memory: u64,
    #[serde(rename = "NetInput")]
    pub received: u64,
    #[serde(rename = "NetOutput")]
    pub sent: u64,
    /// Processes and threads.
    #[serde(rename = "PIDs")]
    pub pids: u32,
}

/// A bridge network.
#[derive(Debug, Clone, Serialize)]
pub struct NewNetwork {
    pub name: String,
    pub driver: &'static str,
    /// The bridge's name, which Podman makes up when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface: Option<String>,
    /// Podman answers names.
    pub dns_enabled: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<Subnet>,
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<&'static str, &'static str>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Subnet {
    pub subnet: String,
}

impl NewNetwork {
    /// Isolated: no traffic to or from other isolated networks of this host.
    pub fn bridge(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            driver: "bridge",
            network_interface: None,
            dns_enabled: true,
            subnets: Vec::new(),
            labels: BTreeMap::from([(label::NETWORK.to_owned(), "made".to_owned())]),
            options: BTreeMap::from([("isolate", "true")]),
        }
    }

    /// Of a project. The guard keeps it apart, and lets through what Podman's isolation would not.
    pub fn private(name: impl Into<String>, interface: String, project: &str) -> Self {
        let mut network = Self::bridge(name);
        network.network_interface = Some(interface);
        network.dns_enabled = false;
        network.labels.insert(label::PROJECT.to_owned(), project.to_owned());
        network.options.clear();
        network
    }
}

/// A container to be created (libpod's `SpecGenerator`).
#[derive(Clone, Serialize)]
pub struct NewContainer {
    pub name: String,
    pub image: String,
    pub env: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    pub labels: BTreeMap<String, String>,
    pub cap_drop: Vec<&'static str>,
    pub cap_add: Vec<&'static str>,
    pub no_new_privileges: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only_filesystem: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<NewMount>,
    /// Absent: root inside is root outside.
    #[serde(flatten)]
    pub users: Option<OwnUsers>,
    /// Such as `size`, where the storage can limit it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub storage_opts: BTreeMap<&'static str, String>,
    pub resource_limits: ResourceLimits,
    /// Files of the container's cgroup and what they hold. For hosts with cgroups v2 alone.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unified: BTreeMap<&'static str, &'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stdin: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub terminal: bool,
    pub netns: NetNs,
    #[serde(rename = "Networks")]
    pub networks: BTreeMap<String, serde_json::Map<String, serde_json::Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_server: Option<[Ipv4Addr; 1]>,
    pub portmappings: Vec<PortMapping>,
    pub log_configuration: LogDriver,
    pub restart_policy: &'static str,
    pub stop_timeout: u32,
    pub healthconfig: HealthConfig,
    pub systemd: &'static str,
}

/// As in the OCI runtime specification.
#[derive(Debug, Clone, Serialize)]
pub struct NewMount {
    pub destination: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub source: &'static str,
    pub options: Vec<String>,
}

/// A user namespace, the numbers of which Podman chooses among those that no other container has.
#[derive(Debug, Clone, Serialize)]
pub struct OwnUsers {
    userns: UserNs,
    /// Podman's service ignores what `userns` says of the numbers, and without this the whole of it.
    idmappings: IdMappings,
}

#[derive(Debug, Clone, Serialize)]
struct UserNs {
    nsmode: &'static str,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct IdMappings {
    auto_user_ns: bool,
    auto_user_ns_opts: AutoUserNs,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AutoUserNs {
    size: u32,
}

impl OwnUsers {
    pub fn new(size: u32) -> Self {
        let idmappings = IdMappings { auto_user_ns: true, auto_user_ns_opts: AutoUserNs { size } };
        Self { userns: UserNs { nsmode: "auto" }, idmappings }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct NetNs {
    pub nsmode: &'static str,
}

#[derive(Debug, Clone, Serialize)]
pub struct PortMapping {
    pub host_ip: IpAddr,
    pub host_port: u16,
    pub container_port: u16,
    pub protocol: &'static str,
}

#[derive(Debug, Clone, Serialize)]
pub struct LogDriver {
    pub driver: &'static str,
    /// Bytes after which Podman begins a new file; 0 where there is none.
    #[serde(skip_serializing_if = "is_zero")]
    pub size: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(size: &i64) -> bool {
    *size == 0
}

#[derive(Debug, Clone, Serialize)]
pub struct HealthConfig {
    #[serde(rename = "Test")]
    pub test: Vec<&'static str>,
}

/// As in the OCI runtime specification.
#[derive(Debug, Clone, Serialize)]
pub struct ResourceLimits {
    pub memory: MemoryLimit,
    pub cpu: CpuLimit,
    pub pids: PidsLimit,
}

#[derive(Debug, Clone, Serialize)]
pub struct MemoryLimit {
    pub limit: i64,
    pub swap: i64,
}

#[derive(Debug, Clone, Serialize)]
pub struct CpuLimit {
    pub quota: i64,
    pub period: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct PidsLimit {
    pub limit: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_and_unknown_fields_are_no_error() {
        let image: Image = serde_json::from_str(
            r#"{"Id":"ab","RepoTags":null,"Size":3,"Config":{"ExposedPorts":{"8080/tcp":{},"53/udp":{},"80/tcp":{}}},"Extra":1}"#,
        )
        .expect("image");
        assert_eq!((image.full_id().as_str(), image.tcp_ports()), ("sha256:ab", vec![80, 8080]));
        let listed: Vec<Listed> =
            serde_json::from_str(r#"[{"Id":"c","Labels":null,"Names":null,"State":"odd"}]"#).expect("list");
        assert_eq!(listed[0].state, "odd");
        let stats: StatsAnswer = serde_json::from_str(r#"{"Error":{},"Stats":null}"#).expect("stats");
        assert!(stats.stats.is_empty());
    }
}
