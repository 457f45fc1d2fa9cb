//! The mesh agent: joins the host, owns its `WireGuard` interface, keeps its peers as the control plane wants them.

mod agent;
pub mod config;
mod device;
mod ip;
mod join;
mod keys;
pub mod leave;
mod plan;
mod probe;
pub mod tunnel;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use chrono::Utc;
use ipnet::Ipv4Net;
use protocol::report::MeshReport;
use protocol::spec::{Generation, MeshPeer, MeshSpec, Versioned};
use tokio::net::UdpSocket;
use tracing::{info, warn};

use crate::ledger::Ledger;
use config::Config;
use device::Device;
use keys::Keys;
use plan::{SetEndpoints, Step};
use probe::Prober;

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
        if self.device.ensure().await? {
            self.set.clear();
        }
        let spec = self.ledger.current().map_or(&[][..], |current| &current.spec.peers);
        let wanted = plan::wanted_peers(spec, &self.bootstrap, &self.own_key, self.address.addr());
        let in_place = self.device.in_place();
        let steps = plan::plan(&self.device.peers().await?, &wanted, &self.set, in_place);
        for step in &steps {
            info!(step = %step, "changing the tunnel");
            self.device.apply(step).await?;
        }
        greet(self.address.addr(), &steps).await;
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
        self.prober.ask(&wanted.iter().map(|peer| peer.mesh_address).collect::<BTreeSet<_>>());
        self.device.narrow(&self.prober.narrow()).await
    }

    async fn report(&self) -> anyhow::Result<MeshReport> {
        let mut peers = self.device.report().await?;
        for (report, address) in &mut peers {
            report.probes = address.and_then(|address| self.prober.probes(address));
        }
        Ok(MeshReport {
            peers: peers.into_iter().map(|(report, _)| report).collect(),
            at: Some(Utc::now()),
            public_key: Some(self.own_key.clone()),
            mtu: Some(self.device.mtu()),
            addresses: Vec::new(),
        })
    }
}

/// Sends one packet to each new peer, so that the handshake begins from this side too. Otherwise the one who dials may
/// meet a device that does not know it yet, and `WireGuard` tries again only after five seconds.
async fn greet(own: Ipv4Addr, steps: &[Step]) {
    let Ok(socket) = UdpSocket::bind((own, 0)).await else { return };
    for step in steps {
        if let Step::Add(MeshPeer { mesh_address, endpoint: Some(_), .. }) = step {
            // Port 9 is "discard". Nothing depends on the packet's arrival.
            let _ = socket.send_to(&[], (*mesh_address, 9)).await;
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
