//! What runs on each host, and its configuration files.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::unistd::chown;
use serde_json::{Value, json};

use crate::cache::Cache;
use crate::host::Host;
use crate::init::{Bind, INSIDE};
use crate::network::INET_ADDRESS;
use crate::pki::Authority;
use crate::service::{Service, StopSignal};
use crate::tools::{path, postgres_programs, postgres_user};
use crate::{container_config, topology};

pub const CONTROL_PLANE: &str = "wisehosting-control-plane";
pub const MESH: &str = "wisehosting-mesh";
pub const WORKER: &str = "wisehosting-worker";
pub const PROXY: &str = "wisehosting-proxy";
pub const TRAEFIK: &str = "traefik-engine";
pub const POSTGRES: &str = "postgres";
pub const PODMAN: &str = "podman";

/// Where the hosts see the machine's files.
const PROGRAMS: &str = "/run/testbed/bin";
const IMAGES: &str = "/run/testbed/images";
const BASE_IMAGES: &str = "/run/testbed/base-images";
const AUTHORITY: &str = "/run/testbed/host/authority.pem";
const DATABASE: &str = "/var/lib/postgresql";
pub const MESH_STATE: &str = "/var/lib/wisehosting/mesh";
const DYNAMIC_FILE: &str = "/var/lib/wisehosting/traefik/dynamic.yaml";

/// A WireGuard key pair, base64.
#[derive(Debug, Clone)]
pub struct KeyPair {
    private: String,
    pub public: String,
}

impl KeyPair {
    pub fn generate() -> Result<Self> {
        let private = wg("genkey", "")?;
        Ok(Self { public: wg("pubkey", &private)?, private })
    }
}

fn wg(what: &str, input: &str) -> Result<String> {
    let mut child = Command::new("wg")
        .arg(what)
        .env("PATH", path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run wg: apt-get install wireguard-tools")?;
    std::io::Write::write_all(&mut child.stdin.take().context("no stdin")?, input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "wg {what} failed");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The machine's side of what hosts share.
#[derive(Debug, Clone)]
pub struct Shared {
    pub programs: PathBuf,
    pub cache: Cache,
    /// The test bed's own root certificate.
    pub authority: PathBuf,
    pub hosts_file: PathBuf,
    pub resolver_file: PathBuf,
}

impl Shared {
    /// Writes the shared files into the cluster's state folder.
    pub fn write(state: &Path, programs: &Path, cache: Cache, authority: &Authority) -> Result<Self> {
        let shared = Self::written(state, programs, cache);
        fs::write(&shared.authority, authority.pem())?;
        let hosts = format!("127.0.0.1 localhost\n{} {}\n", topology::PROXY.public, topology::DOMAIN);
        fs::write(&shared.hosts_file, hosts)?;
        // Nothing answers there on port 53: names that are not in the hosts file fail at once.
        fs::write(&shared.resolver_file, format!("nameserver {INET_ADDRESS}\n"))?;
        Ok(shared)
    }

    /// Those of a cluster that runs.
    pub fn written(state: &Path, programs: &Path, cache: Cache) -> Self {
        Self {
            programs: programs.to_owned(),
            cache,
            authority: state.join("authority.pem"),
            hosts_file: state.join("hosts"),
            resolver_file: state.join("resolv.conf"),
        }
    }

    /// Lays out `host` with what all hosts have.
    pub fn prepare(&self, host: &Host, address: Ipv4Addr) -> Result<()> {
        let bind = |from: &Path, to: &str| Bind { from: from.to_owned(), to: PathBuf::from(to) };
        fs::create_dir_all(host.folder.join("postgresql"))?;
        let mut binds = vec![
            bind(&self.programs, PROGRAMS),
            bind(&self.cache.images(), IMAGES),
            bind(&self.hosts_file, "/etc/hosts"),
            bind(&self.resolver_file, "/etc/resolv.conf"),
            bind(&host.folder.join("postgresql"), DATABASE),
        ];
        let mut images = vec![IMAGES];
        if let Some(store) = self.cache.base_images() {
            binds.push(bind(&store, BASE_IMAGES));
            images.push(BASE_IMAGES);
        }
        host.prepare(address, binds)?;
        fs::copy(&self.authority, host.folder.join("authority.pem"))?;
        let storage = Path::new("/var/lib/containers/storage");
        container_config::write(&host.folder.join("etc-containers"), storage, &images)
    }
}

/// Writes a secret where `$CREDENTIALS_DIRECTORY` points.
pub fn set_credential(host: &Host, name: &str, value: &str) -> Result<()> {
    let path = host.folder.join("credentials").join(name);
    fs::write(&path, value)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
}

fn set_config(host: &Host, service: &str, config: &Value) -> Result<()> {
    let path = host.folder.join("etc").join(format!("{service}.json"));
    fs::write(path, serde_json::to_vec_pretty(config)?).context("cannot write a configuration file")
}

/// A program of ours with its configuration file.
fn ours(name: &str, command: &str) -> Service {
    let program = format!("{PROGRAMS}/{name}");
    let config = format!("{INSIDE}/etc/{name}.json");
    Service::new(name, &[&program, command, "--config", &config])
        .env("CREDENTIALS_DIRECTORY", "/run/credentials")
}

/// Arguments that run a subcommand of a program of ours inside its host, with its configuration.
pub fn subcommand(name: &str, words: &[&str]) -> Vec<String> {
    let mut command = vec![
        "env".to_owned(),
        "CREDENTIALS_DIRECTORY=/run/credentials".to_owned(),
        format!("{PROGRAMS}/{name}"),
    ];
    command.extend(words.iter().map(|&word| word.to_owned()));
    command.extend(["--config".to_owned(), format!("{INSIDE}/etc/{name}.json")]);
    command
}

/// Copies the empty database into the host.
pub fn prepare_postgres(host: &Host, cache: &Cache) -> Result<()> {
    let folder = host.folder.join("postgresql");
    let user = postgres_user()?;
    cache.copy_database(&folder.join("data"))?;
    fs::create_dir(folder.join("run"))?;
    for path in [folder.clone(), folder.join("run")] {
        chown(&path, Some(user.uid), Some(user.gid))?;
    }
    Ok(())
}

/// Postgres on a unix socket only; a test bed can afford to lose its data to a power cut of the machine.
pub fn postgres() -> Result<Service> {
    let program = postgres_programs()?.join("postgres");
    let (data, run) = (format!("{DATABASE}/data"), format!("unix_socket_directories={DATABASE}/run"));
    let program = program.to_str().context("a path that is not text")?;
    let mut command =
        vec![program, "-D", &data, "-c", &run, "-c", "listen_addresses=", "-c", "shared_buffers=32MB"];
    // What was committed is with the machine's kernel, which outlives the power of a host.
    for setting in ["fsync=off", "full_page_writes=off"] {
        command.extend(["-c", setting]);
    }
    let service = Service::new(POSTGRES, &command).user(&postgres_user()?.name);
    Ok(Service { stop: StopSignal::Interrupt, ..service })
}

pub fn podman() -> Service {
    Service::new(PODMAN, &["podman", "system", "service", "--time=0", "unix:///run/podman/podman.sock"])
}

/// What the control plane's configuration needs besides the topology.
#[derive(Debug, Clone)]
pub struct ControlPlaneSecrets {
    pub api_server: String,
    pub proxy_token: String,
}

pub fn control_plane(
    host: &Host,
    authority: &Authority,
    secrets: &ControlPlaneSecrets,
    declared: &KeyPair,
) -> Result<Service> {
    let names = [topology::CONTROL_PLANE.public.to_string()];
    authority.issue(&host.folder.join("etc"), "public", &[&names[0]])?;
    set_credential(host, "api_server_secret", &secrets.api_server)?;
    set_credential(host, "proxy_token", &secrets.proxy_token)?;
    let (here, worker) = (topology::CONTROL_PLANE, topology::W1);
    set_config(
        host,
        CONTROL_PLANE,
        &json!({
            "api_server": {
                "listen": "0.0.0.0:8080",
                "tls_cert": format!("{INSIDE}/etc/public.pem"),
                "tls_key": format!("{INSIDE}/etc/public.key"),
                "local_listen": topology::DASHBOARD.to_string(),
                "front_listen": topology::FRONT,
                "mesh_listen": format!("{}:8081", here.mesh),
                "base_url": topology::BASE_URL,
                "state_dir": "/var/lib/wisehosting/control-plane",
            },
            "database": { "url": format!("postgres://wise@localhost/wisehosting?host={DATABASE}/run") },
            "mesh": {
                "cidr": topology::MESH,
                "address": here.mesh,
                "endpoint": here.tunnel(),
                "public_key_file": format!("{MESH_STATE}/public.key"),
            },
            "proxy": { "subdomain_base": topology::ZONE },
            "dns": { "resolvers": [format!("{INET_ADDRESS}:8053")], "private_names": true },
            "images": { "keep_releases": 2, "remove_after_s": 10 },
            "node_health": { "check_intervals_s": [2, 2, 5, 5, 5], "check_timeout_s": 2, "lease_s": 10, "flapping_h": 0 },
            // Each host takes all of this machine for its own.
            "placement": { "cpu_overcommit": 100, "memory_overcommit": 4 },
            "acme": {
                "directory": format!("https://{INET_ADDRESS}:14000/dir"),
                "contact": "mailto:ops@example.com",
                "root_certificate": AUTHORITY,
                // One cluster's tests order more for one domain than a public CA gives in a week.
                "budget": { "domain": 10_000, "same_names": 1_000, "failures": 1_000, "orders": 10_000 },
            },
            "nodes": [{
                "name": worker.name,
                "roles": ["worker"],
                "public_key": declared.public,
                "mesh_address": worker.mesh,
                "endpoint": worker.tunnel(),
            }],
        }),
    )?;
    Ok(ours(CONTROL_PLANE, "serve"))
}

/// The mesh agent of a host whose identity the control plane's configuration holds.
pub fn declared_mesh(
    host: &Host,
    place: topology::Place,
    key: &KeyPair,
    control_plane: Option<&KeyPair>,
) -> Result<Service> {
    let state = host.folder.join("lib/mesh");
    fs::create_dir_all(&state)?;
    fs::write(state.join("private.key"), &key.private)?;
    fs::set_permissions(state.join("private.key"), fs::Permissions::from_mode(0o600))?;
    fs::write(state.join("public.key"), &key.public)?;
    let here = topology::CONTROL_PLANE;
    let peers: Vec<Value> = control_plane
        .iter()
        .map(|key| json!({ "name": here.name, "public_key": key.public, "mesh_address": here.mesh, "endpoint": here.tunnel() }))
        .collect();
    let mut config = mesh_config(place);
    config["declared"] = json!({
        "address": format!("{}/24", place.mesh),
        "control_planes": [format!("http://{}:8081", here.mesh)],
        "peers": peers,
    });
    set_config(host, MESH, &config)?;
    Ok(ours(MESH, "run"))
}

/// The mesh agent of a host that joins by a token; it waits for one when this is empty.
pub fn enrolled_mesh(host: &Host, place: topology::Place, token: &str) -> Result<Service> {
    set_credential(host, "join_token", token)?;
    let mut config = mesh_config(place);
    config["control_plane"] = json!({ "url": topology::JOIN_URL, "root_certificate": AUTHORITY });
    set_config(host, MESH, &config)?;
    Ok(ours(MESH, "run"))
}

fn mesh_config(place: topology::Place) -> Value {
    json!({
        "state_dir": MESH_STATE,
        "interface": "wh0",
        "port": topology::TUNNEL_PORT,
        "node": { "name": place.name, "roles": [place.role], "endpoint": place.tunnel() },
    })
}

pub fn worker(host: &Host) -> Result<Service> {
    set_config(
        host,
        WORKER,
        &json!({
            "node_dir": MESH_STATE,
            "state_dir": "/var/lib/wisehosting/worker",
            "podman": { "socket": "/run/podman/podman.sock" },
            // Nothing of this network serves repositories.
            "builds": { "allow_file_urls": true },
            "mesh": { "port": 8090, "interface": "wh0", "cidr": topology::MESH },
            "ingress": format!("0.0.0.0:{}", topology::DIRECT_PORT),
        }),
    )?;
    Ok(ours(WORKER, "run"))
}

/// Its host's init holds the ports, as systemd does in production.
pub fn proxy(host: &Host) -> Result<Service> {
    let [http, https] = [80, 443].map(|port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    set_config(
        host,
        PROXY,
        &json!({
            "node_dir": MESH_STATE,
            "state_dir": "/var/lib/wisehosting/proxy",
            "http": http,
            "https": https,
            "mesh_port": 8091,
            // As production says where systemd holds the ports.
            "drain_s": 1,
        }),
    )?;
    Ok(Service { sockets: vec![http, https], ..ours(PROXY, "run") })
}

/// The proxy that feeds a Traefik.
pub fn proxy_behind_traefik(host: &Host) -> Result<Service> {
    set_config(
        host,
        PROXY,
        &json!({
            "node_dir": MESH_STATE,
            "state_dir": "/var/lib/wisehosting/proxy",
            "mesh_port": 8091,
            "traefik": { "dynamic_file": DYNAMIC_FILE },
        }),
    )?;
    fs::create_dir_all(host.folder.join("lib/traefik"))?;
    Ok(ours(PROXY, "run"))
}

/// The Traefik that it feeds, which listens where the proxy would.
pub fn traefik(host: &Host, program: &str) -> Result<Service> {
    let config = json!({
        "entryPoints": {
            "web": { "address": ":80" },
            "websecure": { "address": ":443" },
            "traefik": { "address": "127.0.0.1:8079" },
        },
        "api": { "insecure": true, "dashboard": false },
        "global": { "checkNewVersion": false, "sendAnonymousUsage": false },
        "log": { "level": "INFO", "format": "json" },
        "providers": {
            "providersThrottleDuration": "100ms",
            "file": { "filename": DYNAMIC_FILE },
        },
    });
    // Traefik reads YAML, which JSON is.
    fs::write(host.folder.join("etc/traefik-engine.yaml"), serde_json::to_vec_pretty(&config)?)?;
    let inside = format!("{INSIDE}/etc/traefik-engine.yaml");
    Ok(Service::new(TRAEFIK, &[program, "--configFile", &inside]))
}

/// The public internet's services: a certificate authority that speaks ACME, and the DNS that it asks.
pub fn internet(host: &Host, authority: &Authority) -> Result<[Service; 2]> {
    let etc = host.folder.join("etc");
    authority.issue(&etc, "pebble", &[&INET_ADDRESS.to_string()])?;
    let config = json!({ "pebble": {
        "listenAddress": "0.0.0.0:14000",
        "managementListenAddress": "0.0.0.0:15000",
        "certificate": format!("{INSIDE}/etc/pebble.pem"),
        "privateKey": format!("{INSIDE}/etc/pebble.key"),
        "httpPort": 80,
        "tlsPort": 443,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": false,
    }});
    fs::write(etc.join("pebble.json"), serde_json::to_vec_pretty(&config)?)?;
    let (config, dns) = (format!("{INSIDE}/etc/pebble.json"), format!("{INET_ADDRESS}:8053"));
    let (management, everything) = (format!("{INET_ADDRESS}:8055"), topology::PROXY.public.to_string());
    let pebble = Service::new("pebble", &["pebble", "-config", &config, "-dnsserver", &dns])
        .env("PEBBLE_VA_NOSLEEP", "1")
        .env("PEBBLE_WFE_NONCEREJECT", "0");
    let off = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""];
    let names =
        ["pebble-challtestsrv", "-dns01", &dns, "-management", &management, "-defaultIPv4", &everything];
    Ok([pebble, Service::new("dns", &[names.as_slice(), &off].concat())])
}
