//! Desired state: sent whole to the agent that owns it, with a generation; written to disk before it is acknowledged,
//! and, where acting on it could not be taken back, before it is acted on; converged to again and again.

mod change;
pub mod forward_auth;
mod isolation;
mod kind;
pub mod options;
pub mod private;
mod proxy;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{AppId, InstanceId, NodeId};
use crate::registry::CopyOrder;
pub use change::{Misfit, Piece, TAKES_CHANGES, TableChange};
pub use forward_auth::ForwardAuth;
pub use isolation::{Isolation, Tmpfs};
pub use options::RouteOptions;
pub use private::PrivateSpec;
pub use proxy::{AlpnChallenge, Certificate, HttpChallenge, ProxySpec, Route, Unavailable, Upstream};

/// Counts changes of one consumer's desired state. A higher one replaces a lower one, never the other way round.
pub type Generation = i64;

/// The desired state of one agent. How it is read: [`kind`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Spec {
    Mesh(MeshSpec),
    Worker(WorkerSpec),
    Proxy(ProxySpec),
}

/// A spec and its generation, as pushed and as kept on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Versioned<T> {
    pub generation: Generation,
    pub spec: T,
}

/// All peers of one node, the ways to them, and whether it should make another key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshSpec {
    pub peers: Vec<MeshPeer>,
    /// Asks for another API key, see [`crate::enrol::RotateRequest`]. Gone once that is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Uuid>,
    /// Asks for another key of this node's tunnel. Gone once the control plane knows that it is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_change: Option<KeyChange>,
    /// Length of the prefix of all addresses of the mesh; absent where it is what the host was told when it joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<u8>,
    /// Where else peers may be dialled than at their `endpoint`, by public key. Beside the peers and not in them: an
    /// older agent refuses a peer with a field that it does not know.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub candidates: BTreeMap<String, Vec<SocketAddr>>,
    /// Keys that peers begin to use soon, by the key that they use now. The tunnel takes both until one of them is gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub next_keys: BTreeMap<String, String>,
    /// Peers that are reached through another one, by public key: the key of the one that relays.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub relayed: BTreeMap<String, String>,
    /// Pairs of mesh addresses whose packets this node hands on, both ways.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relays: Vec<[Ipv4Addr; 2]>,
}

/// Another key for a node's tunnel. The host makes it and tells only its public half, see
/// [`crate::report::MeshReport::next_key`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    pub rotation: Uuid,
    /// The public key that all peers take by now: to be used from now on. Absent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Another node of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeshPeer {
    pub name: String,
    /// WireGuard public key, base64.
    pub public_key: String,
    pub mesh_address: Ipv4Addr,
    /// Address and UDP port; absent for a node that nobody can dial.
    pub endpoint: Option<SocketAddr>,
}

/// All instances of one worker, and what else it should do with its images.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerSpec {
    pub instances: Vec<InstanceSpec>,
    /// Absent when the control plane does not know of it yet: there are no names then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<PrivateSpec>,
    /// Images to have, although no instance here needs them.
    #[serde(default)]
    pub images: Vec<ImageSpec>,
    /// Ids of images that nobody needs any more. What is not in this list stays.
    #[serde(default)]
    pub remove_images: Vec<String>,
    /// Apps that are gone for good, and whose builds left a cache here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove_caches: Vec<AppId>,
    /// What to do in registries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<CopyOrder>,
}

/// One container that must run. An instance that is not in the spec must not run.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceSpec {
    pub id: InstanceId,
    pub app_id: AppId,
    pub app: String,
    /// Id of the project, whose instances share a network on each worker.
    pub project: String,
    /// Number of the release.
    pub release: i32,
    pub image: ImageSpec,
    /// Plain values; the spec is written to disk with mode 0600 and never logged.
    pub env: BTreeMap<String, String>,
    /// What the platform tells the app about itself, by names of variables. A container keeps what it was made with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub predefined: BTreeMap<String, String>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// The port that the app listens on inside its container.
    pub port: u16,
    /// Where the port is published: the node's mesh address and a port that the control plane allocated.
    pub published: SocketAddr,
    /// It is published for UDP as well, with the same numbers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub udp: bool,
    /// No other instance of the app may run beside it, anywhere: it runs only under a lease, see [`crate::lease`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exclusive: bool,
    pub probe: Probe,
    pub resources: Resources,
    #[serde(default, skip_serializing_if = "Isolation::is_default")]
    pub isolation: Isolation,
    /// Left out where it is the default: what a container is made from does not change by it.
    #[serde(default, skip_serializing_if = "CrashGuard::is_default")]
    pub crash_guard: CrashGuard,
    /// Seconds between SIGTERM and SIGKILL.
    pub stop_grace_s: u32,
    /// Runs to its end, once: it publishes nothing, is not probed and is never started again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub once: bool,
}

impl std::fmt::Debug for InstanceSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstanceSpec")
            .field("id", &self.id)
            .field("app", &self.app)
            .field("release", &self.release)
            .field("published", &self.published)
            .finish_non_exhaustive()
    }
}

/// Which image, and who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSpec {
    /// Image id as Podman names it (`sha256:` and 64 hexadecimal digits): the same on every host.
    pub id: String,
    /// For people: the name it was built or pulled by.
    pub reference: String,
    /// Other workers that have it.
    pub sources: Vec<ImageSource>,
}

/// A worker from which an image can be fetched: `GET http://<address>/v1/images/<id>` with the ticket as bearer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSource {
    pub node: NodeId,
    pub address: SocketAddr,
    /// See [`crate::job::ImageTicket`].
    pub ticket: String,
}

impl std::fmt::Debug for ImageSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageSource")
            .field("node", &self.node)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// How the agent finds out, from outside the container, that an instance serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct Probe {
    pub check: ProbeCheck,
    /// Seconds between two attempts.
    pub interval_s: u32,
    /// Seconds that one attempt may take.
    pub timeout_s: u32,
    /// Seconds after the start within which the first success must come.
    pub start_within_s: u32,
    /// Failures in a row that make a healthy instance unhealthy.
    pub failures: u32,
}

impl Default for Probe {
    /// kamal-proxy's figures, with TCP because not every app answers on a known path.
    fn default() -> Self {
        Self { check: ProbeCheck::Tcp, interval_s: 1, timeout_s: 5, start_within_s: 30, failures: 3 }
    }
}

/// What an attempt does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub enum ProbeCheck {
    /// A connection to the app's port.
    Tcp,
    /// `GET path`; any status from 200 to 399 unless one is named.
    Http {
        path: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
    },
    /// A program inside the container, without a shell; healthy when it ends with 0.
    Command { command: Vec<String> },
    /// None: healthy is what has run for the interval.
    Off,
}

/// What one instance may use.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct Resources {
    /// Memory in MiB; more than that and the kernel ends the instance.
    pub memory_mb: u32,
    /// Processor time in thousandths of a core.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub pids: u32,
}

impl Default for Resources {
    fn default() -> Self {
        Self { memory_mb: 512, cpu_millis: 1000, pids: 512 }
    }
}

/// When an instance that ends by itself is not started again any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct CrashGuard {
    /// Restarts in a row, with longer and longer pauses; the next end is final.
    pub restarts: u32,
    /// Seconds after which an instance that runs counts from the start again.
    pub calm_s: u32,
}

impl Default for CrashGuard {
    fn default() -> Self {
        Self { restarts: 5, calm_s: 300 }
    }
}

impl CrashGuard {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
