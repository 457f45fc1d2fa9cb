use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A stored login to a registry of images.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Registry {
    pub(crate) host: String,
    pub(crate) username: String,
    #[serde(default)]
    pub(crate) updated_by: String,
    pub(crate) updated_at: DateTime<Utc>,
}
