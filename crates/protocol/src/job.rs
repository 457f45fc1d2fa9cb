//! Durable jobs that agents carry out: building an image, ordering a certificate. Claimed once, run under a lease;
//! a failure is reported, never retried by the agent.

use std::collections::BTreeMap;

pub use crate::order::{
    CertificateOrder, ChallengeKind, ChallengePending, ChallengeRequest, ExternalAccount, NewAccount,
};
use chrono::{DateTime, Utc};
pub use presets::{Preset, Recipe};
use serde::{Deserialize, Serialize};

use crate::identity::SigningKey;
use crate::ids::{AppId, ArchiveId, DeploymentId, JobId};
use crate::ticket;

/// A job as handed to an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    pub work: Work,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Work {
    Build(Box<Build>),
    Certificate(Box<CertificateOrder>),
}

/// Source to image.
#[derive(Clone, Serialize, Deserialize)]
pub struct Build {
    pub deployment_id: DeploymentId,
    pub app_id: AppId,
    pub app: String,
    pub source: Source,
    pub containerfile: Box<Containerfile>,
    pub limits: BuildLimits,
    /// Every step is carried out anew, and base images are looked up again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_cache: bool,
    /// Name for the image, for example `wisehosting/hello:0198…`.
    pub tag: String,
    /// What the platform tells the build about the app: arguments, for a Containerfile that asks for them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub predefined: BTreeMap<String, String>,
    /// Added when the job is sent.
    #[serde(default, skip_serializing_if = "BuildSecrets::is_empty")]
    pub secrets: Box<BuildSecrets>,
}

/// What a build may use and nobody else may know.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildSecrets {
    pub registries: Vec<RegistryLogin>,
    /// The app's variables: what its log must not show.
    pub variables: BTreeMap<String, String>,
    /// Names of those that build steps may mount.
    pub mounted: Vec<String>,
    /// For fetching the source, not for building it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<GitAccess>,
}

impl BuildSecrets {
    pub fn is_empty(&self) -> bool {
        self.registries.is_empty() && self.variables.is_empty() && self.git.is_none()
    }
}

impl std::fmt::Debug for BuildSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BuildSecrets { … }")
    }
}

/// With what images of one registry are pulled.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryLogin {
    /// Host and perhaps port, as in the names of images.
    pub host: String,
    pub username: String,
    pub password: String,
}

impl std::fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryLogin").field("host", &self.host).finish_non_exhaustive()
    }
}

/// With what private repositories of one host are fetched.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitAccess {
    /// Host and, if it is not the usual one, port. No other is shown the secret.
    pub host: String,
    pub secret: GitSecret,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum GitSecret {
    /// Over HTTPS.
    Token { username: String, token: String },
    /// Over SSH.
    Key {
        private_key: String,
        /// Lines of `TYPE KEY` that the host may prove itself with; without any the first one that it shows is taken,
        /// and told.
        host_keys: Vec<String>,
    },
}

impl std::fmt::Debug for GitAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitAccess").field("host", &self.host).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for GitSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GitSecret { … }")
    }
}

impl std::fmt::Debug for Build {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Build")
            .field("app", &self.app)
            .field("deployment_id", &self.deployment_id)
            .finish_non_exhaustive()
    }
}

/// Where the image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub enum Source {
    /// A gzipped tar that was uploaded; the agent gets it at `/v1/archives/<id>`.
    Archive { archive_id: ArchiveId },
    /// A repository, cloned by the agent.
    Git {
        url: String,
        /// Branch, tag or commit.
        r#ref: String,
        /// Whether repositories that it refers to are fetched as well, at the commits that it names.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        submodules: bool,
        /// Whether large files (LFS) are fetched as well; else there are pointers in their place.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        lfs: bool,
    },
    /// An image of a registry; nothing is built.
    Image { reference: String },
}

/// How to build a source that is not an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct Containerfile {
    /// Folder of the source that is built as if it were the whole; the root when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Path below that folder; `Containerfile`, then `Dockerfile`, when absent. With neither, a preset that fits.
    pub path: Option<String>,
    /// The preset that builds, whatever else the source has. Not together with `path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// The folder that is served, for presets that serve files: below the build context, or of what is built in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish: Option<String>,
    /// Whether `index.html` is served for paths that are no file, for presets that serve files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spa: Option<bool>,
    /// Folder below that folder that is the build context.
    pub context: String,
    /// Stage to stop at.
    pub target: Option<String>,
    /// Build arguments; not for secrets, they stay in the image's history.
    pub args: BTreeMap<String, String>,
    /// Of the image that is made.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// `linux/amd64`, `linux/arm/v7`; the worker's own when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Ask the registry for a newer base image in every build, rather than take what the worker has.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pull: bool,
}

impl Default for Containerfile {
    fn default() -> Self {
        Self {
            folder: None,
            path: None,
            preset: None,
            publish: None,
            spa: None,
            context: ".".to_owned(),
            target: None,
            args: BTreeMap::new(),
            labels: BTreeMap::new(),
            platform: None,
            pull: false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildLimits {
    pub memory_mb: u32,
    pub cpu_millis: u32,
    /// Seconds for the whole job.
    pub timeout_s: u32,
    /// Bytes of source after unpacking.
    pub source_bytes: u64,
}

/// How a job ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    Built(Built),
    Issued(Issued),
    Failed(Failure),
    /// A failure that repeats itself until a time which the other side named.
    Limited {
        failure: Failure,
        until: DateTime<Utc>,
    },
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// `sha256:…` of the image's configuration: Podman's image id.
    pub image_id: String,
    /// For people.
    pub reference: String,
    pub size_bytes: u64,
    /// Ports that the image exposes, lowest first.
    pub exposed_ports: Vec<u16>,
    /// Commit that was built, for git sources.
    pub commit: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Issued {
    pub chain_pem: String,
    pub key_pem: String,
    /// Credentials of a new account, as JSON. The control plane has them already unless it is of an earlier release.
    pub account: Option<String>,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Issued { … }")
    }
}

/// [`Failure::code`] of an instance that the crash guard stopped.
pub const CRASH_LOOPING: &str = "crash_looping";

/// Why a job or a roll-out failed, in words for the user, with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct Failure {
    /// Stable word, for example `containerfile_failed`, `image_not_found`, `never_listened`, `crash_looping`.
    pub code: String,
    /// One sentence: what happened.
    pub message: String,
    /// One sentence: what to do.
    pub hint: Option<String>,
    /// The stage in which it happened.
    pub stage: Stage,
    pub exit_code: Option<i32>,
    pub out_of_memory: bool,
    /// The last lines of the app or the build, oldest first; for a Containerfile with the failing line.
    #[serde(default)]
    pub last_lines: Vec<String>,
    /// The last attempt of the probe.
    pub probe: Option<ProbeEvidence>,
}

/// What the last attempt of a probe saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct ProbeEvidence {
    pub at: DateTime<Utc>,
    /// What was asked, for example `GET http://10.50.0.2:20001/up`.
    pub target: String,
    pub attempts: u32,
    /// For example `connection refused` or `HTTP 503 in 12 ms`.
    pub outcome: String,
    /// The start of the answer's body, at most 256 bytes of text.
    pub body: Option<String>,
}

/// The stages of a deployment, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(
    feature = "control-plane",
    derive(sqlx::Type, utoipa::ToSchema),
    sqlx(type_name = "text", rename_all = "kebab-case")
)]
pub enum Stage {
    /// Waiting for a free build slot.
    Queue,
    /// Getting the source onto the worker.
    Fetch,
    /// `podman build`, or pulling the image.
    Build,
    /// Containers of the new release start.
    Start,
    /// The probe, from outside.
    Probe,
    /// The new release enters the route table and every live proxy acknowledges.
    Route,
    /// The old release leaves, drains and stops.
    Drain,
}

impl Stage {
    pub const ALL: [Self; 7] =
        [Self::Queue, Self::Fetch, Self::Build, Self::Start, Self::Probe, Self::Route, Self::Drain];
}

/// Lets the bearer fetch one image from one worker until a time. Made by the control plane and checked by that
/// worker, with the key that signs its envelopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageTicket {
    pub image_id: String,
    /// Unix time in seconds.
    pub expires_at: i64,
}

impl ImageTicket {
    pub fn seal(&self, key: &SigningKey) -> String {
        ticket::seal(TICKET, &self.image_id, self.expires_at, key)
    }

    /// Whether `ticket` opens `image_id` at `now` (Unix seconds).
    pub fn admits(ticket: &str, image_id: &str, key: &SigningKey, now: i64) -> bool {
        ticket::admits(ticket, TICKET, image_id, key, now)
    }
}

const TICKET: &str = "image";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ApiKey;

    #[test]
    fn a_ticket_opens_its_image_on_its_worker_until_its_end() {
        let key = ApiKey::generate().signing_key();
        let ticket = ImageTicket { image_id: "sha256:aa".to_owned(), expires_at: 100 }.seal(&key);
        assert!(ImageTicket::admits(&ticket, "sha256:aa", &key, 99));
        assert!(!ImageTicket::admits(&ticket, "sha256:aa", &key, 100), "expired");
        assert!(!ImageTicket::admits(&ticket, "sha256:bb", &key, 99), "another image");
        assert!(
            !ImageTicket::admits(&ticket, "sha256:aa", &ApiKey::generate().signing_key(), 99),
            "another worker"
        );
        assert!(!ImageTicket::admits("200.00", "sha256:aa", &key, 99), "forged");
    }
}
