//! The proxies that are compared, each with one worker on one core, the same hosts, and no access log.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use protocol::spec::ProxySpec;
use serde_json::json;

use crate::hub::{Configuration, Hub, Proxy};
use crate::load;
use crate::process::{Running, soon};

/// The host whose certificate there is.
pub(crate) const HOST: &str = "localhost";
const STARTS: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Ours,
    /// Our program once more: another build of it, or with other arguments.
    Variant,
    /// Ours, while it records traffic.
    Recording,
    Traefik,
    Haproxy,
    Nginx,
    Caddy,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Variant => "variant",
            Self::Recording => "recording",
            Self::Traefik => "traefik",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
        }
    }
}

/// Our program, and what it is told beside the table and its addresses.
#[derive(Debug, Clone)]
pub(crate) struct Ours {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
}

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) ours: Ours,
    pub(crate) variant: Option<Ours>,
    pub(crate) traefik: PathBuf,
    pub(crate) upstream: SocketAddr,
    /// The core of the engines, when there is one beside the load's.
    pub(crate) core: Option<u8>,
    pub(crate) root_pem: String,
}

/// One that runs and answers.
pub(crate) struct Engine {
    pub(crate) kind: Kind,
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) running: Running,
    folder: PathBuf,
}

impl Place {
    pub(crate) fn new(
        folder: &Path,
        ours: Ours,
        variant: Option<Ours>,
        traefik: PathBuf,
        upstream: SocketAddr,
    ) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        for (name, text) in
            [("chain.pem", chain.clone()), ("key.pem", key.clone()), ("both.pem", chain.clone() + &key)]
        {
            fs::write(folder.join(name), text)?;
        }
        let core = Path::new("/sys/devices/system/cpu/cpu1").exists().then_some(0);
        Ok(Self { folder: folder.to_owned(), ours, variant, traefik, upstream, core, root_pem: chain })
    }

    /// What is compared.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let variant = self.variant.as_ref().map(|_| Kind::Variant);
        let others = [Kind::Traefik, Kind::Haproxy, Kind::Nginx, Kind::Caddy];
        std::iter::once(Kind::Ours).chain(variant).chain(others).collect()
    }

    /// Starts `kind` with `hosts` hosts beside [`HOST`], and waits until it answers.
    pub(crate) fn start(&self, kind: Kind, hosts: usize) -> Result<Engine> {
        let folder = self.folder.join(kind.name());
        fs::create_dir_all(&folder)?;
        let (http, https) = (free()?, free()?);
        let names: Vec<String> = std::iter::once(HOST.to_owned()).chain((0..hosts).map(host)).collect();
        let program = match kind {
            Kind::Ours => self.ours(&self.ours, &folder, http, https, &names)?,
            Kind::Variant => {
                self.ours(self.variant.as_ref().context("no variant")?, &folder, http, https, &names)?
            }
            Kind::Recording => {
                let mut command = self.ours(&self.ours, &folder, http, https, &names)?;
                command.arg("--traffic").arg(folder.join("traffic"));
                command
            }
            Kind::Traefik => self.traefik(&folder, http, https, &names)?,
            Kind::Haproxy => self.haproxy(&folder, http, https, &names)?,
            Kind::Nginx => self.nginx(&folder, http, https, &names)?,
            Kind::Caddy => self.caddy(&folder, http, https, &names)?,
        };
        let mut engine = self.run(kind, &program, folder, http, https)?;
        engine.answers()?;
        Ok(engine)
    }

    /// Starts ours with a link to `hub`, which sends it `spec` as generation 1, and waits until it answers.
    pub(crate) fn start_linked(&self, kind: Kind, hub: &Hub, spec: ProxySpec) -> Result<(Engine, Proxy)> {
        let folder = self.folder.join(kind.name());
        let (http, https, mesh) = (free()?, free()?, free()?);
        let config = Configuration { folder: &folder, http, https, mesh }.write(hub)?;
        let ours = if kind == Kind::Variant { self.variant.as_ref() } else { None };
        let mut program = Command::new(&ours.unwrap_or(&self.ours).program);
        program.arg("--config").arg(config).arg("run");
        let mut engine = self.run(kind, &program, folder, http, https)?;
        let mut proxy = hub.connection()?;
        let message = proxy.message(1, spec);
        proxy.send(message)?;
        proxy.applied(1)?;
        engine.answers()?;
        Ok((engine, proxy))
    }

    fn run(
        &self,
        kind: Kind,
        program: &Command,
        folder: PathBuf,
        http: SocketAddr,
        https: SocketAddr,
    ) -> Result<Engine> {
        // Without a core of its own it is started as it is, by `env`.
        let mut command = Command::new(if self.core.is_some() { "taskset" } else { "env" });
        if let Some(core) = self.core {
            command.args(["-c", &core.to_string()]);
        }
        command.arg(program.get_program()).args(program.get_args());
        let log = File::create(folder.join("log"))?;
        command.env("HOME", &folder).stdout(log.try_clone()?).stderr(log);
        Ok(Engine { kind, http, https, running: Running::start(command)?, folder })
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn ours(
        &self,
        ours: &Ours,
        folder: &Path,
        http: SocketAddr,
        https: SocketAddr,
        names: &[String],
    ) -> Result<Command> {
        let path = folder.join("routes.json");
        fs::write(&path, self.table(names))?;
        let mut command = Command::new(&ours.program);
        command.args(["standalone", "--drain-s", "0", "--routes"]).arg(path);
        command.args(["--http", &http.to_string(), "--https", &https.to_string()]).args(&ours.arguments);
        Ok(command)
    }

    /// Our own table of these hosts.
    pub(crate) fn table(&self, names: &[String]) -> String {
        let upstreams = [json!({ "address": self.upstream })];
        let routes: Vec<_> =
            names.iter().map(|name| json!({ "hosts": [name], "upstreams": upstreams })).collect();
        let certificate = json!({
            "hosts": [HOST],
            "chain_file": self.file("chain.pem"),
            "key_file": self.file("key.pem"),
        });
        json!({ "routes": routes, "certificates": [certificate] }).to_string()
    }

    fn traefik(
        &self,
        folder: &Path,
        http: SocketAddr,
        https: SocketAddr,
        names: &[String],
    ) -> Result<Command> {
        let mut routers = serde_json::Map::new();
        for (at, name) in names.iter().enumerate() {
            let rule = format!("Host(`{name}`)");
            routers
                .insert(format!("r{at}"), json!({ "rule": rule, "service": "app", "entryPoints": ["web"] }));
        }
        let rule = format!("Host(`{HOST}`)");
        routers.insert(
            "tls".to_owned(),
            json!({ "rule": rule, "service": "app", "entryPoints": ["websecure"], "tls": {} }),
        );
        let dynamic = json!({
            "http": {
                "routers": routers,
                "services": { "app": { "loadBalancer": { "servers": [{ "url": format!("http://{}", self.upstream) }] } } },
            },
            "tls": { "certificates": [{ "certFile": self.file("chain.pem"), "keyFile": self.file("key.pem") }] },
        });
        // JSON is YAML, and Traefik reads no other ending.
        let path = folder.join("dynamic.yaml");
        fs::write(&path, dynamic.to_string())?;
        let mut command = Command::new(&self.traefik);
        command.args([
            format!("--entrypoints.web.address={http}"),
            format!("--entrypoints.websecure.address={https}"),
            format!("--providers.file.filename={}", path.display()),
        ]);
        command.args([
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
            "--log.level=ERROR",
        ]);
        Ok(command)
    }

    fn haproxy(
        &self,
        folder: &Path,
        http: SocketAddr,
        https: SocketAddr,
        names: &[String],
    ) -> Result<Command> {
        let mut map = String::new();
        for name in names {
            writeln!(map, "{name} app")?;
        }
        fs::write(folder.join("hosts.map"), map)?;
        let config = format!(
            "global\n  nbthread 1\n  maxconn 4096\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  \
             timeout server 60s\n  timeout tunnel 1h\n  option forwardfor\nfrontend web\n  bind {http}\n  \
             bind {https} ssl crt {both} alpn h2,http/1.1\n  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]\n  \
             http-request set-header X-Forwarded-Host %[req.hdr(host)]\n  \
             use_backend %[req.hdr(host),field(1,:),lower,map({map})]\nbackend app\n  http-reuse always\n  server one {upstream}\n",
            both = self.file("both.pem"),
            map = folder.join("hosts.map").display(),
            upstream = self.upstream,
        );
        let path = folder.join("haproxy.cfg");
        fs::write(&path, config)?;
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f"]).arg(path);
        Ok(command)
    }

    fn nginx(&self, folder: &Path, http: SocketAddr, https: SocketAddr, names: &[String]) -> Result<Command> {
        let config = format!(
            "daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log error;\n\
             events {{ worker_connections 8192; }}\nhttp {{ access_log off; keepalive_requests 1000000; client_max_body_size 0;\n\
             client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;\n\
             uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
             server_names_hash_max_size 65536; server_names_hash_bucket_size 128;\n\
             map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n\
             upstream app {{ server {upstream}; keepalive 256; keepalive_requests 1000000; }}\n\
             server {{ listen {http}; listen {https} ssl http2; server_name {names};\n\
             ssl_certificate {chain}; ssl_certificate_key {key};\n\
             location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_request_buffering off;\n\
             proxy_set_header Connection $connection_upgrade; proxy_set_header Upgrade $http_upgrade;\n\
             proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
             proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host; }} }} }}\n",
            folder = folder.display(),
            upstream = self.upstream,
            names = names.join(" "),
            chain = self.file("chain.pem"),
            key = self.file("key.pem"),
        );
        let path = folder.join("nginx.conf");
        fs::write(&path, config)?;
        let mut command = Command::new("nginx");
        command.arg("-e").arg(folder.join("error.log")).arg("-c").arg(path);
        Ok(command)
    }

    fn caddy(&self, folder: &Path, http: SocketAddr, https: SocketAddr, names: &[String]) -> Result<Command> {
        let proxy =
            json!({ "handler": "reverse_proxy", "upstreams": [{ "dial": self.upstream.to_string() }] });
        let routes = json!([{ "match": [{ "host": names }], "handle": [proxy] }]);
        let server = |address: SocketAddr, tls: bool| {
            let mut server = json!({
                "listen": [address.to_string()],
                "routes": routes,
                "automatic_https": { "disable": true },
            });
            if tls {
                server["tls_connection_policies"] = json!([{}]);
            }
            server
        };
        let config = json!({
            "admin": { "disabled": true, "config": { "persist": false } },
            "logging": { "logs": { "default": { "level": "ERROR" } } },
            "apps": {
                "http": { "servers": { "web": server(http, false), "websecure": server(https, true) } },
                "tls": { "certificates": { "load_files": [
                    { "certificate": self.file("chain.pem"), "key": self.file("key.pem") },
                ] } },
            },
        });
        let path = folder.join("caddy.json");
        fs::write(&path, config.to_string())?;
        let mut command = Command::new("caddy");
        command.args(["run", "--config"]).arg(path);
        Ok(command)
    }
}

impl Engine {
    /// Waits until both ports are served: some open the second much later.
    fn answers(&mut self) -> Result<()> {
        let (http, https, name) = (self.http, self.https, self.kind.name());
        let answers = || load::get(http, HOST).is_ok_and(|answer| answer.contains(" 200 "));
        let both = || answers() && std::net::TcpStream::connect(https).is_ok();
        let begun = soon(STARTS, || self.running.check().is_err() || both());
        self.running.check().with_context(|| format!("{name} ({})", self.folder.display()))?;
        begun.with_context(|| format!("{name} does not answer: {}/log", self.folder.display()))?;
        Ok(())
    }
}

/// The name of one of many hosts.
pub(crate) fn host(at: usize) -> String {
    format!("h{at}.test")
}

fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
