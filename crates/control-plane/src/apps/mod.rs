//! Apps, their settings, and how they are.

pub mod api;
pub mod instances;
pub mod own;
pub mod power;
pub mod rules;
pub mod status;
pub mod store;
#[cfg(test)]
mod tests;
pub mod unenforced;

use chrono::{DateTime, Utc};
use protocol::ids::{AppId, DeploymentId, ProjectId};
use protocol::job::{Containerfile, Failure};
use protocol::spec::{CrashGuard, Isolation, Probe, Resources};
use serde::{Deserialize, Serialize};

use crate::deployments;
use crate::http::extract::present;
use crate::placement::Placement;
use status::{InstanceCount, Status};

/// What the next release of an app takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = AppSettings)]
pub struct Settings {
    /// The port that the app listens on; the lowest that the image exposes when null.
    pub port: Option<u16>,
    pub replicas: u16,
    /// At most one instance at any time: the old one has ended before the new one starts, and where the node is gone,
    /// its lease.
    pub exclusive: bool,
    pub probe: Probe,
    pub resources: Resources,
    pub isolation: Isolation,
    pub crash_guard: CrashGuard,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// How to build; the defaults when null.
    pub containerfile: Option<Containerfile>,
    pub deploy: Deploy,
    pub placement: Placement,
}

/// How a release comes to serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Deploy {
    pub strategy: Strategy,
    /// Run in a container of a new release before any of its instances starts; fails the deployment when it fails.
    pub pre_command: Option<Vec<String>>,
    /// Run in a container of a new release once that is live. A failure is reported and undoes nothing.
    pub post_command: Option<Vec<String>>,
    /// Seconds that requests of its instances have to end once every proxy leads new ones elsewhere.
    pub drain_s: u32,
    /// Seconds that its instances then have between SIGTERM and SIGKILL.
    pub stop_grace_s: u32,
}

impl Default for Deploy {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            pre_command: None,
            post_command: None,
            drain_s: 10,
            stop_grace_s: 10,
        }
    }
}

/// How instances of a new release take the place of the old ones. Either way each is healthy before it takes requests,
/// and the old ones keep running until the new release is live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// All at once: no two releases serve side by side.
    #[default]
    BlueGreen,
    /// One after the other, each seen to be well under requests before the next starts.
    Rolling,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: None,
            replicas: 1,
            exclusive: false,
            probe: Probe::default(),
            resources: Resources::default(),
            isolation: Isolation::default(),
            crash_guard: CrashGuard::default(),
            command: None,
            containerfile: None,
            deploy: Deploy::default(),
            placement: Placement::default(),
        }
    }
}

impl Settings {
    /// What a release with an image that is there already takes. The port that was settled for the image stays,
    /// unless one is set.
    pub fn for_image_of(&self, released: &Self) -> Self {
        Self {
            port: self.port.or(released.port),
            containerfile: released.containerfile.clone(),
            ..self.clone()
        }
    }
}

/// A change of settings: what is absent stays; null takes the default.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingsPatch {
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u16>)]
    pub port: Option<Option<u16>>,
    pub replicas: Option<u16>,
    pub exclusive: Option<bool>,
    /// Replaced as a whole.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Probe>)]
    pub probe: Option<Option<Probe>>,
    /// Replaced as a whole.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Resources>)]
    pub resources: Option<Option<Resources>>,
    /// Replaced as a whole.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Isolation>)]
    pub isolation: Option<Option<Isolation>>,
    /// Replaced as a whole.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<CrashGuard>)]
    pub crash_guard: Option<Option<CrashGuard>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>)]
    pub command: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Containerfile>)]
    pub containerfile: Option<Option<Containerfile>>,
    /// Replaced as a whole.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Deploy>)]
    pub deploy: Option<Option<Deploy>>,
    /// Replaced as a whole.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Placement>)]
    pub placement: Option<Option<Placement>>,
}

impl SettingsPatch {
    pub fn apply(self, settings: &mut Settings) {
        if let Some(port) = self.port {
            settings.port = port;
        }
        if let Some(replicas) = self.replicas {
            settings.replicas = replicas;
        }
        if let Some(exclusive) = self.exclusive {
            settings.exclusive = exclusive;
        }
        if let Some(probe) = self.probe {
            settings.probe = probe.unwrap_or_default();
        }
        if let Some(resources) = self.resources {
            settings.resources = resources.unwrap_or_default();
        }
        if let Some(isolation) = self.isolation {
            settings.isolation = isolation.unwrap_or_default();
        }
        if let Some(guard) = self.crash_guard {
            settings.crash_guard = guard.unwrap_or_default();
        }
        if let Some(command) = self.command {
            settings.command = command;
        }
        if let Some(containerfile) = self.containerfile {
            settings.containerfile = containerfile;
        }
        if let Some(deploy) = self.deploy {
            settings.deploy = deploy.unwrap_or_default();
        }
        if let Some(placement) = self.placement {
            settings.placement = placement.unwrap_or_default();
        }
    }
}

/// An app as clients see it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = App)]
pub struct AppView {
    pub id: AppId,
    pub slug: String,
    pub project: ProjectRef,
    pub hostname: String,
    pub url: String,
    pub status: Status,
    /// What the next release takes.
    pub settings: Settings,
    /// The release that serves.
    pub release: Option<ReleaseRef>,
    /// The newest deployment.
    pub deployment: Option<DeploymentSummary>,
    pub instances: InstanceCount,
    /// Why an instance of the release that serves ended or was given up, as long as it does not run again.
    pub failure: Option<Failure>,
    /// The node that is gone and that an instance has to wait for; null when it is elsewhere or on its way.
    pub waits_for: Option<WaitsFor>,
    pub certificate: Certificate,
    /// Since when it is to be stopped; null when it is to run.
    pub stopped_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A node that is gone, without which an instance can be nowhere.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct WaitsFor {
    /// Its name.
    pub node: String,
    pub why: String,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ProjectRef {
    pub id: ProjectId,
    pub slug: String,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ReleaseRef {
    pub number: i32,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct DeploymentSummary {
    pub id: DeploymentId,
    pub number: i32,
    pub state: deployments::State,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = CertificateState)]
pub struct Certificate {
    pub state: Certification,
    pub not_after: Option<DateTime<Utc>>,
    pub issuer: Option<String>,
    /// Why the last order failed.
    pub error: Option<String>,
    /// The name of the certificate, such as `*.route.example.com`, where that is not the host's own.
    pub covered_by: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Certification {
    None,
    Pending,
    Issued,
    Failed,
    /// A Traefik's own resolver orders it; nothing more is known of it here.
    Elsewhere,
}
