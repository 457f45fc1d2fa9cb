use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GitAccessAnswer {
    #[serde(default)]
    pub(crate) access: Option<GitAccess>,
}

/// With what the private repositories of an app are fetched.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GitAccess {
    /// `token`, `key`.
    pub(crate) kind: String,
    pub(crate) host: String,
    #[serde(default)]
    pub(crate) username: Option<String>,
    #[serde(default)]
    pub(crate) public_key: Option<String>,
    #[serde(default)]
    pub(crate) host_keys: Vec<String>,
    #[serde(default)]
    pub(crate) updated_by: String,
    pub(crate) updated_at: DateTime<Utc>,
}
