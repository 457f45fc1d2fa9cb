use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What somebody should look at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Notice {
    pub(crate) kind: String,
    pub(crate) subject: String,
    pub(crate) severity: String,
    pub(crate) text: String,
    pub(crate) hint: Option<String>,
    pub(crate) first_seen: DateTime<Utc>,
    pub(crate) resolved_at: Option<DateTime<Utc>>,
}
