//! What the public API answers, as far as `wh` shows it. Fields that it does not know are ignored, ones that may be
//! missing are optional: an older `wh` must speak with a newer control plane. Statuses stay words for the same
//! reason.

mod activity;
mod certificates;
mod changes;
mod dns_providers;
mod doctor;
mod domains;
mod git;
mod healing;
mod mesh;
mod network;
mod node_pages;
mod nodes;
mod notices;
mod placement;
mod projects;
mod queue;
mod registries;
mod routes;
mod streams;
mod traffic;
mod zones;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub(crate) use activity::Activity;
pub(crate) use certificates::{Attempt, Certificate, CertificateDetail, ImportedCertificate, Server};
pub(crate) use changes::{Change, Comparison, Pending, Preview};
pub(crate) use dns_providers::{DnsProvider, DnsProviderTest};
pub(crate) use doctor::{DoctorReport, Finding};
pub(crate) use domains::Domain;
pub(crate) use git::{GitAccess, GitAccessAnswer};
pub(crate) use healing::{Correction, NodeHealing, Stray, WaitsFor};
pub(crate) use mesh::{Mesh, MeshFinding, MeshLink, MeshNode, MeshRotationsAsked};
pub(crate) use network::{EgressRule, Network};
pub(crate) use node_pages::{
    AgentLine, AgentLog, CleanableImage, Cleanup, CleanupPreview, NodeInstance, NodeInstances, NodeNow,
    NodePoint, NodeSeries, NodeStorage, Space,
};
pub(crate) use nodes::{
    Agent, Capability, Enforcement, Health, NewNodeToken, Node, NodeImages, NodeKey, NodeToken,
    OperatingSystem, RegisteredNode, Transition,
};
pub(crate) use notices::Notice;
pub(crate) use placement::{Drain, DrainLeft, Move, NodePlacement, PlannedMove};
pub(crate) use projects::Project;
pub(crate) use queue::QueuedBuild;
pub(crate) use registries::Registry;
pub(crate) use routes::{NewRouteToken, RouteTable, RouteToken, RouteView};
pub(crate) use streams::{Stream, Streams};
pub(crate) use traffic::{Accessed, AccessedPage, Traffic, TrafficNumbers};
pub(crate) use zones::Zone;

#[derive(Debug, Deserialize)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    #[serde(default)]
    pub(crate) next: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) user: User,
    pub(crate) organization: Organization,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) email: String,
    #[serde(default)]
    pub(crate) name: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Organization {
    pub(crate) slug: String,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) role: String,
}

/// A token as made for `wh login`. The secret is taken out at once.
#[derive(Deserialize)]
pub(crate) struct NewToken {
    pub(crate) id: String,
    pub(crate) token: secrecy::SecretString,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct App {
    pub(crate) slug: String,
    #[serde(default)]
    pub(crate) project: Named,
    #[serde(default)]
    pub(crate) hostname: String,
    #[serde(default)]
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) settings: serde_json::Value,
    #[serde(default)]
    pub(crate) release: Option<ReleaseBrief>,
    #[serde(default)]
    pub(crate) deployment: Option<DeploymentBrief>,
    #[serde(default)]
    pub(crate) instances: InstanceCount,
    #[serde(default)]
    pub(crate) failure: Option<Failed>,
    #[serde(default)]
    pub(crate) waits_for: Option<WaitsFor>,
    #[serde(default)]
    pub(crate) certificate: CertificateBrief,
    #[serde(default)]
    pub(crate) created_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Named {
    pub(crate) id: String,
    pub(crate) slug: String,
}

/// A deleted app.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tombstone {
    pub(crate) slug: String,
    pub(crate) deleted_at: DateTime<Utc>,
    #[serde(default)]
    pub(crate) deleted_by: String,
    pub(crate) gone_at: DateTime<Utc>,
    /// How many of each kind it has.
    #[serde(default)]
    pub(crate) pieces: BTreeMap<String, u64>,
}

/// What came of stop, start, restart and scale.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AppChanged {
    pub(crate) app: App,
    #[serde(default)]
    pub(crate) deployment: Option<Deployment>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ReleaseBrief {
    pub(crate) number: i64,
    #[serde(default)]
    pub(crate) created_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeploymentBrief {
    pub(crate) id: String,
    pub(crate) number: i64,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) created_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct InstanceCount {
    pub(crate) wanted: u32,
    pub(crate) healthy: u32,
    pub(crate) unknown: u32,
    pub(crate) observed_at: Option<DateTime<Utc>>,
    pub(crate) unknown_since: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CertificateBrief {
    pub(crate) state: String,
    pub(crate) not_after: Option<DateTime<Utc>>,
    pub(crate) error: Option<String>,
    /// The certificate's name, where that is not the host's.
    pub(crate) covered_by: Option<String>,
}

impl CertificateBrief {
    /// ` until 2026-06-01, by *.route.example.com`; empty while there is none.
    pub(crate) fn until(&self) -> String {
        let end = self.not_after.map(|end| format!(" until {}", end.format("%Y-%m-%d")));
        let by = self.covered_by.as_ref().map(|name| format!(", by {}", crate::ui::sanitize(name)));
        [end, by].into_iter().flatten().collect()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Deployment {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) app: Named,
    pub(crate) number: i64,
    #[serde(default)]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) source: Option<Source>,
    #[serde(default)]
    pub(crate) recipe: Option<Recipe>,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) waiting_for: Option<String>,
    /// Its build's place in the queue, while that waits.
    #[serde(default)]
    pub(crate) queue_position: Option<i64>,
    #[serde(default)]
    pub(crate) stages: Vec<StageProgress>,
    #[serde(default)]
    pub(crate) failure: Option<Failed>,
    #[serde(default)]
    pub(crate) release: Option<i64>,
    /// The release that served when it was asked for.
    #[serde(default)]
    pub(crate) from_release: Option<i64>,
    #[serde(default)]
    pub(crate) commit: Option<String>,
    #[serde(default)]
    pub(crate) image_size_bytes: Option<u64>,
    #[serde(default)]
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) created_by: String,
    pub(crate) created_at: DateTime<Utc>,
    #[serde(default)]
    pub(crate) finished_at: Option<DateTime<Utc>>,
}

impl Deployment {
    /// Whether nothing more will happen.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self.state.as_str(), "live" | "superseded" | "failed" | "cancelled")
    }

    /// Its release, and for a rollback the one that it leads away from.
    pub(crate) fn release_in_words(&self) -> String {
        let from = self.from_release.filter(|_| self.kind == "rollback");
        match (self.release, from) {
            (Some(to), Some(from)) => format!("{to} (from {from})"),
            (Some(to), None) => to.to_string(),
            (None, _) => String::new(),
        }
    }
}

/// How a preset builds a source.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Recipe {
    pub(crate) preset: String,
    pub(crate) because: Vec<String>,
    pub(crate) others: Vec<String>,
    pub(crate) port: u16,
    pub(crate) containerfile: String,
}

impl Recipe {
    pub(crate) fn in_words(&self) -> String {
        crate::ui::sanitize(&format!("{} · {}", self.preset, self.because.join(", ")))
    }
}

/// Where an image comes from, as sent and as answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Source {
    Archive {
        archive_id: String,
    },
    Git {
        url: String,
        r#ref: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        submodules: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        lfs: bool,
    },
    Image {
        reference: String,
    },
    /// A kind that this version does not know.
    #[serde(other)]
    Other,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Archive { .. } => f.write_str("upload"),
            Self::Git { url, r#ref, .. } => write!(f, "{url} {ref}"),
            Self::Image { reference } => f.write_str(reference),
            Self::Other => f.write_str("other"),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StageProgress {
    pub(crate) stage: String,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) started_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) finished_at: Option<DateTime<Utc>>,
}

/// Why a deployment or an instance failed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Failed {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) cause: String,
    pub(crate) hint: Option<String>,
    pub(crate) stage: String,
    pub(crate) exit_code: Option<i32>,
    pub(crate) out_of_memory: bool,
    pub(crate) last_lines: Vec<String>,
    pub(crate) probe: Option<Probed>,
}

/// What the last attempt of a probe saw.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Probed {
    pub(crate) at: Option<DateTime<Utc>>,
    pub(crate) target: String,
    pub(crate) attempts: u32,
    pub(crate) outcome: String,
    pub(crate) body: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LogLine {
    #[serde(default)]
    pub(crate) at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) stream: String,
    pub(crate) text: String,
}

/// One line of a running app.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AppLine {
    #[serde(default)]
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) stream: String,
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) instance_id: String,
    #[serde(default)]
    pub(crate) release: i64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct AppLines {
    pub(crate) lines: Vec<AppLine>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) node: InstanceNode,
    #[serde(default)]
    pub(crate) release: i64,
    #[serde(default)]
    pub(crate) wanted: bool,
    #[serde(default)]
    pub(crate) in_rotation: bool,
    #[serde(default)]
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) address: Option<String>,
    #[serde(default)]
    pub(crate) restarts: u32,
    #[serde(default)]
    pub(crate) exit_code: Option<i32>,
    #[serde(default)]
    pub(crate) started_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) observed_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) unknown_since: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) probe: Option<Probed>,
    #[serde(default)]
    pub(crate) failure: Option<Failed>,
    #[serde(default)]
    pub(crate) unenforced: Vec<Unenforced>,
    #[serde(default)]
    pub(crate) stats: Option<Stats>,
    /// What its release lets it use.
    #[serde(default)]
    pub(crate) resources: serde_json::Value,
    #[serde(default)]
    pub(crate) isolation: serde_json::Value,
}

/// A limit that nothing enforces on the instance's node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Unenforced {
    pub(crate) setting: String,
    pub(crate) why: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct InstanceNode {
    pub(crate) id: String,
    pub(crate) name: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Stats {
    pub(crate) cpu_millis: u64,
    pub(crate) memory_bytes: u64,
    /// Bytes a second.
    pub(crate) receive_rate: Option<u64>,
    pub(crate) send_rate: Option<u64>,
    pub(crate) pids: Option<u64>,
    pub(crate) disk_bytes: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Release {
    pub(crate) number: i64,
    #[serde(default)]
    pub(crate) image: Image,
    #[serde(default)]
    pub(crate) source: Option<serde_json::Value>,
    #[serde(default)]
    pub(crate) commit: Option<String>,
    #[serde(default)]
    pub(crate) created_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) deployment_id: Option<String>,
    /// How it came to be.
    #[serde(default)]
    pub(crate) origin: Option<Origin>,
    #[serde(default)]
    pub(crate) current: bool,
    /// It serves because of a rollback from this one.
    #[serde(default)]
    pub(crate) rolled_back_from: Option<i64>,
    /// Whether its image is kept. Servers that do not say so keep all.
    #[serde(default = "yes")]
    pub(crate) kept: bool,
}

/// The deployment that made a release.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Origin {
    pub(crate) number: i64,
    pub(crate) kind: String,
    pub(crate) created_by: String,
    pub(crate) message: String,
    pub(crate) from_release: Option<i64>,
    pub(crate) duration_ms: Option<u64>,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Image {
    pub(crate) id: String,
    pub(crate) reference: String,
    pub(crate) size_bytes: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Variables {
    pub(crate) variables: Vec<Variable>,
    #[serde(default)]
    pub(crate) pending: bool,
    /// What every container is told besides.
    #[serde(default)]
    pub(crate) predefined: Vec<Predefined>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deployment: Option<Deployment>,
}

/// A variable that the platform sets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Predefined {
    pub(crate) name: String,
    pub(crate) about: String,
    /// Absent where instances differ.
    #[serde(default)]
    pub(crate) value: Option<String>,
}

/// The variables as a text. Has no `Debug`: it holds values.
#[derive(Serialize, Deserialize)]
pub(crate) struct EnvFile {
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) locked: Vec<String>,
}

/// Body of `PATCH …/env/file`. Has no `Debug`: it holds values.
#[derive(Serialize)]
pub(crate) struct EnvFileChange<'a> {
    pub(crate) text: &'a str,
    pub(crate) keep: bool,
    pub(crate) deploy: bool,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Variable {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) value: Option<String>,
    /// Build steps may mount it.
    #[serde(default)]
    pub(crate) build_time: bool,
    /// Nothing is deployed while it has no value.
    #[serde(default)]
    pub(crate) required: bool,
    /// Its value is never shown.
    #[serde(default)]
    pub(crate) locked: bool,
    #[serde(default)]
    pub(crate) comment: Option<String>,
    #[serde(default)]
    pub(crate) updated_at: Option<DateTime<Utc>>,
}

impl std::fmt::Debug for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Variable").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Body of `PATCH …/env`. Has no `Debug`: it holds values.
#[derive(Default, Serialize)]
pub(crate) struct VariableChange<'a> {
    pub(crate) set: BTreeMap<&'a str, &'a str>,
    pub(crate) unset: Vec<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) build_time: BTreeMap<&'a str, bool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) required: BTreeMap<&'a str, bool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) locked: BTreeMap<&'a str, bool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) comments: BTreeMap<&'a str, &'a str>,
    pub(crate) deploy: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Archive {
    pub(crate) id: String,
}
