//! Builds that survive the agent. Each has a folder and a process of its own, started by the agent but owing it
//! nothing: the agent may be killed and started again, then follows the folder from where it was.
//!
//! `<state_dir>/jobs/<id>/`
//!
//! | file | written by | holds |
//! |---|---|---|
//! | `job.json` | agent | what to do; everything the process needs |
//! | `source.tar.gz` | agent | the uploaded archive, if that is the source |
//! | `process.json` | process | its pid and start time |
//! | `log.jsonl` | both, in turn | numbered lines and stages |
//! | `cancelled` | agent | the wish to end it |
//! | `outcome.json` | process | how it ended, whole or not at all |
//! | `acked` | agent | how far `log.jsonl` was acknowledged |

mod archive;
mod attach;
mod build;
pub(crate) mod cache;
mod command;
mod containerfile;
mod folder;
mod git;
mod log;
mod predefined;
mod preset;
mod process;
mod run;
mod secrets;
mod target;

use std::path::PathBuf;

use ipnet::IpNet;
use protocol::ids::JobId;
use protocol::job::Build;
use serde::{Deserialize, Serialize};

pub use attach::{JobCommand, Jobs, JobsConfig};
pub use run::{prepare, run};
pub(crate) use target::check_registry;

/// Network of all build containers.
pub const BUILD_NETWORK: &str = "wisehosting-build";
/// Its addresses.
pub const BUILD_SUBNET: &str = "10.89.0.0/16";

/// The content of `job.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobFile {
    pub id: JobId,
    pub build: Build,
    pub settings: BuildSettings,
}

/// What this host allows to builds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BuildSettings {
    pub socket: PathBuf,
    /// Where apps keep what their builds keep for later ones. A job of an older agent does not know.
    #[serde(default)]
    pub caches: Option<PathBuf>,
    pub memory_mb: u32,
    pub cpu_millis: u32,
    pub timeout_s: u32,
    pub allow_file_urls: bool,
    #[serde(default)]
    pub private_networks: Vec<IpNet>,
}

impl JobFile {
    fn memory_mb(&self) -> u32 {
        self.build.limits.memory_mb.min(self.settings.memory_mb)
    }

    fn cpu_millis(&self) -> u32 {
        self.build.limits.cpu_millis.min(self.settings.cpu_millis)
    }

    fn timeout_s(&self) -> u32 {
        self.build.limits.timeout_s.min(self.settings.timeout_s)
    }
}
