//! `mesh.toml`.

use std::net::SocketAddr;
use std::path::PathBuf;

use daemon::config::{Check, Invalid};
use daemon::http::check_base_url;
use ipnet::Ipv4Net;
use protocol::identity::Role;
use protocol::labels::{self, Labels};
use protocol::spec::MeshPeer;
use serde::Deserialize;
use url::Url;

use super::keys;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Holds the keys, `identity.json` and `peers.json`.
    pub state_dir: PathBuf,
    #[serde(default = "default_interface")]
    pub interface: String,
    #[serde(default = "default_port")]
    pub port: u16,
    #[serde(default = "default_mtu")]
    pub mtu: u32,
    #[serde(default)]
    pub backend: Backend,
    pub node: Node,
    /// A host that joins by token.
    pub control_plane: Option<ControlPlane>,
    /// A host that the control plane's configuration names.
    pub declared: Option<Declared>,
}

/// Which `WireGuard`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// The kernel's where it has one.
    #[default]
    Auto,
    Kernel,
    Userspace,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    pub name: String,
    pub roles: Vec<Role>,
    /// Where other nodes reach this host's tunnel.
    pub endpoint: Option<SocketAddr>,
    /// Sent when the host joins by token; those of a declared host are in the control plane's configuration.
    #[serde(default)]
    pub labels: Labels,
    /// DNS suffix that the host serves; sent like the labels.
    pub zone: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlPlane {
    pub url: Url,
    pub root_certificate: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// This host's mesh address and the length of the mesh prefix, for example `10.50.0.11/24`.
    pub address: Ipv4Net,
    pub control_planes: Vec<Url>,
    #[serde(default)]
    pub peers: Vec<MeshPeer>,
}

fn default_interface() -> String {
    "wh0".to_owned()
}

fn default_port() -> u16 {
    51821
}

fn default_mtu() -> u32 {
    1420
}

impl Check for Config {
    fn check(&self) -> Result<(), Invalid> {
        let invalid = |key: &str, problem: &str| Err(Invalid::new(key, problem));
        check_interface(&self.interface).map_err(|problem| Invalid::new("interface", problem))?;
        if self.port == 0 {
            return invalid("port", "must not be 0: other nodes need to know it");
        }
        if !(1280..=9000).contains(&self.mtu) {
            return invalid("mtu", "must be from 1280 to 9000");
        }
        let name = &self.node.name;
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 63 || !name.chars().all(letters) {
            return invalid("node.name", "must be 1 to 63 of a-z, 0-9 and -");
        }
        labels::check(&self.node.labels).map_err(|problem| Invalid::new("node.labels", problem))?;
        if let Some(zone) = &self.node.zone {
            labels::check_zone(zone).map_err(|problem| Invalid::new("node.zone", problem))?;
        }
        match (&self.control_plane, &self.declared) {
            // A declared host may have none: it may be there for a database alone.
            (Some(_), None) if self.node.roles.is_empty() => {
                invalid("node.roles", "must name a role: control-plane, worker or proxy")
            }
            (Some(control_plane), None) => check_base_url(&control_plane.url)
                .map_err(|problem| Invalid::new("control_plane.url", problem)),
            (None, Some(declared)) => declared.check(),
            _ => invalid("control_plane", "or `declared` must be set, and only one of them"),
        }
    }
}

impl Declared {
    fn check(&self) -> Result<(), Invalid> {
        let address = self.address;
        if address.addr() == address.network()
            || address.addr() == address.broadcast()
            || !(8..=30).contains(&address.prefix_len())
        {
            return Err(Invalid::new(
                "declared.address",
                "must be this host's address and the length of the mesh prefix, for example 10.50.0.11/24",
            ));
        }
        if self.control_planes.is_empty() {
            return Err(Invalid::new("declared.control_planes", "must name a control plane on the mesh"));
        }
        for url in &self.control_planes {
            check_base_url(url).map_err(|problem| Invalid::new("declared.control_planes", problem))?;
        }
        for peer in &self.peers {
            if !keys::is_public_key(&peer.public_key) {
                let key = format!("declared.peers.{}.public_key", peer.name);
                return Err(Invalid::new(key, "must be a WireGuard public key: 44 characters of base64"));
            }
            if !address.contains(&peer.mesh_address) {
                let key = format!("declared.peers.{}.mesh_address", peer.name);
                return Err(Invalid::new(key, format!("must be within {}", address.trunc())));
            }
        }
        Ok(())
    }
}

/// Interface names go to `ip` and into a path, so they are held to letters that mean nothing there.
pub fn check_interface(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let first = name.chars().next().is_some_and(|c| c.is_ascii_lowercase());
    if first && name.len() <= 15 && name.chars().all(good) {
        Ok(())
    } else {
        Err("must be 1 to 15 of a-z, 0-9 and -, and begin with a letter".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

    fn check(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("mesh.toml");
        std::fs::write(&path, text).expect("write");
        daemon::config::load(&path).map_err(|error| error.to_string())
    }

    fn declared(address: &str, url: &str, key: &str) -> String {
        format!(
            r#"
            state_dir = "/var/lib/wisehosting/mesh"
            [node]
            name = "w1"
            roles = ["worker"]
            [declared]
            address = "{address}"
            control_planes = ["{url}"]
            peers = [{{ name = "cp", public_key = "{key}", mesh_address = "10.50.0.1", endpoint = "198.51.100.10:51821" }}]
            "#
        )
    }

    fn enrolled(extra: &str) -> String {
        format!(
            "state_dir = \"/s\"\n{extra}\n[node]\nname = \"w2\"\nroles = [\"worker\"]\n[control_plane]\nurl = \"https://cp.example.com\"\n"
        )
    }

    #[test]
    fn both_ways_of_joining_are_read_and_defaults_are_those_of_the_documentation() {
        let config = check(&declared("10.50.0.11/24", "http://10.50.0.1:8081", KEY)).expect("declared");
        let text = declared("10.50.0.11/24", "http://10.50.0.1:8081", KEY).replace("[\"worker\"]", "[]");
        check(&text).expect("a host without a role");
        assert_eq!(config.declared.expect("declared").address.to_string(), "10.50.0.11/24");
        let config = check(&enrolled("")).expect("enrolled");
        assert_eq!((config.interface.as_str(), config.port, config.mtu), ("wh0", 51821, 1420));
        assert_eq!(config.backend, Backend::Auto);
    }

    #[test]
    fn what_cannot_hold_is_refused_by_its_key() {
        for (text, part) in [
            (enrolled("interface = \"-w\""), "`interface`"),
            (enrolled("interface = \"a b\""), "`interface`"),
            (enrolled("port = 0"), "`port`"),
            (enrolled("mtu = 100"), "`mtu`"),
            (enrolled("prot = 1"), "prot"),
            (enrolled("").replace("w2", "W 2"), "`node.name`"),
            (enrolled("").replace("[\"worker\"]", "[]"), "`node.roles`"),
            (enrolled("").replace("roles", "labels.Disk = \"nvme\"\nroles"), "`node.labels` `Disk`"),
            (enrolled("").replace("roles", "zone = \"de\"\nroles"), "`node.zone`"),
            (enrolled("").replace("https", "http"), "`control_plane.url`"),
            (declared("10.50.0.0/24", "http://10.50.0.1:8081", KEY), "`declared.address`"),
            (declared("10.50.0.11/24", "http://198.51.100.10", KEY), "`declared.control_planes`"),
            (declared("10.50.0.11/24", "http://10.50.0.1:8081", "short"), "`declared.peers.cp.public_key`"),
            (declared("10.60.0.11/24", "http://10.50.0.1:8081", KEY), "`declared.peers.cp.mesh_address`"),
            (enrolled("").split("[control_plane]").next().expect("head").to_owned(), "`control_plane`"),
        ] {
            let error = check(&text).expect_err(part);
            assert!(error.contains(part), "{error} does not name {part}");
        }
    }
}
