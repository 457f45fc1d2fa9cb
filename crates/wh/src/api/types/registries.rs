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
    /// Where built images are kept below the host.
    pub(crate) images_path: Option<String>,
    #[serde(default)]
    pub(crate) images_kept: i64,
    #[serde(default)]
    pub(crate) images_waiting: i64,
    #[serde(default)]
    pub(crate) image_problems: Vec<String>,
}
