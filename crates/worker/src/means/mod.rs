//! By what means this host keeps instances apart and within their limits. Found out when the agent starts, because it
//! depends on the kernel, the disk and the installed tools; told to the control plane, so that a limit that nothing
//! enforces here is shown as such.

mod cgroups;
mod disk;
pub(crate) mod subvolume;
mod user_namespaces;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use protocol::enforced::{Enforced, Enforcement};
use tracing::{info, warn};

pub(crate) use cgroups::Cgroups;
pub(crate) use disk::DiskQuota;
pub use user_namespaces::UserNamespaces;
pub(crate) use user_namespaces::{IDS, Root};

use crate::podman::Podman;

/// For a look at the kernel by a program.
const LIMIT: Duration = Duration::from_secs(10);

/// What this host has.
#[derive(Debug, Clone)]
pub struct Means {
    pub(crate) cgroups: Cgroups,
    /// Whose rights root inside a container has.
    pub(crate) root: Root,
    pub(crate) disk: Result<DiskQuota, String>,
    /// Whether the kernel can hold back what interfaces send.
    pub(crate) bandwidth: Result<String, String>,
}

impl Means {
    /// Looks at the host. `wish` is what its configuration says of user namespaces.
    pub async fn of_this_host(podman: &Podman, wish: UserNamespaces) -> Self {
        let storage = podman.storage().await.map_err(|error| error.to_string());
        let means = Self {
            cgroups: Cgroups::of_this_host(),
            root: Root::choose(wish, user_namespaces::of_this_host(storage.as_ref().ok())),
            disk: match storage {
                Ok(storage) => disk::quota(&storage).await,
                Err(error) => Err(format!("Podman does not say how it stores containers: {error}")),
            },
            bandwidth: shaping().await,
        };
        means.log();
        means
    }

    /// In the words of the report.
    pub fn enforced(&self) -> Enforced {
        let limits = cgroups::Limits::read(self.cgroups, Path::new("/"));
        Enforced {
            user_namespaces: self.root.enforcement(),
            memory: limits.memory.into(),
            swap: limits.swap.into(),
            cpu: limits.cpu.into(),
            pids: limits.pids.into(),
            bandwidth: self.bandwidth.clone().into(),
            disk: match &self.disk {
                Ok(quota) => Enforcement::by(quota.to_string()),
                Err(why) => Enforcement::not(why),
            },
        }
    }

    fn log(&self) {
        let enforced = self.enforced();
        let all = [
            ("user namespaces", &enforced.user_namespaces),
            ("memory", &enforced.memory),
            ("swap", &enforced.swap),
            ("cpu", &enforced.cpu),
            ("pids", &enforced.pids),
            ("bandwidth", &enforced.bandwidth),
            ("disk", &enforced.disk),
        ];
        for (limit, found) in all {
            match (&found.by, &found.why_not) {
                (Some(by), _) => info!(limit, by, "enforced on this host"),
                (None, Some(why)) => warn!(limit, why, "not enforced on this host"),
                (None, None) => {}
            }
        }
    }
}

/// Tries in a network of its own, which is gone with the program: nothing of the host is touched.
async fn shaping() -> Result<String, String> {
    let mut try_it = tokio::process::Command::new("unshare");
    try_it.args(["--net", "tc", "qdisc", "add", "dev", "lo", "root", "tbf"]);
    try_it.args(["rate", "8000000bit", "burst", "65536", "latency", "100ms"]);
    try_it.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = match tokio::time::timeout(LIMIT, try_it.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(format!("cannot run unshare of util-linux: {error}")),
        Err(_) => return Err("`unshare --net tc` does not end".to_owned()),
    };
    if output.status.success() {
        return Ok("tc (tbf)".to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or_default().trim();
    Err(format!("the kernel needs sch_tbf and the host iproute2: {said}"))
}

#[cfg(test)]
impl Means {
    /// Of a host with new control groups and nothing else.
    pub(crate) fn sample() -> Self {
        let none = || "none".to_owned();
        Self { cgroups: Cgroups::V2, root: Root::OfHost(none()), disk: Err(none()), bandwidth: Err(none()) }
    }
}
