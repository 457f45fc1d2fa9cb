//! `worker.toml`.

use std::net::SocketAddr;
use std::path::PathBuf;

use daemon::config::{Check, Invalid};
use ipnet::{IpNet, Ipv4Net};
use serde::Deserialize;

use crate::guard::is_interface;
use crate::means::UserNamespaces;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The mesh agent's state folder, where `identity.json` is.
    #[serde(default = "default_node_dir")]
    pub node_dir: PathBuf,
    #[serde(default = "default_state_dir")]
    pub state_dir: PathBuf,
    #[serde(default)]
    pub podman: PodmanConfig,
    #[serde(default)]
    pub builds: Builds,
    #[serde(default)]
    pub instances: Instances,
    #[serde(default)]
    pub mesh: Mesh,
    /// Where visitors of the direct zones that point at this worker come in, such as `0.0.0.0:8080`. Without it the
    /// worker answers for no zone.
    pub ingress: Option<SocketAddr>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PodmanConfig {
    pub socket: PathBuf,
}

/// Ceilings; a build may ask for less.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Builds {
    /// Builds at the same time.
    pub slots: u32,
    pub memory_mb: u32,
    pub cpu_millis: u32,
    pub timeout_s: u32,
    /// Lets a build name any repository on this host; for test beds only.
    pub allow_file_urls: bool,
    /// Networks besides the public ones whose git servers builds may name, such as `192.168.1.0/24`.
    pub private_networks: Vec<IpNet>,
}

/// What instances may reach.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Instances {
    /// Private networks that apps and build steps may reach, such as the one of a database: `192.168.1.0/24`.
    pub private_networks: Vec<Ipv4Net>,
    /// Whether root inside a container is nobody on the host.
    pub user_namespaces: UserNamespaces,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mesh {
    /// Of the HTTP server on the mesh address.
    pub port: u16,
    pub interface: String,
    pub cidr: Ipv4Net,
}

impl Config {
    /// Of the process that answers names.
    pub fn names_dir(&self) -> PathBuf {
        self.state_dir.join("names")
    }
}

fn default_node_dir() -> PathBuf {
    PathBuf::from("/var/lib/wisehosting/mesh")
}

fn default_state_dir() -> PathBuf {
    PathBuf::from("/var/lib/wisehosting/worker")
}

impl Default for PodmanConfig {
    fn default() -> Self {
        Self { socket: PathBuf::from("/run/podman/podman.sock") }
    }
}

impl Default for Builds {
    fn default() -> Self {
        Self {
            slots: 2,
            memory_mb: 2048,
            cpu_millis: 2000,
            timeout_s: 1800,
            allow_file_urls: false,
            private_networks: Vec::new(),
        }
    }
}

impl Default for Mesh {
    fn default() -> Self {
        Self {
            port: 8090,
            interface: "wh0".to_owned(),
            cidr: Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 50, 0, 0), 24),
        }
    }
}

impl Check for Config {
    fn check(&self) -> Result<(), Invalid> {
        let at_least = |key: &str, value: u32, least: u32| {
            if value < least { Err(Invalid::new(key, format!("must be at least {least}"))) } else { Ok(()) }
        };
        for (key, path) in [
            ("node_dir", &self.node_dir),
            ("state_dir", &self.state_dir),
            ("podman.socket", &self.podman.socket),
        ] {
            if !path.is_absolute() {
                return Err(Invalid::new(key, "must be an absolute path"));
            }
        }
        at_least("builds.slots", self.builds.slots, 1)?;
        at_least("builds.memory_mb", self.builds.memory_mb, 64)?;
        at_least("builds.cpu_millis", self.builds.cpu_millis, 10)?;
        at_least("builds.timeout_s", self.builds.timeout_s, 1)?;
        at_least("mesh.port", u32::from(self.mesh.port), 1)?;
        if self.ingress.is_some_and(|address| address.port() == 0) {
            return Err(Invalid::new("ingress", "must name a port, such as 0.0.0.0:8080"));
        }
        if !is_interface(&self.mesh.interface) {
            return Err(Invalid::new(
                "mesh.interface",
                "must be the name of a network interface, such as wh0",
            ));
        }
        if self.mesh.cidr.trunc() != self.mesh.cidr || self.mesh.cidr.prefix_len() < 8 {
            return Err(Invalid::new("mesh.cidr", "must be a network such as 10.50.0.0/24"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<(), String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check().map_err(|invalid| invalid.key)
    }

    #[test]
    fn an_empty_file_is_a_worker_with_defaults() {
        checked("").expect("defaults");
    }

    #[test]
    fn settings_that_cannot_hold_are_named() {
        for (text, key) in [
            ("state_dir = \"here\"", "state_dir"),
            ("[builds]\nslots = 0", "builds.slots"),
            ("ingress = \"0.0.0.0:0\"", "ingress"),
            ("ingress = \"8080\"", "ingress"),
            ("[mesh]\ninterface = \"a;b\"", "mesh.interface"),
            ("[mesh]\ncidr = \"10.50.0.1/24\"", "mesh.cidr"),
            ("[mesh]\nprot = 1", "prot"),
            ("[instances]\nuser_namespaces = \"yes\"", "user_namespaces"),
        ] {
            let error = checked(text).expect_err(text);
            assert!(error.contains(key), "{error}");
        }
    }
}
