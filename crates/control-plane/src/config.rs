//! The configuration file of the control plane.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use daemon::config::{Check, Invalid};
use daemon::credentials::{ExposeSecret, SecretString};
use ipnet::Ipv4Net;
use protocol::identity::Role;
use protocol::labels::{self, Labels};
use serde::Deserialize;
use url::Url;

pub use crate::certificates::config::{Acme, Budget};
use crate::dns::config::Dns;
use crate::nodes::health::config::NodeHealth;
use crate::nodes::numbers::config::NodeNumbers;
use crate::placement::config::Placement;
use crate::streams::ports::Ports;
use crate::traffic::config::Traffic;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub api_server: ApiServer,
    pub database: Database,
    pub mesh: Mesh,
    pub proxy: Proxy,
    /// Without it apps are served over plain HTTP only.
    pub acme: Option<Acme>,
    /// Nodes known by their mesh address, which need no join token.
    #[serde(default)]
    pub nodes: Vec<DeclaredNode>,
    #[serde(default)]
    pub node_health: NodeHealth,
    #[serde(default)]
    pub node_numbers: NodeNumbers,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub images: Images,
    #[serde(default)]
    pub dns: Dns,
    #[serde(default)]
    pub traffic: Traffic,
    #[serde(default)]
    pub placement: Placement,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiServer {
    /// Dashboard, API and enrolment.
    pub listen: SocketAddr,
    /// PEM; with both set the listener speaks TLS 1.3.
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    /// The same routes in plain HTTP on loopback, for a front proxy or `wh` on the same host.
    pub local_listen: Option<SocketAddr>,
    /// The same in plain HTTP for the fleet's proxies, which then serve `base_url`.
    pub front_listen: Option<SocketAddr>,
    /// Agents, Traefik provider, health and metrics.
    pub mesh_listen: SocketAddr,
    /// What people and joining hosts call this control plane.
    pub base_url: Url,
    /// All keys are derived from it. Credential `api_server_secret` wins; without either one is made on first start.
    pub secret: Option<SecretString>,
    pub state_dir: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Credential `database_url` wins.
    pub url: Option<SecretString>,
    /// Connections of the pool.
    #[serde(default = "default_connections")]
    pub connections: u32,
}

fn default_connections() -> u32 {
    20
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mesh {
    pub cidr: Ipv4Net,
    /// This host's address on the mesh.
    pub address: Ipv4Addr,
    /// Where nodes reach this host's tunnel.
    pub endpoint: SocketAddrV4,
    /// Written by the mesh agent of this host; waited for.
    pub public_key_file: PathBuf,
    /// This host's name as a node.
    #[serde(default = "default_name")]
    pub name: String,
    /// What this host is besides a control plane.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// This host's labels as a node.
    #[serde(default)]
    pub labels: Labels,
    /// DNS suffix that this host serves.
    pub zone: Option<String>,
    /// Age in days at which the key of a node's tunnel is replaced; absent for never.
    #[serde(default)]
    pub rotate_after_days: Option<u32>,
}

fn default_name() -> String {
    "control-plane".to_owned()
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// The zone: apps are served at `<slug>.<subdomain_base>`.
    pub subdomain_base: String,
    /// Bearer of the Traefik provider endpoints. Credential `proxy_token` wins; without either one is made on first
    /// start.
    pub token: Option<SecretString>,
    /// Ports of the proxies that apps may have for TCP and UDP, such as `30000-30999, 5432`; empty for none.
    #[serde(default)]
    pub stream_ports: Ports,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredNode {
    pub name: String,
    /// None for a host that is there for a database alone.
    pub roles: Vec<Role>,
    /// WireGuard public key, base64.
    pub public_key: String,
    pub mesh_address: Ipv4Addr,
    pub endpoint: Option<SocketAddr>,
    #[serde(default)]
    pub labels: Labels,
    /// DNS suffix that the host serves.
    pub zone: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of an uploaded source archive.
    pub archive_bytes: u64,
    /// Bytes of a source after unpacking.
    pub source_bytes: u64,
    /// Megabytes of memory of one build.
    pub build_memory_mb: u32,
    /// Thousandths of a core of one build.
    pub build_cpu_millis: u32,
    /// Seconds of one build.
    pub build_timeout_s: u32,
    /// Sessions in instances of one organization at the same time.
    pub exec_sessions: u32,
    /// Seconds without input and output after which a session ends.
    pub exec_idle_s: u32,
    /// Seconds of one session.
    pub exec_total_s: u32,
    /// Programs in containers of their own of one app at the same time.
    pub run_sessions: u32,
    /// Seconds of one of these.
    pub run_total_s: u32,
    /// Bytes of one copy into or out of an instance.
    pub copy_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            archive_bytes: 100 << 20,
            source_bytes: 1 << 30,
            build_memory_mb: 2048,
            build_cpu_millis: 2000,
            build_timeout_s: 1800,
            exec_sessions: 20,
            exec_idle_s: 1800,
            exec_total_s: 28_800,
            run_sessions: 5,
            run_total_s: 3600,
            copy_bytes: 1 << 30,
        }
    }
}

/// Which images are kept, so that a release of them can serve again without a build.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Images {
    /// Per app, the newest images that have served.
    pub keep_releases: u8,
    /// Seconds that an image stays after the last need of it.
    pub remove_after_s: u32,
    /// Megabytes that builds may leave on each worker for later builds, beside the images that are kept.
    pub cache_mb: u32,
}

impl Default for Images {
    fn default() -> Self {
        Self { keep_releases: 5, remove_after_s: 3600, cache_mb: 10_240 }
    }
}

/// The smallest useful file; also in the documentation.
pub(crate) const EXAMPLE: &str = r#"
[api_server]
listen = "0.0.0.0:8080"
mesh_listen = "10.50.0.1:8081"
base_url = "https://cp.example.com"
state_dir = "/var/lib/wisehosting/control-plane"
[database]
url = "postgres:///wisehosting"
[mesh]
cidr = "10.50.0.0/24"
address = "10.50.0.1"
endpoint = "203.0.113.1:51821"
public_key_file = "/var/lib/wisehosting/mesh/public.key"
[proxy]
subdomain_base = "route.example.com"
"#;

impl Check for Config {
    fn check(&self) -> Result<(), Invalid> {
        self.api_server.check()?;
        self.mesh.check()?;
        self.check_front()?;
        self.images.check()?;
        self.node_health.check()?;
        self.node_numbers.check()?;
        self.dns.check()?;
        self.traffic.check()?;
        self.placement.check()?;
        if !is_domain(&self.proxy.subdomain_base) {
            return Err(Invalid::new(
                "proxy.subdomain_base",
                "must be a domain name such as route.example.com",
            ));
        }
        if self.mesh.rotate_after_days == Some(0) {
            return Err(Invalid::new("mesh.rotate_after_days", "must be at least 1; leave it out for never"));
        }
        if let Some((port, what)) = self.proxy.stream_ports.reserved(self) {
            return Err(Invalid::new("proxy.stream_ports", format!("must not have {port}, which is {what}")));
        }
        if let Some(acme) = &self.acme {
            acme.check()?;
        }
        self.check_nodes()
    }
}

impl Config {
    /// The documented example.
    pub fn example() -> Self {
        toml::from_str(EXAMPLE).expect("a test reads the example")
    }

    fn check_nodes(&self) -> Result<(), Invalid> {
        for (index, node) in self.nodes.iter().enumerate() {
            let key = |field: &str| format!("nodes[{index}].{field}");
            if !is_label(&node.name) {
                return Err(Invalid::new(key("name"), "must be 1 to 63 of a-z, 0-9 and -"));
            }
            check_labels(&key(""), &node.labels, node.zone.as_deref())?;
            if !self.mesh.cidr.contains(&node.mesh_address) || node.mesh_address == self.mesh.address {
                return Err(Invalid::new(
                    key("mesh_address"),
                    format!("must be another address than mesh.address inside {}", self.mesh.cidr),
                ));
            }
            let same = |other: &&DeclaredNode| {
                other.name == node.name
                    || other.mesh_address == node.mesh_address
                    || other.public_key == node.public_key
            };
            if node.name == self.mesh.name {
                return Err(Invalid::new(key("name"), "must be another name than mesh.name"));
            }
            if self.nodes[..index].iter().any(|other| same(&other)) {
                return Err(Invalid::new(
                    format!("nodes[{index}]"),
                    "repeats the name, mesh_address or public_key of a node above it",
                ));
            }
        }
        Ok(())
    }
}

impl Images {
    fn check(&self) -> Result<(), Invalid> {
        if !(1..=50).contains(&self.keep_releases) {
            return Err(Invalid::new("images.keep_releases", "must be between 1 and 50"));
        }
        // A release that is being made needs its image before it says so.
        if self.remove_after_s < 10 {
            return Err(Invalid::new("images.remove_after_s", "must be at least 10"));
        }
        Ok(())
    }
}

impl ApiServer {
    fn check(&self) -> Result<(), Invalid> {
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err(Invalid::new(
                "api_server.tls_cert",
                "needs tls_key beside it, and the other way round",
            ));
        }
        if self.local_listen.is_some_and(|address| !address.ip().is_loopback()) {
            return Err(Invalid::new(
                "api_server.local_listen",
                "must be a loopback address: it speaks plain HTTP",
            ));
        }
        if !matches!(self.base_url.scheme(), "http" | "https") || self.base_url.host().is_none() {
            return Err(Invalid::new("api_server.base_url", "must be an http:// or https:// URL"));
        }
        if self.secret.as_ref().is_some_and(|secret| secret.expose_secret().len() < 32) {
            return Err(Invalid::new(
                "api_server.secret",
                "must have at least 32 characters: openssl rand -hex 32",
            ));
        }
        Ok(())
    }
}

impl Mesh {
    fn check(&self) -> Result<(), Invalid> {
        if !(16..=30).contains(&self.cidr.prefix_len()) {
            return Err(Invalid::new("mesh.cidr", "must be between a /16 and a /30"));
        }
        if !self.cidr.contains(&self.address) {
            return Err(Invalid::new("mesh.address", format!("must be inside mesh.cidr {}", self.cidr)));
        }
        if !is_label(&self.name) {
            return Err(Invalid::new("mesh.name", "must be 1 to 63 of a-z, 0-9 and -"));
        }
        check_labels("mesh.", &self.labels, self.zone.as_deref())
    }
}

fn check_labels(table: &str, labels: &Labels, zone: Option<&str>) -> Result<(), Invalid> {
    labels::check(labels).map_err(|problem| Invalid::new(format!("{table}labels"), problem))?;
    zone.map_or(Ok(()), labels::check_zone).map_err(|problem| Invalid::new(format!("{table}zone"), problem))
}

/// One DNS label: 1 to 63 of `a-z`, `0-9` and `-`, no hyphen at the ends.
pub fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Labels with dots between them.
pub fn is_domain(text: &str) -> bool {
    text.len() <= 200 && text.contains('.') && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = r#"
[[nodes]]
name = "worker-1"
roles = ["worker"]
public_key = "k1"
mesh_address = "10.50.0.11"
"#;

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("control-plane.toml");
        std::fs::write(&path, text).expect("write");
        daemon::config::load(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn the_documented_file_loads() {
        assert_eq!(load(&format!("{EXAMPLE}{NODE}")).expect("good").nodes[0].roles, [Role::Worker]);
    }

    #[test]
    fn every_error_names_its_key() {
        for (from, to, key) in [
            ("listen =", "lisen =", "lisen"),
            ("0.0.0.0:8080", "0.0.0.0", "listen"),
            ("https://cp.example.com", "ftp://cp.example.com", "`api_server.base_url`"),
            ("address = \"10.50.0.1\"", "address = \"10.51.0.1\"", "`mesh.address`"),
            ("route.example.com", "Route", "`proxy.subdomain_base`"),
            ("name = \"worker-1\"", "name = \"Worker 1\"", "`nodes[0].name`"),
            ("10.50.0.11", "10.50.0.1", "`nodes[0].mesh_address`"),
            ("10.50.0.0/24", "10.50.0.0/8", "`mesh.cidr`"),
            ("cidr =", "labels = { a_b = \"\" }\ncidr =", "`mesh.labels`"),
            ("public_key =", "labels.disk = \"a\\nb\"\npublic_key =", "`nodes[0].labels`"),
            ("[proxy]", "[images]\nkeep_releases = 0\n[proxy]", "`images.keep_releases`"),
            ("[proxy]", "[images]\nremove_after_s = 1\n[proxy]", "`images.remove_after_s`"),
            (
                "[proxy]",
                "[node_health]\ncheck_intervals_s = [30, 20, 300, 900, 1800]\n[proxy]",
                "`node_health.check_intervals_s`",
            ),
            (
                "[proxy]",
                "[node_health]\nheartbeat_patience_s = 60\n[proxy]",
                "`node_health.heartbeat_patience_s`",
            ),
            ("[proxy]", "[traffic]\nminutes_kept_h = 1\n[proxy]", "`traffic.minutes_kept_h`"),
            ("[proxy]", "[node_numbers]\nminutes_kept_h = 1\n[proxy]", "`node_numbers.minutes_kept_h`"),
            ("[proxy]", "[node_numbers]\nhours_kept_days = 7\n[proxy]", "`node_numbers.hours_kept_days`"),
            ("[proxy]", "[traffic]\nclient_addresses = \"some\"\n[proxy]", "client_addresses"),
            ("[proxy]", "[placement]\ncpu_overcommit = 0\n[proxy]", "`placement.cpu_overcommit`"),
            ("[proxy]", "[placement]\nstrategy = \"random\"\n[proxy]", "strategy"),
            ("[proxy]", "[dns]\nresolvers = []\n[proxy]", "`dns.resolvers`"),
            ("[proxy]", "[dns]\nresolvers = [\"dns.example.com\"]\n[proxy]", "no address of a resolver"),
            ("[proxy]", "[acme]\ndirectory = \"letsencrypt\"\nchallenge = \"dns\"\n[proxy]", "challenge"),
            ("[proxy]", "[acme]\ndirectory = \"letsencript\"\n[proxy]", "directory"),
            (
                "[proxy]",
                "[acme]\ndirectory = \"letsencrypt\"\neab_hmac_key = \"k\"\n[proxy]",
                "`acme.eab_key_id`",
            ),
            (
                "[proxy]",
                "[acme]\ndirectory = \"letsencrypt\"\nbudget.orders = 0\n[proxy]",
                "`acme.budget.orders`",
            ),
            ("[proxy]", "[proxy]\nstream_ports = \"30000-30999, 443\"", "`proxy.stream_ports`"),
            ("[proxy]", "[proxy]\nstream_ports = \"0\"", "stream_ports"),
            ("public_key =", "zone = \"here\"\npublic_key =", "`nodes[0].zone`"),
        ] {
            let text = format!("{EXAMPLE}{NODE}").replacen(from, to, 1);
            let error = load(&text).expect_err(key);
            assert!(error.contains(key), "{key} in {error}");
        }
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let text = EXAMPLE.replace("postgres:///wisehosting", "postgres://user:hunter2@host/db");
        assert!(!format!("{:?}", load(&text).expect("good")).contains("hunter2"));
    }
}
