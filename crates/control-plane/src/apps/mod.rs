//! Apps and their settings.

use protocol::job::Containerfile;
use protocol::spec::{Probe, Resources};
use serde::{Deserialize, Serialize};

/// What the next release of an app takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
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
