//! `proxy.toml`.

mod limits;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use daemon::config::{Check, Invalid};
use ipnet::IpNet;
use serde::Deserialize;
use url::{Host, Url};

use crate::public::{DRAIN_LONGEST_S, DRAIN_S};
pub use limits::Limits;

/// Settings of the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// State folder of `wisehosting-mesh`, which writes this host's identity there.
    pub node_dir: PathBuf,
    /// Routes and certificates are kept here.
    pub state_dir: PathBuf,
    http: Option<SocketAddr>,
    https: Option<SocketAddr>,
    /// `/health` and `/metrics`, on the mesh address.
    #[serde(default = "default_mesh_port")]
    pub mesh_port: u16,
    /// Seconds after SIGTERM in which new connections are still served, while `/health` says `draining`.
    #[serde(default = "default_drain_s")]
    pub drain_s: u16,
    /// Load balancers whose connections begin with a header of the PROXY protocol.
    #[serde(default)]
    pub proxy_protocol: Vec<IpNet>,
    /// What one client may take.
    #[serde(default)]
    pub limits: Limits,
    /// Traefik serves the public, and this process tells it what. Without it this process serves by itself.
    pub traefik: Option<Traefik>,
}

/// Settings of the way to Traefik.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traefik {
    /// What Traefik's file provider watches. This process writes it.
    pub dynamic_file: PathBuf,
    /// Traefik's API, by which this process sees what Traefik serves.
    #[serde(default = "default_api")]
    pub api: Url,
    /// Traefik's access log in JSON, from which the apps' traffic is told. This process empties it when it is long.
    pub access_log: Option<PathBuf>,
}

fn default_mesh_port() -> u16 {
    8091
}

fn default_drain_s() -> u16 {
    DRAIN_S
}

fn default_api() -> Url {
    Url::parse("http://127.0.0.1:8079").expect("a good URL")
}

impl Config {
    /// Where plain HTTP comes in. Behind Traefik that is ACME's challenges alone.
    pub fn http(&self) -> SocketAddr {
        self.http.unwrap_or(match self.traefik {
            None => SocketAddr::from(([0, 0, 0, 0], 80)),
            Some(_) => SocketAddr::from(([127, 0, 0, 1], 8078)),
        })
    }

    /// Where HTTPS comes in, unless that is Traefik's.
    pub fn https(&self) -> Option<SocketAddr> {
        let all = SocketAddr::from(([0, 0, 0, 0], 443));
        self.traefik.is_none().then(|| self.https.unwrap_or(all))
    }
}

impl Check for Config {
    fn check(&self) -> Result<(), Invalid> {
        for (key, folder) in [("node_dir", &self.node_dir), ("state_dir", &self.state_dir)] {
            absolute(key, folder)?;
        }
        if self.node_dir == self.state_dir {
            return Err(Invalid::new("state_dir", "must be another folder than `node_dir`"));
        }
        for (key, address) in [("http", self.http), ("https", self.https)] {
            if address.is_some_and(|address| address.port() == 0) {
                return Err(Invalid::new(key, "must name a port"));
            }
        }
        if self.https() == Some(self.http()) {
            return Err(Invalid::new("https", format!("must not be `http`'s address, {}", self.http())));
        }
        if self.mesh_port == 0 {
            return Err(Invalid::new("mesh_port", "must not be 0"));
        }
        if self.drain_s > DRAIN_LONGEST_S {
            return Err(Invalid::new("drain_s", format!("must be at most {DRAIN_LONGEST_S}")));
        }
        if let Some(problem) = self.proxy_protocol.iter().find_map(everybody) {
            return Err(Invalid::new("proxy_protocol", problem));
        }
        if let Some((key, problem)) = self.limits.wrong() {
            return Err(Invalid::new(format!("limits.{key}"), problem));
        }
        match &self.traefik {
            Some(traefik) => self.check_behind(traefik),
            None => Ok(()),
        }
    }
}

impl Config {
    fn check_behind(&self, traefik: &Traefik) -> Result<(), Invalid> {
        let http = self.http();
        if !http.ip().is_loopback() {
            let problem = format!(
                "must be a loopback address, not {http}: with `[traefik]`, Traefik serves the public and sends ACME's challenges here"
            );
            return Err(Invalid::new("http", problem));
        }
        if self.https.is_some() {
            let problem = "must not be set beside `[traefik]`: HTTPS is Traefik's entry point `websecure`";
            return Err(Invalid::new("https", problem));
        }
        for (key, set) in [
            ("proxy_protocol", !self.proxy_protocol.is_empty()),
            ("limits", self.limits != Limits::default()),
        ] {
            if set {
                let problem = "must not be set beside `[traefik]`: set it in Traefik's own configuration";
                return Err(Invalid::new(key, problem));
            }
        }
        traefik.check(&self.state_dir)
    }
}

impl Traefik {
    fn check(&self, state_dir: &Path) -> Result<(), Invalid> {
        let key = "traefik.dynamic_file";
        absolute(key, &self.dynamic_file)?;
        if !self.dynamic_file.extension().is_some_and(|extension| extension == "yml" || extension == "yaml") {
            return Err(Invalid::new(key, "must end in .yml or .yaml: Traefik reads no other"));
        }
        if self.dynamic_file.starts_with(state_dir) {
            let problem =
                "must not be in `state_dir`, which is closed to Traefik: name a folder that it can read";
            return Err(Invalid::new(key, problem));
        }
        if let Some(log) = &self.access_log {
            let key = "traefik.access_log";
            absolute(key, log)?;
            if log.starts_with(state_dir) {
                let problem =
                    "must not be in `state_dir`, which is closed to Traefik: name a file that both can write";
                return Err(Invalid::new(key, problem));
            }
        }
        let loopback = match self.api.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            _ => false,
        };
        let bare = self.api.path() == "/" && self.api.query().is_none() && self.api.username().is_empty();
        if self.api.scheme() != "http" || !loopback || !bare {
            let problem = format!(
                "must be http:// with a loopback address and a port, for example {}, not {}",
                default_api(),
                self.api
            );
            return Err(Invalid::new("traefik.api", problem));
        }
        Ok(())
    }
}

/// Why `network` cannot be that of load balancers.
pub(crate) fn everybody(network: &IpNet) -> Option<String> {
    (network.prefix_len() == 0).then(|| {
        format!("must not be {network}: anybody could claim any address. Name the load balancers' networks")
    })
}

fn absolute(key: &str, path: &Path) -> Result<(), Invalid> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(Invalid::new(key, format!("must be an absolute path, not `{}`", path.display())))
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
    const TRAEFIK: &str = "[traefik]\ndynamic_file = '/t/dynamic.yaml'\n";

    #[test]
    fn two_folders_are_enough() {
        let config = load(FOLDERS).expect("good");
        let https = config.https().map(|address| address.port());
        assert_eq!((config.http().port(), https, config.mesh_port), (80, Some(443), 8091));
    }

    #[test]
    fn behind_traefik_only_challenges_come_in_and_only_on_loopback() {
        let config = load(&format!("{FOLDERS}{TRAEFIK}")).expect("good");
        assert_eq!((config.http().to_string().as_str(), config.https()), ("127.0.0.1:8078", None));
        assert_eq!(config.traefik.expect("set").api.as_str(), "http://127.0.0.1:8079/");
    }

    #[test]
    fn limits_and_trusted_senders_are_settings_each_by_itself() {
        let config = load(&format!(
            "{FOLDERS}proxy_protocol = ['10.0.0.0/8', '2001:db8::/48']\n[limits]\ndownload_stall_s = 30"
        ))
        .expect("good");
        assert_eq!(config.proxy_protocol.len(), 2);
        let limits = ingress::Limits::from(&config.limits);
        let expected = ingress::Limits {
            download_stall: std::time::Duration::from_secs(30),
            ..ingress::Limits::default()
        };
        assert_eq!(limits, expected);
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
            (&format!("{FOLDERS}drain_s = 601"), "drain_s"),
            (&format!("{FOLDERS}http = '0.0.0.0:80'\n{TRAEFIK}"), "http"),
            (&format!("{FOLDERS}https = '0.0.0.0:443'\n{TRAEFIK}"), "https"),
            (&format!("{FOLDERS}proxy_protocol = ['10.0.0.0/33']"), "proxy_protocol"),
            (&format!("{FOLDERS}proxy_protocol = ['0.0.0.0/0']"), "proxy_protocol"),
            (&format!("{FOLDERS}proxy_protocol = ['10.0.0.0/8']\n{TRAEFIK}"), "proxy_protocol"),
            (&format!("{FOLDERS}[limits]\nheaders = 0"), "limits.headers"),
            (&format!("{FOLDERS}[limits]\nheader_bytes = 100"), "limits.header_bytes"),
            (&format!("{FOLDERS}[limits]\nconnections_per_client = 20000"), "limits.connections_per_client"),
            (&format!("{FOLDERS}[limits]\nhead_timeout = 3"), "head_timeout"),
            (&format!("{FOLDERS}[limits]\nheaders = 50\n{TRAEFIK}"), "limits"),
            (&format!("{FOLDERS}[traefik]"), "dynamic_file"),
            (&format!("{FOLDERS}[traefik]\ndynamic_file = 't.yaml'"), "traefik.dynamic_file"),
            (&format!("{FOLDERS}[traefik]\ndynamic_file = '/t/t.json'"), "traefik.dynamic_file"),
            (&format!("{FOLDERS}[traefik]\ndynamic_file = '/s/t.yml'"), "traefik.dynamic_file"),
            (&format!("{FOLDERS}{TRAEFIK}access_log = 'access.log'"), "traefik.access_log"),
            (&format!("{FOLDERS}{TRAEFIK}access_log = '/s/access.log'"), "traefik.access_log"),
            (&format!("{FOLDERS}{TRAEFIK}port = 1"), "port"),
            (&format!("{FOLDERS}{TRAEFIK}api = 'http://192.0.2.1:8079'"), "traefik.api"),
            (&format!("{FOLDERS}{TRAEFIK}api = 'https://127.0.0.1:8079'"), "traefik.api"),
            (&format!("{FOLDERS}{TRAEFIK}api = 'http://127.0.0.1:8079/dashboard'"), "traefik.api"),
        ] {
            let error = load(text).unwrap_err();
            assert!(error.contains(&format!("`{key}`")) || error.contains(key), "{text}: {error}");
        }
    }
}
