//! Asks every peer through the tunnel whether it is there, and answers peers who ask: time there and back, losses, and
//! the largest packet that arrives. Plain UDP on the mesh address, because an agent without root sends no ICMP.

mod record;
mod search;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ipnet::Ipv4Net;
use protocol::report::{PROBE_EVERY_S, Probes};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use record::Record;
use wire::{HEADERS, LENGTH, Probe};

/// Between two probes of a peer, and how long an answer may take.
const ROUND: Duration = Duration::from_secs(PROBE_EVERY_S);
/// A fleet of many peers is asked more slowly: at most a hundred a second.
const EACH: Duration = Duration::from_millis(10);
/// Answers per second, for all peers together.
const ANSWERS: u32 = 500;
/// Before the socket is tried again: the address comes and goes with the interface.
const RETRY: Duration = Duration::from_secs(2);

/// Who is asked, and what came of it.
pub(super) struct Prober {
    own: Ipv4Addr,
    /// Length of the mesh's prefix.
    prefix: AtomicU8,
    /// Bytes of the largest packet that the interface takes.
    mtu: u16,
    records: Mutex<BTreeMap<Ipv4Addr, Record>>,
    /// A peer became silent, or answers again.
    turned: Notify,
    /// Peers that said that they use their next key.
    called: Mutex<BTreeSet<Ipv4Addr>>,
    calls: Notify,
    round: Duration,
}

impl Prober {
    pub(super) fn new(own: Ipv4Net, mtu: u32) -> Self {
        Self {
            own: own.addr(),
            prefix: AtomicU8::new(own.prefix_len()),
            mtu: u16::try_from(mtu).unwrap_or(u16::MAX),
            records: Mutex::default(),
            turned: Notify::new(),
            called: Mutex::default(),
            calls: Notify::new(),
            round: ROUND,
        }
    }

    /// The mesh has another size.
    pub(super) fn set_prefix(&self, length: u8) {
        self.prefix.store(length, Ordering::Relaxed);
    }

    fn is_mesh(&self, address: Ipv4Addr) -> bool {
        Ipv4Net::new(self.own, self.prefix.load(Ordering::Relaxed)).is_ok_and(|mesh| mesh.contains(&address))
    }

    /// Asks these from now on and forgets the others.
    pub(super) fn ask(&self, peers: &BTreeSet<Ipv4Addr>) {
        let mut records = self.records();
        records.retain(|address, _| peers.contains(address));
        for peer in peers {
            records.entry(*peer).or_insert_with(|| Record::new(self.mtu));
        }
    }

    /// Whether the peer answers: `None` before anything can be said.
    pub(super) fn answers(&self, peer: Ipv4Addr) -> Option<bool> {
        self.records().get(&peer)?.answers()
    }

    pub(super) fn probes(&self, peer: Ipv4Addr) -> Option<Probes> {
        self.records().get(&peer)?.probes()
    }

    /// Peers whose packets must be smaller than the interface's, and how many bytes they may have.
    pub(super) fn narrow(&self) -> BTreeMap<Ipv4Addr, u16> {
        let records = self.records();
        let sizes = records.iter().filter_map(|(peer, record)| Some((*peer, record.probes()?.mtu?)));
        sizes.filter(|(_, mtu)| *mtu < self.mtu).collect()
    }

    /// Returns when a peer became silent or answers again.
    pub(super) async fn turned(&self) {
        self.turned.notified().await;
    }

    /// Returns when a peer said that it uses its next key.
    pub(super) async fn calls(&self) {
        self.calls.notified().await;
    }

    /// The peers that said so since this was asked last.
    pub(super) fn called(&self) -> BTreeSet<Ipv4Addr> {
        std::mem::take(&mut self.called.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks and answers until `stop`.
    pub(super) async fn run(&self, stop: CancellationToken) -> anyhow::Result<()> {
        stop.run_until_cancelled(async {
            loop {
                if let Err(error) = self.work().await {
                    debug!(%error, "peers cannot be probed");
                }
                tokio::time::sleep(RETRY).await;
            }
        })
        .await;
        Ok(())
    }

    async fn work(&self) -> std::io::Result<()> {
        let socket = UdpSocket::bind((self.own, wire::PORT)).await?;
        // Packets are not to be cut in pieces, and a size that a route forbids may be tried all the same.
        set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::PROBE)?;
        let mut ticks = tokio::time::interval(self.round);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut allowance = Allowance::new();
        let mut number = 0;
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let asks = self.round(&mut number);
                    let pause = EACH.saturating_mul(u32::try_from(asks.len()).unwrap_or(u32::MAX));
                    ticks.reset_after(self.round.max(pause));
                    for ask in asks {
                        send(&socket, ask).await?;
                    }
                }
                received = socket.recv_from(&mut buffer) => match received {
                    Ok((length, from)) => {
                        if let Some(number) = self.take(&buffer[..length], from)
                            && allowance.take()
                        {
                            // Sent now or never: a peer asks again.
                            let _ = socket.try_send_to(&Probe::Answer(number).bytes(), from);
                        }
                    }
                    // Linux tells of an earlier packet that nobody took.
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                    Err(error) => return Err(error),
                },
            }
        }
    }

    /// Ends a round and says what to send in the next.
    fn round(&self, number: &mut u64) -> Vec<Ask> {
        let now = Instant::now();
        let mut asks = Vec::new();
        let mut turned = false;
        for (peer, record) in self.records().iter_mut() {
            let before = record.answers();
            record.end_round();
            turned |= record.answers() == Some(false) && before != Some(false);
            let size = record.size();
            for size in std::iter::once(None).chain(size.map(Some)) {
                *number += 1;
                record.sent(*number, now, size);
                asks.push(Ask { peer: *peer, number: *number, size });
            }
        }
        if turned {
            self.turned.notify_one();
        }
        asks
    }

    /// Takes a packet in, and says which number to answer.
    fn take(&self, packet: &[u8], from: SocketAddr) -> Option<u64> {
        let IpAddr::V4(peer) = from.ip() else { return None };
        match Probe::read(packet)? {
            Probe::Ask(number) => self.is_mesh(peer).then_some(number),
            Probe::Answer(number) => {
                let mut records = self.records();
                let record = records.get_mut(&peer)?;
                let before = record.answers();
                record.answered(number, Instant::now());
                if before != record.answers() {
                    self.turned.notify_one();
                }
                None
            }
            Probe::Turn => {
                if self.records().contains_key(&peer) {
                    self.called.lock().unwrap_or_else(PoisonError::into_inner).insert(peer);
                    self.calls.notify_one();
                }
                None
            }
        }
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<Ipv4Addr, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says to these peers that this host uses its next key from now on. A peer that does not hear it finds out by itself.
pub(super) async fn call(own: Ipv4Addr, peers: impl Iterator<Item = Ipv4Addr>) {
    let Ok(socket) = UdpSocket::bind((own, 0)).await else { return };
    for peer in peers {
        let _ = socket.send_to(&Probe::Turn.bytes(), (peer, wire::PORT)).await;
    }
}

/// A probe to send.
struct Ask {
    peer: Ipv4Addr,
    number: u64,
    size: Option<u16>,
}

/// What cannot be sent is a probe without an answer, except when the socket is of no use any more.
async fn send(socket: &UdpSocket, ask: Ask) -> std::io::Result<()> {
    let mut packet = Probe::Ask(ask.number).bytes().to_vec();
    if let Some(size) = ask.size {
        packet.resize(usize::from(size.saturating_sub(HEADERS)).max(LENGTH), 0);
    }
    match socket.send_to(&packet, (ask.peer, wire::PORT)).await {
        Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => {
            warn!(%error, "the mesh address is gone");
            Err(error)
        }
        _ => Ok(()),
    }
}

/// A second's answers.
struct Allowance {
    since: Instant,
    left: u32,
}

impl Allowance {
    fn new() -> Self {
        Self { since: Instant::now(), left: ANSWERS }
    }

    fn take(&mut self) -> bool {
        if self.since.elapsed() >= Duration::from_secs(1) {
            *self = Self::new();
        }
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prober(address: &str) -> Prober {
        let prober = Prober::new(address.parse().expect("an address"), 1420);
        Prober { round: Duration::from_millis(20), ..prober }
    }

    #[tokio::test]
    async fn peers_that_run_answer_each_other_and_one_that_does_not_is_silent() {
        let (a, b) = (prober("127.0.9.1/24"), prober("127.0.9.2/24"));
        let addresses = [2, 3].map(|last| Ipv4Addr::new(127, 0, 9, last));
        a.ask(&BTreeSet::from(addresses));
        let stop = CancellationToken::new();
        let seen = async {
            a.turned().await;
            while a.probes(addresses[0]).is_none_or(|probes| probes.mtu.is_none()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            stop.cancel();
        };
        let (asked, answered, ()) = tokio::join!(a.run(stop.clone()), b.run(stop.clone()), seen);
        assert!(asked.is_ok() && answered.is_ok());
        let probes = a.probes(addresses[0]).expect("probed");
        assert!(probes.rtt_us.is_some() && probes.mtu == Some(1420), "{probes:?}");
        assert_eq!(a.probes(addresses[1]).and_then(|probes| probes.rtt_us), None);
        assert!(a.narrow().is_empty());
        a.ask(&BTreeSet::new());
        assert_eq!(a.probes(addresses[0]), None);
    }

    #[test]
    fn only_the_mesh_is_heard_and_answered_no_more_than_so_often() {
        let prober = prober("10.50.0.1/24");
        let ask = Probe::Ask(7).bytes();
        assert_eq!(prober.take(&ask, ([10, 50, 0, 2], 1).into()), Some(7));
        assert_eq!(prober.take(&ask, ([192, 0, 2, 1], 1).into()), None);
        assert_eq!(prober.take(&Probe::Answer(7).bytes(), ([10, 50, 0, 2], 1).into()), None);
        let turn = Probe::Turn.bytes();
        prober.ask(&BTreeSet::from([[10, 50, 0, 2].into()]));
        for other in [[10, 50, 0, 2], [10, 50, 0, 3]] {
            assert_eq!(prober.take(&turn, (other, 1).into()), None);
        }
        assert_eq!(prober.called(), BTreeSet::from([[10, 50, 0, 2].into()]), "only of peers");
        assert!(prober.called().is_empty(), "each is told once");
        let mut allowance = Allowance::new();
        assert!((0..2 * ANSWERS).filter(|_| allowance.take()).count() < 2 * ANSWERS as usize);
    }
}
