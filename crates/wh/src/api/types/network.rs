use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The private network of a project.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Network {
    pub(crate) project: String,
    pub(crate) apps: Vec<PrivateApp>,
    pub(crate) grants: Vec<Grant>,
    #[serde(default)]
    pub(crate) egress: Option<Vec<EgressRule>>,
}

/// An app as the containers of a project reach it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PrivateApp {
    pub(crate) app: String,
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) address: String,
    #[serde(default)]
    pub(crate) ports: Vec<u16>,
    #[serde(default)]
    pub(crate) instances: i64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) from: String,
    pub(crate) to_project: String,
    #[serde(default)]
    pub(crate) to_app: Option<String>,
    pub(crate) created_by: String,
    pub(crate) created_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EgressRule {
    pub(crate) to: String,
    #[serde(default)]
    pub(crate) ports: Vec<u16>,
}
