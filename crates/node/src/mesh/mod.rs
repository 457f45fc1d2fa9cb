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
mod rekey;
mod relay;
mod rotate;
pub mod tunnel;
mod turns;
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
use rekey::Rekey;
use relay::Relay;
use turns::{Look, Turns};
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
    state_dir: PathBuf,
    set_path: PathBuf,
    set: SetEndpoints,
    prober: Arc<Prober>,
    ways: Ways,
    turns: Turns,
    rekey: Rekey,
    relay: Relay,
    interface: String,
    port: u16,
    /// What the last pass wanted.
    wanted: Vec<Wanted>,
    /// Keys of the device that the control plane does not know as anybody's, and the peers' that it does.
    known_as: BTreeMap<String, String>,
    /// The own key, as last reported.
    told_key: String,
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
            state_dir: config.state_dir.clone(),
            ways: Ways::default(),
            turns: Turns::default(),
            rekey: Rekey::new(config.state_dir.clone()),
            relay: Relay::new(config.interface.clone()),
            interface: config.interface.clone(),
            port: config.port,
            wanted: Vec::new(),
            known_as: BTreeMap::new(),
            told_key: String::new(),
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
            let peers = &spec.spec.peers;
            if let Err(error) = join::follow_control_planes(&self.state_dir, &mut self.bootstrap, peers) {
                warn!(error = format!("{error:#}"), "another key of a control plane is only in peers.json");
            }
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
        if let Err(error) = self.follow_key_change(&spec).await {
            warn!(error = format!("{error:#}"), "the key of the tunnel is not changed yet");
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

    /// Makes another key when it is asked for, and uses it when the peers are ready.
    async fn follow_key_change(&mut self, spec: &MeshSpec) -> anyhow::Result<()> {
        let Some(keys) = self.rekey.follow(spec.key_change.as_ref(), &self.own_key)? else { return Ok(()) };
        // From here on a power loss ends with the new one.
        self.rekey.keep(&keys)?;
        let own = self.address.addr();
        let peers: BTreeSet<Ipv4Addr> = self.wanted.iter().map(|wanted| wanted.peer.mesh_address).collect();
        probe::call(own, peers.iter().copied()).await;
        tokio::time::sleep(CALL).await;
        self.own_key.clone_from(&keys.public);
        // What does not succeed here is done by the next pass, at the price of all peers being made anew.
        self.device.change_key(keys).await?;
        info!(public_key = self.own_key, "the tunnel uses another key");
        knock(own, peers).await;
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
        self.turns.keep(&spec.next_keys);
        self.known_as.clear();
        let called = self.prober.called();
        let mut spares = Vec::new();
        for wanted in &mut wanted {
            let key = wanted.peer.public_key.clone();
            let next = spec.next_keys.get(&key).filter(|next| self.may_be_next(next));
            let look = next.map(|next| self.look(wanted, &key, next, &current, &called));
            let turned = look.zip(next).filter(|(look, next)| self.turns.uses_next(&key, next, *look, now));
            let used = turned.map_or(&key, |(_, next)| next);
            let has = current.get(used.as_str()).copied();
            let mut candidates: Vec<SocketAddr> = wanted.peer.endpoint.into_iter().collect();
            let others = spec.candidates.get(&key).into_iter().flatten().take(MAX_ADDRESSES);
            candidates.extend(others.filter(|other| wanted.peer.endpoint != Some(**other)));
            let last = self.set.get(used).copied().flatten();
            let other = turned.and_then(|_| current.get(key.as_str())?.endpoint);
            let learnt = has.and_then(|has| has.endpoint).or(other);
            let dial = self.ways.dial(&key, &candidates, last, learnt, self.seen(wanted, has), now);
            (wanted.peer.endpoint, wanted.afresh) = (dial.endpoint.or(other), dial.afresh && has.is_some());
            let Some(next) = next else { continue };
            let unused = if turned.is_some() { &key } else { next };
            spares.push(plan::spare(wanted, unused));
            self.known_as.insert(next.clone(), key.clone());
            wanted.peer.public_key.clone_from(used);
        }
        wanted.append(&mut spares);
        wanted
    }

    /// A key that is of nobody yet.
    fn may_be_next(&self, next: &str) -> bool {
        keys::is_public_key(next)
            && next != self.own_key
            && !self.bootstrap.iter().any(|peer| peer.public_key == next)
    }

    fn look(
        &self,
        wanted: &Wanted,
        key: &str,
        next: &str,
        current: &BTreeMap<&str, &CurrentPeer>,
        called: &BTreeSet<Ipv4Addr>,
    ) -> Look {
        let address = wanted.peer.mesh_address;
        let age = |key| current.get(key).and_then(|has| has.handshake_age);
        Look {
            old: age(key),
            next: age(next),
            routed: current.get(next).is_some_and(|has| !has.allowed.is_empty()),
            silent: self.prober.answers(address) == Some(false),
            called: called.contains(&address),
            hears_both: self.device.in_place(),
        }
    }

    fn seen(&self, wanted: &Wanted, has: Option<&CurrentPeer>) -> Seen {
        let age = has.and_then(|has| has.handshake_age);
        if wanted.allowed.is_empty() {
            // One that was not relayed before has its session from then.
            let age = age.filter(|_| has.is_some_and(|has| has.allowed.is_empty()));
            return Seen::Relayed(age);
        }
        match self.prober.answers(wanted.peer.mesh_address) {
            Some(true) => Seen::Answers,
            Some(false) => {
                let silent = self.prober.probes(wanted.peer.mesh_address).map_or(0, |probes| probes.silent);
                let since = SESSION_S.min(u64::from(silent) * protocol::report::PROBE_EVERY_S);
                // Hands shaken within the silence: it is probes that are not answered.
                if age.is_some_and(|age| age.as_secs() < since) { Seen::Answers } else { Seen::Silent }
            }
            None => Seen::Unknown,
        }
    }

    /// Whether a pass is due before its time: a peer may have to be dialled elsewhere, or be under another key by now.
    fn is_due(&self) -> bool {
        self.ways.due(Instant::now()) || !self.known_as.is_empty()
    }

    /// Whether a peer is about to be heard under another key, any moment.
    fn hurries(&self) -> bool {
        self.turns.hurry(Instant::now())
    }

    /// Whether there is another own key since the last report, or the direct way to a relayed peer began to work, or
    /// ceased to.
    fn has_news(&self) -> bool {
        self.own_key != self.told_key || self.ways.healed() != self.told
    }

    async fn report(&mut self) -> anyhow::Result<MeshReport> {
        let all = self.device.report().await?;
        self.told = self.ways.healed();
        self.told_key.clone_from(&self.own_key);
        let has = |key: &String| all.iter().any(|peer| peer.public_key == *key);
        let takes: Vec<String> = self.known_as.keys().filter(|next| has(next)).cloned().collect();
        let by_key: BTreeMap<&str, &Wanted> =
            self.wanted.iter().map(|wanted| (wanted.peer.public_key.as_str(), wanted)).collect();
        let relay_of = |address: &Ipv4Addr| self.wanted.iter().find(|relay| relay.allowed.contains(address));
        let mut peers = Vec::new();
        for mut report in all {
            let wanted = by_key.get(report.public_key.as_str());
            // A peer is reported once, under the key that the control plane knows, whichever of its two it uses.
            if wanted.is_some_and(|wanted| wanted.spare) {
                continue;
            }
            let known = self.known_as(&report.public_key).to_owned();
            report.public_key = known;
            if let Some(wanted) = wanted {
                report.probes = self.prober.probes(wanted.peer.mesh_address);
                if wanted.allowed.is_empty() {
                    let relay = relay_of(&wanted.peer.mesh_address);
                    report.via = relay.map(|relay| self.known_as(&relay.peer.public_key).to_owned());
                    report.direct_s =
                        self.ways.direct(&report.public_key).map(|since| since.elapsed().as_secs());
                }
            }
            peers.push(report);
        }
        Ok(MeshReport {
            peers,
            at: Some(Utc::now()),
            public_key: Some(self.own_key.clone()),
            mtu: Some(self.device.mtu()),
            addresses: self.addresses().await,
            relay: Some(self.relay.ability().await),
            next_key: self.rekey.next(&self.own_key),
            takes,
        })
    }

    /// The key by which the control plane knows the peer that uses `key`.
    fn known_as<'a>(&'a self, key: &'a str) -> &'a str {
        self.known_as.get(key).map_or(key, String::as_str)
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

/// For the peers to get ready after they were told that this host changes its key; longer than a packet takes to them.
const CALL: Duration = Duration::from_millis(50);

/// Sends one packet to each of these, so that hands are shaken at once.
async fn knock(own: Ipv4Addr, peers: BTreeSet<Ipv4Addr>) {
    let Ok(socket) = UdpSocket::bind((own, 0)).await else { return };
    for peer in peers {
        // Port 9 is "discard". Nothing depends on the packet's arrival.
        let _ = socket.send_to(&[], (peer, 9)).await;
    }
}

/// Sends one packet to each new peer, so that the handshake begins from this side too. Otherwise the one who dials may
/// meet a device that does not know it yet, and `WireGuard` tries again only after five seconds.
async fn greet(own: Ipv4Addr, steps: &[Step]) {
    let new = steps.iter().filter_map(|step| match step {
        Step::Add(Wanted { peer, allowed, .. }) if peer.endpoint.is_some() && !allowed.is_empty() => {
            Some(peer.mesh_address)
        }
        _ => None,
    });
    knock(own, new.collect()).await;
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
