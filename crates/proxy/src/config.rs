//! `proxy.toml`.

use std::net::SocketAddr;
use std::path::PathBuf;

use daemon::config::{Check, Invalid};
use serde::Deserialize;

/// Settings of the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// State folder of `wisehosting-mesh`, which writes this host's identity there.
    pub node_dir: PathBuf,
    /// Routes and certificates are kept here.
    pub state_dir: PathBuf,
    #[serde(default = "default_http")]
    pub http: SocketAddr,
    #[serde(default = "default_https")]
    pub https: SocketAddr,
    /// `/health` and `/metrics`, on the mesh address.
    #[serde(default = "default_mesh_port")]
    pub mesh_port: u16,
}

fn default_http() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 80))
}

fn default_https() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 443))
}

fn default_mesh_port() -> u16 {
    8091
}

impl Check for Config {
    fn check(&self) -> Result<(), Invalid> {
        for (key, folder) in [("node_dir", &self.node_dir), ("state_dir", &self.state_dir)] {
            if !folder.is_absolute() {
                return Err(Invalid::new(
                    key,
                    format!("must be an absolute path, not `{}`", folder.display()),
                ));
            }
        }
        if self.node_dir == self.state_dir {
            return Err(Invalid::new("state_dir", "must be another folder than `node_dir`"));
        }
        if self.http.port() == 0 || self.https.port() == 0 {
            let key = if self.http.port() == 0 { "http" } else { "https" };
            return Err(Invalid::new(key, "must name a port"));
        }
        if self.http == self.https {
            return Err(Invalid::new("https", format!("must not be `http`'s address, {}", self.http)));
        }
        if self.mesh_port == 0 {
            return Err(Invalid::new("mesh_port", "must not be 0"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("proxy.toml");
        std::fs::write(&path, text).expect("write");
        daemon::config::load(&path).map_err(|error| error.to_string())
    }

    const FOLDERS: &str = "node_dir = '/n'\nstate_dir = '/s'\n";

    #[test]
    fn two_folders_are_enough() {
        let config = load(FOLDERS).expect("good");
        assert_eq!((config.http.port(), config.https.port(), config.mesh_port), (80, 443, 8091));
    }

    #[test]
    fn errors_name_the_key() {
        for (text, key) in [
            ("node_dir = '/n'\nstate_dir = 's'", "state_dir"),
            ("node_dir = '/n'\nstate_dir = '/n'", "state_dir"),
            (&format!("{FOLDERS}http = '0.0.0.0:443'"), "https"),
            (&format!("{FOLDERS}http = '0.0.0.0:0'"), "http"),
            (&format!("{FOLDERS}http = 80"), "http"),
            (&format!("{FOLDERS}htttp = '0.0.0.0:80'"), "htttp"),
            (&format!("{FOLDERS}mesh_port = 0"), "mesh_port"),
        ] {
            let error = load(text).unwrap_err();
            assert!(error.contains(&format!("`{key}`")) || error.contains(key), "{text}: {error}");
        }
    }
}
