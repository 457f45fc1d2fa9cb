//! What happened to an app.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Something that happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Activity {
    pub(crate) at: DateTime<Utc>,
    #[serde(default)]
    pub(crate) actor: String,
    #[serde(default)]
    pub(crate) action: String,
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) deployment: Option<String>,
}
