//! Observed state: what agents see on their hosts.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::enforced::Enforced;
use crate::ids::{AppId, InstanceId, JobId};
use crate::job::{Failure, ProbeEvidence, Recipe, Stage};
use crate::registry::CopyReport;
use crate::spec::Generation;

/// The first message on every connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    pub version: String,
    /// The generation on the agent's disk; 0 without one.
    pub generation: Generation,
    /// Jobs that are still running here.
    pub jobs: Vec<JobId>,
    /// Build slots of a worker; 0 for others.
    pub build_slots: u32,
    pub host: HostFacts,
}

/// What the host is. Read for every hello; the mesh agent also says it when it changes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct HostFacts {
    /// For example `x86_64`.
    pub architecture: String,
    /// Kernel release.
    pub kernel: String,
    pub cpus: u32,
    pub memory_mb: u64,
    /// Podman's version, on workers.
    pub podman: Option<String>,
    /// `kernel` or `userspace`, from mesh agents.
    pub wireguard: Option<String>,
    /// `builtin` or `traefik`: what carries the requests of a proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Where a proxy answers checks, on its mesh address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_port: Option<u16>,
    /// Where a worker answers checks, hands out images and takes calls, on its mesh address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_port: Option<u16>,
    /// What it can do for containers, from workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<HostProbe>,
    pub os: Option<OperatingSystem>,
    /// From workers: what holds of the limits of instances.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforced: Option<Box<Enforced>>,
}

/// What the worker found out about its host when it started, beside the limits in [`Enforced`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct HostProbe {
    /// 1 or 2; absent when no control groups are mounted.
    pub cgroup_version: Option<u32>,
    /// Whether nftables answers, which guards containers.
    pub nftables: bool,
    /// Makers of its graphics processors: `nvidia`, `amd`, `intel`.
    pub gpus: Vec<String>,
}

/// What the host runs, and how old that is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct OperatingSystem {
    /// For example `NixOS 26.05 (Yarara)` or `Debian GNU/Linux 13 (trixie)`.
    pub name: String,
    /// The build, where the distribution names one: `26.05.20261115.0a1b2c3` on NixOS.
    pub build: Option<String>,
    /// The system generation in use, on NixOS. Absent for a system that no generation holds, as after
    /// `nixos-rebuild test`.
    pub generation: Option<u32>,
    /// The generation that the next boot starts, on NixOS.
    pub boot_generation: Option<u32>,
    /// When the system in use was activated, by a switch or by booting it; on NixOS.
    pub activated_at: Option<DateTime<Utc>>,
    /// How new the packages are: the date of nixpkgs, or of the package lists.
    pub packages_at: Option<DateTime<Utc>>,
    /// The kernel that runs is not the one of the installed system.
    pub reboot_needed: bool,
}

/// Every 60 s and at the start of a connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The agent's clock.
    pub at: DateTime<Utc>,
    pub load: f32,
    pub memory_used_mb: u64,
    pub disk_used_percent: f32,
}

/// The tunnel as the mesh agent sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MeshReport {
    pub peers: Vec<PeerReport>,
    /// The host's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// The key that the tunnel uses, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// Bytes of the largest packet that the interface takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Where this host may be reached on networks of its own: its addresses with the tunnel's port, at most
    /// [`MAX_ADDRESSES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<SocketAddr>,
    /// What the agent can do about peers that cannot be reached directly; absent for one that knows nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayAbility>,
    /// The key that the host has made and does not use yet, when it is asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_key: Option<NextKey>,
    /// Of `next_keys` of the desired state, those that the tunnel takes; absent from an agent that knows nothing of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub takes: Vec<String>,
}

/// The public half of a key that was made for a [`crate::spec::KeyChange`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextKey {
    pub rotation: Uuid,
    /// Base64.
    pub public_key: String,
}

/// What an agent knows of relays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelayAbility {
    /// It reaches peers through a relay.
    Follows,
    /// It can also be one.
    Relays,
}

/// Addresses in one [`MeshReport`].
pub const MAX_ADDRESSES: usize = 8;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerReport {
    pub public_key: String,
    pub endpoint: Option<SocketAddr>,
    /// Age in seconds; absent before the first handshake.
    pub handshake_age_s: Option<u64>,
    pub received_bytes: u64,
    pub sent_bytes: u64,
    /// Absent before the first round of probes. Of a relayed peer: through the relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<Probes>,
    /// The public key of the peer through which it is reached; absent when it is reached directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// For how many seconds hands have been shaken over the direct way at each try; only of a relayed peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct_s: Option<u64>,
}

/// `WireGuard` gives a session up that was not renewed for so long.
pub const SESSION_S: u64 = 180;
/// Probes lost one after the other that are no accident.
pub const SILENT: u32 = 3;

impl PeerReport {
    /// Whether the peer is there. Probes that came back say so even without a handshake: a peer that was made anew a
    /// moment ago has none. A handshake within the silence of the probes says that the tunnel works and it is probes that
    /// are not answered.
    pub fn answers(&self) -> bool {
        let silent = self.probes.map_or(0, |probes| probes.silent);
        let came_back = self.probes.is_some_and(|probes| probes.lost < probes.sent);
        if silent < SILENT && (came_back || self.via.is_some()) {
            return true;
        }
        let age = self.handshake_age_s.filter(|age| self.via.is_none() && *age < SESSION_S);
        age.is_some_and(|age| silent < SILENT || age < u64::from(silent) * PROBE_EVERY_S)
    }
}

/// Seconds between two probes of a peer, unless there are very many.
pub const PROBE_EVERY_S: u64 = 2;

/// What small packets through the tunnel and back found out, lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probes {
    pub sent: u32,
    /// Of those without an answer.
    pub lost: u32,
    /// Those sent last that all were lost.
    pub silent: u32,
    /// Median time there and back, in microseconds; absent when all were lost.
    pub rtt_us: Option<u32>,
    /// Bytes of the largest packet that arrives; absent while it is being found out.
    pub mtu: Option<u16>,
}

/// All instances that the worker sees, each time whole: after every change, on connect and every 30 s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerReport {
    pub instances: Vec<InstanceReport>,
    /// At most [`MAX_STRAYS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strays: Vec<Stray>,
}

/// Strays in one [`WorkerReport`].
pub const MAX_STRAYS: usize = 500;

/// A container with our label that no desired state of its worker ever had. It was stopped, and is removed later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stray {
    /// Podman's id.
    pub container: String,
    pub name: String,
    /// As its labels say.
    pub instance_id: Option<InstanceId>,
    pub app: Option<String>,
    /// Podman's word.
    pub state: String,
    pub reason: String,
    pub found_at: DateTime<Utc>,
    pub remove_at: DateTime<Utc>,
}

/// Something was not as desired, and was put right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Corrected {
    pub at: DateTime<Utc>,
    /// Podman's id of the container, where there is or was one.
    pub container: Option<String>,
    /// As its labels say.
    pub instance_id: Option<InstanceId>,
    pub app: Option<String>,
    pub deed: Deed,
    /// What was found.
    pub reason: String,
}

/// How it was put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Made again.
    Recreated,
    /// Its limits set again.
    Limited,
    /// Taken for an instance's.
    Adopted,
    /// A second one of an instance ended.
    Ended,
    /// A stray stopped.
    Stopped,
    /// A stray removed, after its time.
    Removed,
    /// Stopped, because the worker had no lease any more.
    Fenced,
}

/// Images on a worker, each time whole: every minute, and after each that came or went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageReport {
    /// At most [`MAX_IMAGES`]; the ones that the desired state names come first, then those with our label.
    pub images: Vec<HeldImage>,
    /// Bytes of all images together, layers that several share counted once.
    pub total_bytes: u64,
    /// What the desired state asks for and could not be done yet; tried again.
    pub problems: Vec<ImageProblem>,
    /// What became of the orders for registries, as long as the desired state has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<CopyReport>,
}

/// Images in one [`ImageReport`]: a longer list would not be worth its message.
pub const MAX_IMAGES: usize = 2000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldImage {
    /// As in [`crate::spec::ImageSpec`].
    pub id: String,
    /// Built by us: it has our label.
    pub ours: bool,
    /// Left by a build for later ones: it has no name, and no image contains it.
    pub cache: bool,
    pub made_at: DateTime<Utc>,
    pub size_bytes: u64,
    /// What its removal would free; less than its size where it shares layers.
    pub frees_bytes: u64,
}

/// Why an image was not fetched or not removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageProblem {
    pub id: String,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceReport {
    pub id: InstanceId,
    pub state: InstanceState,
    pub started_at: Option<DateTime<Utc>>,
    pub restarts: u32,
    pub exit_code: Option<i32>,
    pub out_of_memory: bool,
    pub probe: Option<ProbeEvidence>,
    /// Why it failed, once it has.
    pub failure: Option<Failure>,
    /// It has written more to its disk than it may, on a host that cannot keep it from that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_disk: Option<OverDisk>,
}

/// What was seen when an instance had written too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverDisk {
    pub used_bytes: u64,
    pub limit_mb: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(
    feature = "control-plane",
    derive(sqlx::Type, utoipa::ToSchema),
    sqlx(type_name = "text", rename_all = "kebab-case")
)]
pub enum InstanceState {
    /// Known to the control plane, nothing seen yet.
    Pending,
    /// Fetching its image.
    Pulling,
    /// Started; the probe has not succeeded yet.
    Starting,
    Healthy,
    /// Runs, but the probe fails.
    Unhealthy,
    /// Ended by itself; the agent starts it again after a back-off.
    Exited,
    /// Gave up: it never became healthy, its image cannot be had, or it ended again and again. See the report's failure.
    Failed,
    /// Ended because the control plane said so.
    Stopped,
}

/// A step of a running job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobProgress {
    pub job_id: JobId,
    pub stage: Stage,
    pub at: DateTime<Utc>,
    /// How a source without a Containerfile is built; said when that is known, before anything is built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Box<Recipe>>,
}

/// Lines of a job's log, numbered from 1 without gaps. Sent again until acknowledged; storing twice is harmless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLog {
    pub job_id: JobId,
    pub lines: Vec<LogLine>,
}

/// Lines of one instance. `seq` counts from 1 per instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceLog {
    pub app_id: AppId,
    pub instance_id: InstanceId,
    pub release: i32,
    pub lines: Vec<LogLine>,
}

/// The value of a variable was about to be in a log; the node put its name there instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrubbed {
    pub app_id: AppId,
    /// Its name.
    pub variable: String,
    pub from: ScrubbedFrom,
}

/// The first key with which a host of repositories proved itself in a build over SSH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitHostKey {
    pub job_id: JobId,
    pub host: String,
    /// `TYPE KEY`.
    pub key: String,
}

/// Whose log it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScrubbedFrom {
    Build(JobId),
    Instance(InstanceId),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct LogLine {
    pub seq: i64,
    pub at: DateTime<Utc>,
    pub stream: Stream,
    /// One line without its end, at most 16 KiB; longer ones are cut.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(
    feature = "control-plane",
    derive(sqlx::Type, utoipa::ToSchema),
    sqlx(type_name = "text", rename_all = "kebab-case")
)]
pub enum Stream {
    Stdout,
    Stderr,
    /// Said by `WiseHosting` itself.
    System,
}

/// Every 5 s; may be dropped, the newest wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    pub at: DateTime<Utc>,
    pub instances: Vec<InstanceStats>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct InstanceStats {
    pub id: InstanceId,
    /// Thousandths of a core.
    pub cpu_millis: u32,
    pub memory_bytes: u64,
    /// Since it was started.
    pub received_bytes: u64,
    pub sent_bytes: u64,
    /// Bytes a second since the sample before; absent in the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receive_rate: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_rate: Option<u64>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// Written to its own disk; measured seldom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
}
