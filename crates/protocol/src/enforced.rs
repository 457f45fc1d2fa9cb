//! Which limits and separations a worker's host really enforces: what it cannot is shown, not pretended.

use serde::{Deserialize, Serialize};

/// As the worker found it when it started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct Enforced {
    /// Root inside a container is nobody outside.
    pub user_namespaces: Enforcement,
    pub memory: Enforcement,
    /// That memory cannot be had as swap on top of the limit.
    pub swap: Enforcement,
    pub cpu: Enforcement,
    /// Processes and threads.
    pub pids: Enforcement,
    /// Of the network, both ways.
    pub bandwidth: Enforcement,
    /// What an instance writes to its own disk.
    pub disk: Enforcement,
}

/// Either what enforces it, or why nothing does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct Enforcement {
    /// Absent when nothing does.
    pub by: Option<String>,
    /// What is missing, and how to get it.
    pub why_not: Option<String>,
}

impl Enforcement {
    pub fn by(what: impl Into<String>) -> Self {
        Self { by: Some(what.into()), why_not: None }
    }

    pub fn not(why: impl Into<String>) -> Self {
        Self { by: None, why_not: Some(why.into()) }
    }

    pub fn is_enforced(&self) -> bool {
        self.by.is_some()
    }
}

impl From<Result<String, String>> for Enforcement {
    fn from(found: Result<String, String>) -> Self {
        match found {
            Ok(what) => Self::by(what),
            Err(why) => Self::not(why),
        }
    }
}
