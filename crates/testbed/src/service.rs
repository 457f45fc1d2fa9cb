//! What a host's init keeps running: one file per service in the host's `services` folder.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// One supervised process. Like a systemd unit with `Restart=always`, `RestartSec=1` and `KillMode=process`: what it
/// detached lives on when it dies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    pub name: String,
    pub command: Vec<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Runs as this user instead of root.
    #[serde(default)]
    pub user: Option<String>,
    /// Where init listens for it, as a socket unit does: while it is stopped or restarts, connections wait. Two at most.
    #[serde(default)]
    pub sockets: Vec<SocketAddr>,
    /// How to ask it to stop.
    #[serde(default)]
    pub stop: StopSignal,
    /// False: stop it and keep it stopped.
    pub wanted: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopSignal {
    #[default]
    Terminate,
    /// Postgres waits for its clients after SIGTERM, not after SIGINT.
    Interrupt,
}

impl Service {
    pub fn new(name: &str, command: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            env: BTreeMap::new(),
            user: None,
            sockets: Vec::new(),
            stop: StopSignal::default(),
            wanted: true,
        }
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    /// Writes `<folder>/<name>.json` as a whole, so that init never reads a part.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(format!("{}.json", self.name));
        let beside = folder.join(format!(".{}.new", self.name));
        fs::write(&beside, serde_json::to_vec_pretty(self)?)?;
        fs::rename(&beside, &path).with_context(|| format!("cannot write {}", path.display()))
    }

    pub fn read(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(format!("{name}.json"));
        let text =
            fs::read(&path).with_context(|| format!("there is no service {name} ({})", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("cannot read {}", path.display()))
    }

    /// All services in `folder`, in the order of their names.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>> {
        let mut services = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".json")) {
                services.push(Self::read(folder, name)?);
            }
        }
        services.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(services)
    }
}
