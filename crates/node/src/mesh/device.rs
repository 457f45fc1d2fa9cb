//! The `WireGuard` device: made or adopted, configured, read, changed. Never torn down to be reconfigured.
//!
//! Every call into the library blocks, and some never return once the device is dead (trap 2): all run on a blocking
//! thread under a time limit, and a device that does not answer in time is dead.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, bail};
use defguard_wireguard_rs::error::WireguardInterfaceError;
use defguard_wireguard_rs::host::Host;
use defguard_wireguard_rs::key::Key;
use defguard_wireguard_rs::net::IpAddrMask;
use defguard_wireguard_rs::peer::Peer;
use defguard_wireguard_rs::{InterfaceConfiguration, Kernel, Userspace, WGApi, WireguardInterfaceApi};
use ipnet::Ipv4Net;
use protocol::report::PeerReport;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::config::{Backend, Config};
use super::keys::Keys;
use super::plan::{CurrentPeer, Step, Wanted};
use super::{ip, tunnel};

/// The library waits up to 3 s for one answer of a living device.
const LIMIT: Duration = Duration::from_secs(4);
/// For a new tunnel process to answer.
const START: Duration = Duration::from_secs(5);

/// Which implementation a device has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Kernel,
    Userspace,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Userspace => "userspace",
        }
    }
}

/// Why a call had no success.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeviceError {
    #[error("the device did not answer in {LIMIT:?}")]
    Dead,
    #[error(transparent)]
    Refused(#[from] WireguardInterfaceError),
    #[error("the call into the WireGuard library panicked")]
    Panicked,
}

/// The interface of this host.
pub(super) struct Device {
    name: String,
    backend: Backend,
    keys: Keys,
    port: u16,
    mtu: u32,
    address: Ipv4Net,
    log: PathBuf,
    kind: Option<Kind>,
    /// The tunnel process, when this agent started it; kept to be reaped.
    child: Option<Child>,
}

impl Device {
    pub(super) fn new(config: &Config, keys: Keys, address: Ipv4Net) -> Self {
        Self {
            name: config.interface.clone(),
            backend: config.backend,
            keys,
            port: config.port,
            mtu: config.mtu,
            address,
            log: config.state_dir.join("tunnel.log"),
            kind: None,
            child: None,
        }
    }

    /// The address that the interface is to have from the next pass on.
    pub(super) fn set_address(&mut self, address: Ipv4Net) {
        self.address = address;
    }

    /// `None` before the device was up.
    pub(super) fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// Sees to it that the interface is there, answers, has our key, port, address and MTU, and is up. `true` when the
    /// device is new, and so has no peers.
    pub(super) async fn ensure(&mut self) -> anyhow::Result<bool> {
        self.reap();
        let made = match ip::link(&self.name).await? {
            Some(link) => !self.adopt(link.kind()).await?,
            None => true,
        };
        if made {
            self.make().await?;
        }
        self.set_key().await?;
        let link = ip::link(&self.name).await?.context("the interface vanished")?;
        ip::configure(&self.name, &link, self.address, self.mtu).await?;
        Ok(made)
    }

    /// Takes over an interface that is there; `false` when its device was dead and is gone now.
    async fn adopt(&mut self, kind: &str) -> anyhow::Result<bool> {
        // The library adopts whatever has the name (its `create` takes "exists" for success): look first.
        let kind = match kind {
            "wireguard" => Kind::Kernel,
            "tun" => Kind::Userspace,
            other => bail!(
                "there is an interface {} of kind `{other}`, not WireGuard: set another `interface` or remove it",
                self.name
            ),
        };
        if self.kind != Some(kind) {
            info!(interface = self.name, kind = kind.as_str(), "adopted the existing interface");
            self.kind = Some(kind);
        }
        let Err(error) = self.host().await else { return Ok(true) };
        if kind == Kind::Kernel {
            return Err(error).context("the kernel's device does not answer");
        }
        warn!(interface = self.name, %error, "the tunnel process is dead: starting another");
        let name = self.name.clone();
        let ended = tokio::task::spawn_blocking(move || tunnel::end(&name));
        timeout(LIMIT, ended).await.context("cannot end the dead tunnel process in time")???;
        let deadline = Instant::now() + tunnel::VANISH;
        while ip::link(&self.name).await?.is_some() {
            if Instant::now() > deadline {
                bail!("interface {} belongs to a process that does not serve its socket: end it", self.name);
            }
            sleep(Duration::from_millis(100)).await;
        }
        self.reap();
        Ok(false)
    }

    async fn make(&mut self) -> anyhow::Result<()> {
        let kernel = match self.backend {
            Backend::Kernel => true,
            Backend::Userspace => false,
            Backend::Auto => kernel_has_wireguard().await?,
        };
        self.kind = Some(if kernel { Kind::Kernel } else { Kind::Userspace });
        if kernel {
            create_kernel(&self.name).await.context(
                "the kernel cannot make a WireGuard interface: load its module, or set backend = \"userspace\"",
            )?;
            info!(interface = self.name, "made a kernel WireGuard interface");
            return Ok(());
        }
        let mut child = tunnel::spawn(&self.name, &self.log)?;
        let deadline = Instant::now() + START;
        // Looking at the path first: the library logs an error for each try without a socket.
        while !tunnel::socket_path(&self.name).exists() || self.host().await.is_err() {
            if let Some(status) = child.try_wait()? {
                bail!("the tunnel process ended at once ({status}): see {}", self.log.display());
            }
            if Instant::now() > deadline {
                child.kill()?;
                bail!("the tunnel process does not answer: see {}", self.log.display());
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.child = Some(child);
        Ok(())
    }

    /// Sets key and port where they differ, because setting them takes all peers away and leaks sockets (trap 4). Done
    /// at once after making the device, which panics on a packet that finds no key (trap 8).
    async fn set_key(&self) -> anyhow::Result<()> {
        let host = self.host().await?;
        if host.private_key.as_ref() == Some(&self.keys.private) && host.listen_port == self.port {
            return Ok(());
        }
        let configuration = InterfaceConfiguration {
            name: self.name.clone(),
            prvkey: self.keys.private.to_string(),
            // Addresses and MTU are set by `ip`, peers one by one: the kernel's backend ignores them here.
            addresses: Vec::new(),
            port: self.port,
            peers: Vec::new(),
            mtu: None,
            fwmark: None,
        };
        self.call(move |api| api.configure_interface(&configuration)).await.context("cannot set the key")?;
        Ok(())
    }

    /// Uses another key from now on. Peers, and where they are, stay as they are; hands are shaken anew.
    pub(super) async fn change_key(&mut self, keys: Keys) -> anyhow::Result<()> {
        self.keys = keys;
        let (name, key) = (self.name.clone(), self.keys.private.clone());
        if self.kind == Some(Kind::Kernel) {
            return self.change_kernel_key().await;
        }
        let task = tokio::task::spawn_blocking(move || tunnel::set_key(&name, &key));
        timeout(LIMIT, task).await.context("the tunnel process does not answer")???;
        Ok(())
    }

    /// The library takes addresses and peers away as it sets a key: they are put back at once, with what was learnt.
    async fn change_kernel_key(&self) -> anyhow::Result<()> {
        let before = self.host().await?;
        self.set_key().await?;
        let link = ip::link(&self.name).await?.context("the interface vanished")?;
        ip::configure(&self.name, &link, self.address, self.mtu).await?;
        for peer in before.peers.into_values() {
            self.call(move |api| api.configure_peer(&peer)).await?;
        }
        Ok(())
    }

    /// Whether the device is there and alive. Cheap.
    pub(super) async fn answers(&self) -> bool {
        let there = self.kind != Some(Kind::Userspace) || tunnel::socket_path(&self.name).exists();
        there && self.host().await.is_ok()
    }

    pub(super) async fn peers(&self) -> anyhow::Result<Vec<CurrentPeer>> {
        let host = self.host().await.context("cannot read the device")?;
        Ok(host.peers.values().map(current).collect())
    }

    /// What the device knows of each peer, by key.
    pub(super) async fn report(&self) -> anyhow::Result<Vec<PeerReport>> {
        let host = self.host().await.context("cannot read the device")?;
        let reports: BTreeMap<String, _> =
            host.peers.values().map(|peer| (peer.public_key.to_string(), report(peer))).collect();
        Ok(reports.into_values().collect())
    }

    /// Holds packets to these peers to so many bytes.
    pub(super) async fn narrow(&self, peers: &BTreeMap<Ipv4Addr, u16>) -> anyhow::Result<()> {
        ip::narrow(&self.name, self.address.addr(), peers).await
    }

    /// Bytes of the largest packet that the interface takes.
    pub(super) fn mtu(&self) -> u32 {
        self.mtu
    }

    pub(super) async fn apply(&self, step: &Step) -> anyhow::Result<()> {
        let result = match step {
            Step::Remove { public_key } => {
                let key = parse_key(public_key)?;
                // Its route needs no removal: the prefix of the interface covers all peers, none has one (trap 5).
                self.call(move |api| api.remove_peer(&key)).await
            }
            Step::Add(wanted) | Step::Change(wanted) => {
                let peer = setting(wanted)?;
                self.call(move |api| api.configure_peer(&peer)).await
            }
        };
        result.with_context(|| format!("cannot {step}"))
    }

    /// Whether a peer can be changed in place.
    pub(super) fn in_place(&self) -> bool {
        self.kind == Some(Kind::Kernel)
    }

    async fn host(&self) -> Result<Host, DeviceError> {
        self.call(|api| api.read_interface_data()).await
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn WireguardInterfaceApi) -> Result<T, WireguardInterfaceError> + Send + 'static,
    ) -> Result<T, DeviceError> {
        let (name, kind) = (self.name.clone(), self.kind);
        let task = tokio::task::spawn_blocking(move || match kind {
            Some(Kind::Kernel) => work(&WGApi::<Kernel>::new(name)?),
            // Without `create_interface` this speaks to the tunnel process by its socket.
            _ => work(&WGApi::<Userspace>::new(name)?),
        });
        match timeout(LIMIT, task).await {
            Ok(Ok(result)) => Ok(result?),
            Ok(Err(_)) => Err(DeviceError::Panicked),
            Err(_) => Err(DeviceError::Dead),
        }
    }

    fn reap(&mut self) {
        if let Some(child) = &mut self.child
            && !matches!(child.try_wait(), Ok(None))
        {
            self.child = None;
        }
    }
}

/// Makes a probe interface, because nothing else says for sure. The library hides why it failed, and a missing
/// privilege looks like a missing module: that is asked first.
async fn kernel_has_wireguard() -> anyhow::Result<bool> {
    if !may_administer_the_network()? {
        bail!(
            "making the tunnel needs CAP_NET_ADMIN: run wisehosting-mesh as root or give it the capability"
        );
    }
    let name = format!("whp{}", std::process::id());
    if create_kernel(&name).await.is_err() {
        info!("the kernel has no WireGuard: using the userspace tunnel");
        return Ok(false);
    }
    // By `ip`: the library's removal fails on hosts without resolvconf (trap 6).
    ip::delete(&name).await?;
    Ok(true)
}

async fn create_kernel(name: &str) -> anyhow::Result<()> {
    let name = name.to_owned();
    let task = tokio::task::spawn_blocking(move || WGApi::<Kernel>::new(name)?.create_interface());
    Ok(timeout(LIMIT, task).await.context("the kernel does not answer")???)
}

fn may_administer_the_network() -> anyhow::Result<bool> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).map(str::trim);
    Ok(u64::from_str_radix(effective.context("no CapEff in /proc/self/status")?, 16)? & (1 << 12) != 0)
}

fn parse_key(text: &str) -> anyhow::Result<Key> {
    Key::try_from(text).map_err(|error| anyhow!("`{text}` is no public key: {error}"))
}

fn setting(wanted: &Wanted) -> anyhow::Result<Peer> {
    let mut setting = Peer::new(parse_key(&wanted.peer.public_key)?);
    setting.endpoint = wanted.peer.endpoint;
    setting.persistent_keepalive_interval = Some(wanted.keepalive_s());
    setting
        .set_allowed_ips(wanted.allowed.iter().map(|address| IpAddrMask::host((*address).into())).collect());
    Ok(setting)
}

fn current(peer: &Peer) -> CurrentPeer {
    let allowed: BTreeSet<String> =
        peer.allowed_ips.iter().map(|ip| format!("{}/{}", ip.address, ip.cidr)).collect();
    CurrentPeer {
        public_key: peer.public_key.to_string(),
        allowed,
        endpoint: peer.endpoint,
        keepalive_s: peer.persistent_keepalive_interval,
        handshake_age: handshake_age(peer),
    }
}

fn report(peer: &Peer) -> PeerReport {
    PeerReport {
        public_key: peer.public_key.to_string(),
        endpoint: peer.endpoint,
        handshake_age_s: handshake_age(peer).map(|age| age.as_secs()),
        received_bytes: peer.rx_bytes,
        sent_bytes: peer.tx_bytes,
        probes: None,
        via: None,
        direct_s: None,
    }
}

/// The userspace device computes the time anew at each read, so it wobbles (trap 9): nothing compares ages of two
/// reads. The epoch stands for "never".
fn handshake_age(peer: &Peer) -> Option<Duration> {
    let handshake = peer.last_handshake.filter(|at| *at > SystemTime::UNIX_EPOCH);
    handshake.map(|at| SystemTime::now().duration_since(at).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use protocol::spec::MeshPeer;

    use super::super::plan;
    use super::*;

    const KEY: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

    #[test]
    fn what_is_set_reads_back_as_what_the_plan_expects() {
        let peer = MeshPeer {
            name: "cp".to_owned(),
            public_key: KEY.to_owned(),
            mesh_address: [10, 50, 0, 1].into(),
            endpoint: "198.51.100.10:51821".parse().ok(),
        };
        let wanted = plan::routed(vec![peer], &BTreeMap::new());
        let read = current(&setting(&wanted[0]).expect("good key"));
        assert!(plan::plan(&[read], &wanted, &plan::endpoints(&wanted), false).is_empty());
    }

    #[test]
    fn a_peer_that_never_shook_hands_has_no_age() {
        let mut peer = Peer::new(parse_key(KEY).expect("good key"));
        assert_eq!(report(&peer).handshake_age_s, None);
        peer.last_handshake = Some(SystemTime::UNIX_EPOCH);
        assert_eq!(report(&peer).handshake_age_s, None);
        peer.last_handshake = SystemTime::now().checked_sub(Duration::from_secs(70));
        assert_eq!(report(&peer).handshake_age_s, Some(70));
    }
}
