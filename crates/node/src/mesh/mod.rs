//! The mesh agent: joins the host, owns its `WireGuard` interface, keeps its peers as the control plane wants them.

mod agent;
pub mod config;
mod device;
mod ip;
pub mod join;
mod keys;
pub mod leave;
mod plan;
mod probe;
mod relay;
mod rotate;
pub mod tunnel;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use chrono::Utc;
use ipnet::Ipv4Net;
use protocol::report::{MAX_ADDRESSES, MeshReport, SESSION_S};
use protocol::spec::{Generation, MeshPeer, MeshSpec, Versioned};
use tokio::net::UdpSocket;
use tracing::{debug, info, warn};

use crate::ledger::Ledger;
use config::Config;
use device::Device;
use keys::Keys;
use plan::{CurrentPeer, SetEndpoints, Step, Wanted};
use probe::Prober;
use relay::Relay;
use ways::{Seen, Ways};

pub use agent::run;
pub use device::Kind;

/// The tunnel of this host: device, desired peers, and what was set last.
struct Mesh {
    device: Device,
    ledger: Ledger<MeshSpec>,
    /// The control planes' peers, kept whatever a spec says.
    bootstrap: Vec<MeshPeer>,
    own_key: String,
    address: Ipv4Net,
    set_path: PathBuf,
    set: SetEndpoints,
    prober: Arc<Prober>,
    ways: Ways,
    relay: Relay,
    interface: String,
    port: u16,
    /// What the last pass wanted.
    wanted: Vec<Wanted>,
    /// The relayed peers whose direct way works, as last reported.
    told: Vec<String>,
}

impl Mesh {
    fn new(config: &Config, keys: Keys, address: Ipv4Net, bootstrap: Vec<MeshPeer>) -> anyhow::Result<Self> {
        let set_path = config.state_dir.join("endpoints.json");
        let ledger = config.state_dir.join("peers.json");
        Ok(Self {
            own_key: keys.public.clone(),
            device: Device::new(config, keys, address),
            ledger: Ledger::load(&ledger).with_context(|| format!("cannot read {}", ledger.display()))?,
            bootstrap,
            address,
            prober: Arc::new(Prober::new(address, config.mtu)),
            set: load_endpoints(&set_path),
            set_path,
            ways: Ways::default(),
            relay: Relay::new(config.interface.clone()),
            interface: config.interface.clone(),
            port: config.port,
            wanted: Vec::new(),
            told: Vec::new(),
        })
    }

    fn generation(&self) -> Generation {
        self.ledger.generation()
    }

    fn kind(&self) -> Option<Kind> {
        self.device.kind()
    }

    /// Puts a spec into the ledger, if it counts.
    fn offer(&mut self, spec: Versioned<MeshSpec>, first_after_connect: bool) -> anyhow::Result<()> {
        if self.ledger.takes(spec.generation, first_after_connect) {
            info!(generation = spec.generation, peers = spec.spec.peers.len(), "new desired peers");
            self.ledger.store(spec).context("cannot write peers.json")?;
        }
        Ok(())
    }

    /// One pass: the device is up and has the wanted peers, or the error says why not.
    async fn pass(&mut self) -> anyhow::Result<()> {
        let spec = self.ledger.current().map_or_else(MeshSpec::default, |current| current.spec.clone());
        self.resize(spec.prefix);
        if self.device.ensure().await? {
            self.set.clear();
        }
        let current = self.device.peers().await?;
        let mut wanted = self.wanted(&spec, &current);
        let in_place = self.device.in_place();
        let steps = plan::plan(&current, &wanted, &self.set, in_place);
        let tried: BTreeSet<&str> =
            wanted.iter().filter(|one| one.afresh).map(|one| one.peer.public_key.as_str()).collect();
        for step in &steps {
            // Tries of other ways come every few seconds.
            if tried.contains(step.public_key()) {
                debug!(step = %step, "trying a way");
            } else {
                info!(step = %step, "changing the tunnel");
            }
            self.device.apply(step).await?;
        }
        greet(self.address.addr(), &steps).await;
        for wanted in &mut wanted {
            wanted.afresh = false;
        }
        let endpoints = plan::endpoints(&wanted);
        if endpoints != self.set {
            let text = serde_json::to_vec_pretty(&endpoints).context("endpoints have string keys")?;
            daemon::file::replace(&self.set_path, &text, 0o600).context("cannot write endpoints.json")?;
            self.set = endpoints;
        }
        // A call may succeed and leave a dead device behind (trap 1): only reading again shows it.
        if !steps.is_empty()
            && !plan::plan(&self.device.peers().await?, &wanted, &self.set, in_place).is_empty()
        {
            bail!("the device did not take all peers");
        }
        self.prober.ask(&wanted.iter().map(|wanted| wanted.peer.mesh_address).collect::<BTreeSet<_>>());
        self.wanted = wanted;
        self.device.narrow(&self.prober.narrow()).await?;
        // The own tunnel is as it should be, whatever comes of others'.
        if let Err(error) = self.relay.ensure(&spec.relays).await {
            warn!(error = format!("{error:#}"), "cannot relay");
        }
        Ok(())
    }

    /// Takes the length of the mesh's prefix over, when the control plane has another one than this host was given.
    fn resize(&mut self, prefix: Option<u8>) {
        let Some(address) = prefix.and_then(|prefix| Ipv4Net::new(self.address.addr(), prefix).ok()) else {
            return;
        };
        // A shorter one would take addresses that are none of the mesh's.
        if address != self.address && (16..=30).contains(&address.prefix_len()) {
            info!(was = %self.address, is = %address, "the mesh has another size");
            self.address = address;
            self.device.set_address(address);
            self.prober.set_prefix(address.prefix_len());
        }
    }

    /// The peers with the addresses that go to each, and where to dial them.
    fn wanted(&mut self, spec: &MeshSpec, current: &[CurrentPeer]) -> Vec<Wanted> {
        let peers = plan::wanted_peers(&spec.peers, &self.bootstrap, &self.own_key, self.address.addr());
        let current: BTreeMap<&str, &CurrentPeer> =
            current.iter().map(|peer| (peer.public_key.as_str(), peer)).collect();
        let now = Instant::now();
        let mut wanted = plan::routed(peers, &spec.relayed);
        self.ways.keep(|key| wanted.iter().any(|wanted| wanted.peer.public_key == key));
        for wanted in &mut wanted {
            let key = wanted.peer.public_key.as_str();
            let has = current.get(key).copied();
            let mut candidates: Vec<SocketAddr> = wanted.peer.endpoint.into_iter().collect();
            let others = spec.candidates.get(key).into_iter().flatten().take(MAX_ADDRESSES);
            candidates.extend(others.filter(|other| wanted.peer.endpoint != Some(**other)));
            let last = self.set.get(key).copied().flatten();
            let learnt = has.and_then(|has| has.endpoint);
            let dial = self.ways.dial(key, &candidates, last, learnt, self.seen(wanted, has), now);
            (wanted.peer.endpoint, wanted.afresh) = (dial.endpoint, dial.afresh && has.is_some());
        }
        wanted
    }

    fn seen(&self, wanted: &Wanted, has: Option<&CurrentPeer>) -> Seen {
        let age = has.and_then(|has| has.handshake_age_s);
        if wanted.allowed.is_empty() {
            // One that was not relayed before has its session from then.
            let age = age.filter(|_| has.is_some_and(|has| has.allowed.is_empty()));
            return Seen::Relayed(age.map(Duration::from_secs));
        }
        match self.prober.answers(wanted.peer.mesh_address) {
            Some(true) => Seen::Answers,
            Some(false) => {
                let silent = self.prober.probes(wanted.peer.mesh_address).map_or(0, |probes| probes.silent);
                let since = SESSION_S.min(u64::from(silent) * protocol::report::PROBE_EVERY_S);
                // Hands shaken within the silence: it is probes that are not answered.
                if age.is_some_and(|age| age < since) { Seen::Answers } else { Seen::Silent }
            }
            None => Seen::Unknown,
        }
    }

    /// Whether a pass is due before its time: a peer may have to be dialled elsewhere.
    fn is_due(&self) -> bool {
        self.ways.due(Instant::now())
    }

    /// Whether the direct way to a relayed peer began to work, or ceased to, since the last report.
    fn has_news(&self) -> bool {
        self.ways.healed() != self.told
    }

    async fn report(&mut self) -> anyhow::Result<MeshReport> {
        let mut peers = self.device.report().await?;
        self.told = self.ways.healed();
        let by_key: BTreeMap<&str, &Wanted> =
            self.wanted.iter().map(|wanted| (wanted.peer.public_key.as_str(), wanted)).collect();
        let relay_of = |address: &Ipv4Addr| self.wanted.iter().find(|relay| relay.allowed.contains(address));
        for report in &mut peers {
            let Some(wanted) = by_key.get(report.public_key.as_str()) else { continue };
            report.probes = self.prober.probes(wanted.peer.mesh_address);
            if wanted.allowed.is_empty() {
                let relay = relay_of(&wanted.peer.mesh_address);
                report.via = relay.map(|relay| relay.peer.public_key.clone());
                report.direct_s = self.ways.direct(&report.public_key).map(|since| since.elapsed().as_secs());
            }
        }
        Ok(MeshReport {
            peers,
            at: Some(Utc::now()),
            public_key: Some(self.own_key.clone()),
            mtu: Some(self.device.mtu()),
            addresses: self.addresses().await,
            relay: Some(self.relay.ability().await),
        })
    }

    /// Where hosts on the networks around this one may dial its tunnel.
    async fn addresses(&self) -> Vec<SocketAddr> {
        match ip::local_addresses(&self.interface).await {
            Ok(addresses) => {
                let all = addresses.into_iter().map(|address| SocketAddr::new(address, self.port));
                all.take(MAX_ADDRESSES).collect()
            }
            Err(error) => {
                warn!(error = format!("{error:#}"), "this host's addresses are not known");
                Vec::new()
            }
        }
    }
}

/// Sends one packet to each new peer, so that the handshake begins from this side too. Otherwise the one who dials may
/// meet a device that does not know it yet, and `WireGuard` tries again only after five seconds.
async fn greet(own: Ipv4Addr, steps: &[Step]) {
    let Ok(socket) = UdpSocket::bind((own, 0)).await else { return };
    for step in steps {
        if let Step::Add(Wanted { peer, allowed, .. }) = step
            && peer.endpoint.is_some()
            && !allowed.is_empty()
        {
            // Port 9 is "discard". Nothing depends on the packet's arrival.
            let _ = socket.send_to(&[], (peer.mesh_address, 9)).await;
        }
    }
}

/// What a former agent set; without the file every wanted endpoint is set once more.
fn load_endpoints(path: &Path) -> SetEndpoints {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
            warn!(path = %path.display(), %error, "damaged, ignored");
            SetEndpoints::new()
        }),
        Err(_) => SetEndpoints::new(),
    }
}
