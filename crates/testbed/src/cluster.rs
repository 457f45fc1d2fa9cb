//! A whole system: five hosts, what runs on them, and the first administrator.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::Api;
use crate::cache::Cache;
use crate::host::{Host, INET};
use crate::http::{Answer, Server, get};
use crate::journal::{Journal, Record};
use crate::network::{self, INET_ADDRESS};
use crate::pki::Authority;
use crate::report::{Progress, tail, until};
use crate::software::{self, ControlPlaneSecrets, KeyPair, Shared};
use crate::topology::{self, PLACES, Place};

/// How to make a cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder for everything of this cluster; must not exist.
    pub state: PathBuf,
    /// Folder with the programs, `wh-testbed` among them.
    pub programs: PathBuf,
    /// Folder that keeps images and an empty database between clusters.
    pub cache: PathBuf,
    /// Stop before the first administrator: no account, and only the declared worker joins by itself.
    pub untouched: bool,
    /// How many proxies, from 1 to 3.
    pub proxies: usize,
    pub progress: Progress,
}

/// What is remembered of a running cluster in `cluster.json` (mode 0600).
#[derive(Clone, Serialize, Deserialize)]
struct Saved {
    prefix: String,
    programs: PathBuf,
    cache: PathBuf,
    /// None on an untouched cluster.
    login: Option<Login>,
    proxy_token: String,
    authority: String,
}

/// The first administrator.
#[derive(Clone, Serialize, Deserialize)]
pub struct Login {
    pub email: String,
    pub password: String,
    /// An API token of the same person.
    pub token: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("email", &self.email).finish_non_exhaustive()
    }
}

/// A cluster. Dropping it leaves it running; [`Cluster::tear_down`] takes it away.
pub struct Cluster {
    state: PathBuf,
    saved: Saved,
    root: tokio::sync::OnceCell<String>,
}

impl Cluster {
    /// Boots a cluster, or takes away what it had made when something fails.
    pub async fn boot(options: &Options) -> Result<Self> {
        daemon::crypto::install();
        ensure!(!options.state.exists(), "{} exists already", options.state.display());
        let booted = Boot::new(options)?.run().await;
        if booted.is_err() {
            Journal::in_folder(&options.state).tear_down()?;
        }
        booted
    }

    /// The cluster that another process booted in `state`.
    pub fn attach(state: &Path) -> Result<Self> {
        daemon::crypto::install();
        let path = state.join("cluster.json");
        let text = fs::read(&path).with_context(|| format!("no cluster runs in {}", state.display()))?;
        Ok(Self {
            state: state.to_owned(),
            saved: serde_json::from_slice(&text)?,
            root: tokio::sync::OnceCell::new(),
        })
    }

    /// Ends every process of the cluster and removes every file of it.
    pub fn tear_down(self) -> Result<()> {
        Journal::in_folder(&self.state).tear_down()
    }

    /// A host by name: `inet`, `cp`, `w1`, `w2` or `proxy`.
    pub fn host(&self, name: &str) -> Result<Host> {
        ensure!(
            host_names().any(|known| known == name)
                || topology::PROXIES.iter().chain(&topology::GUESTS).any(|place| place.name == name),
            "there is no host {name}; there are {}",
            host_names().collect::<Vec<_>>().join(", ")
        );
        Ok(Host::in_cluster(&self.state, &self.saved.prefix, name))
    }

    pub fn login(&self) -> Result<&Login> {
        self.saved.login.as_ref().context("this cluster was left untouched: it has no account")
    }

    /// The bearer token of the Traefik provider endpoints.
    pub fn proxy_token(&self) -> &str {
        &self.saved.proxy_token
    }

    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The folder with the programs under test.
    pub fn programs(&self) -> &Path {
        &self.saved.programs
    }

    /// The public API as the administrator.
    pub fn api(&self) -> Result<Api> {
        Ok(Api::new(dashboard(&self.host("cp")?), Some(self.login()?.token.clone())))
    }

    /// `GET https://<app's host name><path>` from the public internet, trusting the ACME server only.
    pub async fn https(&self, host: &str, path: &str) -> Result<Answer> {
        let roots = Some(self.acme_root().await?.to_owned());
        self.public(topology::PROXY.public, 443, roots)?.send(get(host, path)?).await
    }

    /// The same without TLS.
    pub async fn http(&self, host: &str, path: &str) -> Result<Answer> {
        self.public(topology::PROXY.public, 80, None)?.send(get(host, path)?).await
    }

    /// A server on the public internet, looked at from there.
    pub fn public(&self, address: Ipv4Addr, port: u16, roots: Option<String>) -> Result<Server> {
        Ok(Server { from: self.host(INET)?, address: SocketAddr::new(IpAddr::V4(address), port), roots })
    }

    /// The root certificate of the ACME server, PEM. It makes a new one at every start.
    pub async fn acme_root(&self) -> Result<&str> {
        let fetch = || async {
            let server = self.public(INET_ADDRESS, 15000, Some(self.saved.authority.clone()))?;
            let answer = server.send(get(&INET_ADDRESS.to_string(), "/roots/0")?).await?;
            ensure!(answer.status == 200, "the ACME server answered {}", answer.status);
            Ok(answer.text())
        };
        self.root.get_or_try_init(fetch).await.map(String::as_str)
    }

    /// A code that opens the first-run page.
    pub fn setup_code(&self) -> Result<String> {
        let words = software::subcommand(software::CONTROL_PLANE, &["admin", "setup-code", "--bare"]);
        let output = self.exec("cp", &words.iter().map(String::as_str).collect::<Vec<_>>())?;
        ensure!(output.status.success(), "no setup code: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Lets a host of the topology join by a token.
    pub fn join(&self, name: &str, token: &str) -> Result<()> {
        let mut places = PLACES.iter().chain(&topology::PROXIES[1..]);
        let place = places.find(|place| place.name == name).context("only hosts with a role can join")?;
        let host = self.host(name)?;
        host.set_service(&software::enrolled_mesh(&host, *place, token)?)
    }

    /// Boots one more proxy of the topology, which joins by a token.
    pub fn add_proxy(&self, place: Place, token: &str) -> Result<()> {
        let cache = Cache::ensure(&self.saved.cache, &self.program())?;
        let host = self.host(place.name)?;
        Shared::written(&self.state, self.programs(), cache).prepare(&host, place.public)?;
        host.set_service(&software::proxy(&host)?)?;
        self.join(place.name, token)?;
        self.power_on(place.name)
    }

    /// Boots a host of [`topology::GUESTS`], whose mesh agent waits for a token.
    pub fn add_guest(&self, place: Place) -> Result<Host> {
        let cache = Cache::ensure(&self.saved.cache, &self.program())?;
        let host = self.host(place.name)?;
        Shared::written(&self.state, self.programs(), cache).prepare(&host, place.public)?;
        host.set_service(&software::enrolled_mesh(&host, place, "")?)?;
        self.power_on(place.name)?;
        Ok(host)
    }

    /// Pulls the host's plug.
    pub fn power_off(&self, name: &str) -> Result<()> {
        self.host(name)?.power_off()
    }

    /// Boots the host again, with the storage it had.
    pub fn power_on(&self, name: &str) -> Result<()> {
        ensure!(name != INET, "{INET} is the cable between the others: it boots with the cluster only");
        self.host(name)?.boot(&self.program(), Some(&self.host(INET)?))
    }

    /// Unplugs the host's network cable.
    pub fn cut(&self, name: &str) -> Result<()> {
        network::set_cable(&self.host(name)?.name, self.host(INET)?.init()?, false)
    }

    /// Plugs it in again.
    pub fn heal(&self, name: &str) -> Result<()> {
        network::set_cable(&self.host(name)?.name, self.host(INET)?.init()?, true)
    }

    /// Cuts the way between two hosts, which go on to reach all others.
    pub fn cut_between(&self, a: &str, b: &str) -> Result<()> {
        network::set_way(&self.host(a)?.name, &self.host(b)?.name, self.host(INET)?.init()?, false)
    }

    /// Opens it again.
    pub fn heal_between(&self, a: &str, b: &str) -> Result<()> {
        network::set_way(&self.host(a)?.name, &self.host(b)?.name, self.host(INET)?.init()?, true)
    }

    /// A command inside a host.
    pub fn command(&self, name: &str, words: &[&str]) -> Result<Command> {
        self.host(name)?.command(&self.program(), words)
    }

    /// Runs a command inside a host and returns what it printed.
    pub fn exec(&self, name: &str, words: &[&str]) -> Result<Output> {
        self.command(name, words)?
            .output()
            .with_context(|| format!("cannot run {} on {name}", words.join(" ")))
    }

    fn program(&self) -> PathBuf {
        self.saved.programs.join(PROGRAM)
    }
}

/// This crate's own program: a host's init, among others.
pub const PROGRAM: &str = "wh-testbed";

/// Names of all hosts, the internet first.
pub fn host_names() -> impl Iterator<Item = &'static str> {
    std::iter::once(INET).chain(PLACES.iter().map(|place| place.name))
}

fn dashboard(host: &Host) -> Server {
    Server { from: host.clone(), address: topology::DASHBOARD, roots: None }
}

/// A cluster in the making.
struct Boot<'a> {
    options: &'a Options,
    prefix: String,
    authority: Authority,
}

impl<'a> Boot<'a> {
    fn new(options: &'a Options) -> Result<Self> {
        Ok(Self { options, prefix: format!("wh-{}", random(4)), authority: Authority::new()? })
    }

    async fn run(&self) -> Result<Cluster> {
        let progress = self.options.progress;
        let cache = progress.step("base image and empty database", async { self.cache() }).await?;
        let shared = self.folder(cache)?;
        progress.step("hosts", async { self.hosts(&shared) }).await?;
        let secrets = ControlPlaneSecrets { api_server: random(32), proxy_token: random(32) };
        let declared = KeyPair::generate()?;
        let (cp, w1) = (self.host("cp"), self.host("w1"));
        let control_plane = KeyPair::generate()?;
        let service = software::control_plane(&cp, &self.authority, &secrets, &declared)?;
        cp.set_service(&software::declared_mesh(&cp, topology::CONTROL_PLANE, &control_plane, None)?)?;
        w1.set_service(&software::declared_mesh(&w1, topology::W1, &declared, Some(&control_plane))?)?;
        for worker in [&w1, &self.host("w2")] {
            worker.set_service(&software::podman())?;
            worker.set_service(&software::worker(worker)?)?;
        }
        for place in self.places().filter(|place| place.role == topology::PROXY.role) {
            let host = self.host(place.name);
            host.set_service(&software::proxy(&host)?)?;
        }
        progress.step("Postgres answers", self.postgres(&cp)).await?;
        cp.set_service(&service)?;
        let api = Api::new(dashboard(&cp), None);
        progress.step("control plane answers", self.answers(&cp, &api)).await?;
        let cluster = self.save(None, secrets.proxy_token)?;
        if self.options.untouched {
            return Ok(cluster);
        }
        let login = progress.step("first administrator", self.administrator(&cluster, &api)).await?;
        let api = api.signed_in(&login.token);
        for place in self.enrolled() {
            let token =
                api.post("/node-tokens", json!({ "roles": [place.role], "name": place.name })).await?;
            cluster.join(place.name, &text(&token, "token")?)?;
        }
        progress.step("every node is online", self.online(&api)).await?;
        self.save(Some(login), cluster.saved.proxy_token)
    }

    fn host(&self, name: &str) -> Host {
        Host::in_cluster(&self.options.state, &self.prefix, name)
    }

    fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let more = self.options.proxies.clamp(1, topology::PROXIES.len());
        PLACES.into_iter().chain(topology::PROXIES[1..more].iter().copied())
    }

    /// Those that join by a token.
    fn enrolled(&self) -> impl Iterator<Item = Place> + use<> {
        self.places().filter(|place| ![topology::CONTROL_PLANE, topology::W1].contains(place))
    }

    fn program(&self) -> PathBuf {
        self.options.programs.join(PROGRAM)
    }

    fn cache(&self) -> Result<Cache> {
        Cache::ensure(&self.options.cache, &self.program())
    }

    /// The state folder and, first thing in it, the note that it exists.
    fn folder(&self, cache: Cache) -> Result<Shared> {
        let state = &self.options.state;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(state)?;
        Journal::in_folder(state).record(&Record::Folder { path: state.canonicalize()? })?;
        Shared::write(state, &self.options.programs, cache, &self.authority)
    }

    /// Boots the internet and its services, then all others side by side.
    fn hosts(&self, shared: &Shared) -> Result<()> {
        let inet = self.host(INET);
        shared.prepare(&inet, INET_ADDRESS)?;
        for service in software::internet(&inet, &self.authority)? {
            inet.set_service(&service)?;
        }
        inet.boot(&self.program(), None)?;
        for place in self.places() {
            let host = self.host(place.name);
            shared.prepare(&host, place.public)?;
            if place == topology::CONTROL_PLANE {
                software::prepare_postgres(&host, &shared.cache)?;
                host.set_service(&software::postgres()?)?;
            }
        }
        // Without an await, so that nobody can drop this half done and tear down while a host is still being made.
        let boot = &|place: Place| self.host(place.name).boot(&self.program(), Some(&inet));
        std::thread::scope(|scope| {
            let boots: Vec<_> = self.places().map(|place| scope.spawn(move || boot(place))).collect();
            boots.into_iter().try_for_each(|boot| boot.join().map_err(|_| anyhow!("a boot panicked"))?)
        })
    }

    async fn postgres(&self, cp: &Host) -> Result<()> {
        let socket = cp.folder.join("postgresql/run/.s.PGSQL.5432");
        let answers = || async { Ok(std::os::unix::net::UnixStream::connect(&socket).is_ok().then_some(())) };
        until("Postgres", Duration::from_secs(10), answers)
            .await
            .map_err(|error| with_log(error, cp, software::POSTGRES))
    }

    async fn answers(&self, cp: &Host, api: &Api) -> Result<()> {
        let setup = until("the control plane", Duration::from_secs(30), || async {
            api.get("/setup").await.map(Some)
        });
        let setup = setup.await.map_err(|error| with_log(error, cp, software::CONTROL_PLANE))?;
        ensure!(setup["needed"] == true, "a fresh control plane is set up already: {setup}");
        Ok(())
    }

    async fn administrator(&self, cluster: &Cluster, api: &Api) -> Result<Login> {
        let code = cluster.setup_code()?;
        let (email, password) = ("admin@wise.test".to_owned(), random(10));
        let account = json!({ "code": code, "email": email, "name": "Admin", "password": password, "organization": "Test bed" });
        api.post("/setup", account).await?;
        let token =
            api.post("/tokens", json!({ "name": "test bed", "email": email, "password": password })).await?;
        Ok(Login { email, password, token: text(&token, "token")? })
    }

    async fn online(&self, api: &Api) -> Result<()> {
        let limit = Duration::from_mins(1);
        let online = until("every node", limit, || async {
            let nodes = api.get("/nodes").await?;
            let mut wanted = vec![topology::W1];
            wanted.extend(self.enrolled());
            let missing = missing(&nodes, &wanted);
            ensure!(missing.is_empty(), "not online: {}", missing.join(", "));
            Ok(Some(()))
        });
        online.await.map_err(|error| {
            let logs: Vec<String> =
                self.places().map(|place| tail(&self.host(place.name).log(software::MESH))).collect();
            anyhow!("{error:#}\n{}", logs.join("\n"))
        })
    }

    fn save(&self, login: Option<Login>, proxy_token: String) -> Result<Cluster> {
        let saved = Saved {
            prefix: self.prefix.clone(),
            programs: self.options.programs.clone(),
            cache: self.options.cache.clone(),
            login,
            proxy_token,
            authority: self.authority.pem().to_owned(),
        };
        let path = self.options.state.join("cluster.json");
        fs::write(&path, serde_json::to_vec_pretty(&saved)?)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Cluster::attach(&self.options.state)
    }
}

/// Names of those of `wanted` that are not online with all their agents.
fn missing(nodes: &Value, wanted: &[Place]) -> Vec<&'static str> {
    let items = nodes["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let online = |place: &Place| {
        items.iter().any(|node| {
            let connected = |kind: &str| {
                let agents = node["agents"].as_array().map(Vec::as_slice).unwrap_or_default();
                agents.iter().any(|agent| agent["kind"] == kind && agent["connected"] == true)
            };
            node["name"] == place.name
                && node["status"] == "online"
                && connected("mesh")
                && connected(place.role)
        })
    };
    wanted.iter().filter(|place| !online(place)).map(|place| place.name).collect()
}

fn text(answer: &Value, key: &str) -> Result<String> {
    answer[key].as_str().map(str::to_owned).with_context(|| format!("no {key} in the answer"))
}

fn with_log(error: anyhow::Error, host: &Host, process: &str) -> anyhow::Error {
    anyhow!("{error:#}\n{process} on {}\n{}", host.name, tail(&host.log(process)))
}

fn random(bytes: usize) -> String {
    hex::encode((0..bytes).map(|_| rand::random::<u8>()).collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_missing_until_all_its_agents_are_connected() {
        let node = |name: &str, role: &str, connected: bool| {
            json!({ "name": name, "status": "online", "agents": [
                { "kind": "mesh", "connected": true }, { "kind": role, "connected": connected },
            ]})
        };
        let nodes = json!({ "items": [node("w1", "worker", true), node("w2", "worker", false)] });
        assert_eq!(missing(&nodes, &[topology::W1, topology::W2, topology::PROXY]), ["w2", "proxy"]);
    }
}
