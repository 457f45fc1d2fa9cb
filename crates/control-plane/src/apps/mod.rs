//! Apps, their settings, and how they are.

pub mod api;
pub mod instances;
pub mod power;
pub mod rules;
pub mod store;
#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};
use protocol::ids::{AppId, DeploymentId, ProjectId};
use protocol::job::Containerfile;
use protocol::spec::{Probe, Resources};
use serde::{Deserialize, Serialize};

use crate::deployments;
use crate::http::extract::present;

/// What the next release of an app takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = AppSettings)]
pub struct Settings {
    /// The port that the app listens on; the lowest that the image exposes when null.
    pub port: Option<u16>,
    pub replicas: u16,
    pub probe: Probe,
    pub resources: Resources,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// How to build; the defaults when null.
    pub containerfile: Option<Containerfile>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: None,
            replicas: 1,
            probe: Probe::default(),
            resources: Resources::default(),
            command: None,
            containerfile: None,
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
    /// Replaced as a whole.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Probe>)]
    pub probe: Option<Option<Probe>>,
    /// Replaced as a whole.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Resources>)]
    pub resources: Option<Option<Resources>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>)]
    pub command: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Containerfile>)]
    pub containerfile: Option<Option<Containerfile>>,
}

impl SettingsPatch {
    pub fn apply(self, settings: &mut Settings) {
        if let Some(port) = self.port {
            settings.port = port;
        }
        if let Some(replicas) = self.replicas {
            settings.replicas = replicas;
        }
        if let Some(probe) = self.probe {
            settings.probe = probe.unwrap_or_default();
        }
        if let Some(resources) = self.resources {
            settings.resources = resources.unwrap_or_default();
        }
        if let Some(command) = self.command {
            settings.command = command;
        }
        if let Some(containerfile) = self.containerfile {
            settings.containerfile = containerfile;
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
    pub certificate: Certificate,
    /// Since when it is to be stopped; null when it is to run.
    pub stopped_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
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

/// Instances of the release that serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct InstanceCount {
    pub wanted: i64,
    pub healthy: i64,
    /// When the one seen longest ago was seen.
    pub observed_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = CertificateState)]
pub struct Certificate {
    pub state: Certification,
    pub not_after: Option<DateTime<Utc>>,
    pub issuer: Option<String>,
    /// Why the last order failed.
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Certification {
    None,
    Pending,
    Issued,
    Failed,
}

/// How an app is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = AppStatus)]
pub enum Status {
    /// Nothing was deployed yet.
    Empty,
    Deploying,
    /// All wanted instances are healthy.
    Running,
    /// Some wanted instances are healthy.
    Degraded,
    Failed,
    /// Somebody stopped it: nothing is to run, its release and its address stay.
    Stopped,
    /// Nobody has seen its instances lately.
    Unknown,
}

/// What a status is derived from.
#[derive(Debug, Clone, Copy)]
pub struct Evidence {
    /// Of the newest deployment.
    pub latest: Option<deployments::State>,
    pub has_release: bool,
    /// Whether somebody stopped it.
    pub stopped: bool,
    /// Instances that exist of the release that serves.
    pub existing: i64,
    pub instances: InstanceCount,
}

/// An observation older than this says nothing; workers report every 30 s.
const STALE_AFTER: TimeDelta = TimeDelta::seconds(45);

/// How an app is, from what is known at `now`.
pub fn status(evidence: &Evidence, now: DateTime<Utc>) -> Status {
    let InstanceCount { wanted, healthy, observed_at } = evidence.instances;
    match evidence.latest {
        Some(latest) if !latest.is_final() => return Status::Deploying,
        Some(deployments::State::Failed) if !evidence.has_release => return Status::Failed,
        _ if !evidence.has_release => return Status::Empty,
        _ if evidence.stopped => return Status::Stopped,
        _ => {}
    }
    let seen_lately = observed_at.is_some_and(|at| now - at <= STALE_AFTER);
    if evidence.existing > 0 && !seen_lately {
        Status::Unknown
    } else if healthy >= wanted {
        Status::Running
    } else if healthy > 0 {
        Status::Degraded
    } else {
        Status::Failed
    }
}

#[cfg(test)]
mod status_tests {
    use super::*;
    use crate::deployments::State;

    fn of(latest: Option<State>, has_release: bool, existing: i64, healthy: i64, age: Option<i64>) -> Status {
        let now = Utc::now();
        let observed_at = age.map(|age| now - TimeDelta::seconds(age));
        let instances = InstanceCount { wanted: 2, healthy, observed_at };
        status(&Evidence { latest, has_release, stopped: false, existing, instances }, now)
    }

    #[test]
    fn without_a_release_the_newest_deployment_decides() {
        assert_eq!(of(None, false, 0, 0, None), Status::Empty);
        assert_eq!(of(Some(State::Cancelled), false, 0, 0, None), Status::Empty);
        assert_eq!(of(Some(State::Failed), false, 0, 0, None), Status::Failed);
    }

    #[test]
    fn a_deployment_on_its_way_shows_whatever_runs() {
        for state in [State::Queued, State::Building, State::RollingOut] {
            assert_eq!(of(Some(state), false, 0, 0, None), Status::Deploying);
            assert_eq!(of(Some(state), true, 2, 2, Some(1)), Status::Deploying);
        }
    }

    #[test]
    fn with_a_release_the_healthy_instances_decide() {
        assert_eq!(of(Some(State::Live), true, 2, 2, Some(1)), Status::Running);
        assert_eq!(of(Some(State::Live), true, 2, 1, Some(1)), Status::Degraded);
        assert_eq!(of(Some(State::Live), true, 2, 0, Some(1)), Status::Failed);
        assert_eq!(of(Some(State::Live), true, 0, 0, None), Status::Failed, "nothing runs");
    }

    #[test]
    fn a_failed_deployment_does_not_hide_that_the_old_release_serves() {
        assert_eq!(of(Some(State::Failed), true, 2, 2, Some(1)), Status::Running);
    }

    #[test]
    fn a_stopped_app_is_stopped_until_a_deployment_is_on_its_way() {
        let instances = InstanceCount { wanted: 0, healthy: 0, observed_at: None };
        let of = |latest| Evidence { latest, has_release: true, stopped: true, existing: 0, instances };
        assert_eq!(status(&of(Some(State::Live)), Utc::now()), Status::Stopped);
        assert_eq!(status(&of(Some(State::Failed)), Utc::now()), Status::Stopped);
        assert_eq!(status(&of(Some(State::RollingOut)), Utc::now()), Status::Deploying);
    }

    #[test]
    fn an_old_observation_says_nothing() {
        assert_eq!(of(Some(State::Live), true, 2, 2, Some(44)), Status::Running);
        assert_eq!(of(Some(State::Live), true, 2, 2, Some(46)), Status::Unknown);
        assert_eq!(of(Some(State::Live), true, 2, 0, None), Status::Unknown);
    }

    #[test]
    fn a_patch_tells_null_from_absent() {
        let mut settings = Settings { port: Some(80), replicas: 3, ..Settings::default() };
        let patch = |text: &str| serde_json::from_str::<SettingsPatch>(text).expect("patch");
        patch("{}").apply(&mut settings);
        assert_eq!((settings.port, settings.replicas), (Some(80), 3));
        patch(r#"{"port":null,"replicas":2}"#).apply(&mut settings);
        assert_eq!((settings.port, settings.replicas), (None, 2));
        serde_json::from_str::<SettingsPatch>(r#"{"prot":80}"#).expect_err("misspelt");
    }
}
