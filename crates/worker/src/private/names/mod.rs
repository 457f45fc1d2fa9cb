//! The process that answers names: `<app>.<project>.internal` from its table, all others by asking the host's resolvers.
//! It is a process of its own, so that names are answered while the agent is restarted or upgraded. Each project asks at
//! the gateway of its own bridge, and the firewall lets nobody else get there: the socket says who asks.

mod answer;
mod forward;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{info, warn};

use answer::Verdict;
use forward::Via;

/// In the folder of the names: what is answered.
pub(super) const TABLE: &str = "table.json";
/// By which the agent says that the table is another one.
pub(super) const SOCKET: &str = "names.sock";
const PORT: u16 = 53;
/// How soon an address that another program has is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Questions that wait for an answer from outside, of all projects; others are dropped and asked again.
const OUTSIDE: usize = 512;
/// TCP connections of one project.
const CONNECTIONS: usize = 64;
/// A TCP connection on which nothing is asked.
const IDLE: Duration = Duration::from_secs(10);

/// All that is answered on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) zones: Vec<Zone>,
}

/// What one project may know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Zone {
    /// The gateway of its bridge.
    pub(crate) listen: Ipv4Addr,
    /// Without the domain.
    pub(crate) names: BTreeMap<String, Ipv4Addr>,
}

/// `wisehosting-worker names --dir FOLDER`, until SIGTERM.
pub async fn run(folder: &Path) -> anyhow::Result<ExitCode> {
    // Err: already leads a session, as when started by hand.
    let _ = nix::unistd::setsid();
    let Some(_lock) = daemon::lock::take(folder)? else {
        bail!("another process answers names from {}", folder.display());
    };
    let path = folder.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut term = signal(SignalKind::terminate())?;
    let mut server = Server::default();
    server.load(folder);
    let control =
        UnixListener::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    info!("names are answered");
    loop {
        tokio::select! {
            accepted = control.accept() => {
                if let Ok((stream, _)) = accepted {
                    // The agent alone gets here, and says one word.
                    let said = tokio::time::timeout(Duration::from_secs(1), server.obey(stream, folder)).await;
                    if !matches!(said, Ok(Ok(()))) {
                        warn!("the agent did not say what it wants");
                    }
                }
            }
            () = tokio::time::sleep(RETRY), if server.lacks > 0 => drop(server.load(folder)),
            _ = term.recv() => break,
        }
    }
    std::fs::remove_file(&path)?;
    info!("names are answered no more");
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Default)]
struct Server {
    zones: HashMap<Ipv4Addr, Served>,
    tasks: JoinSet<()>,
    outside: Outside,
    /// Zones whose address could not be listened on.
    lacks: usize,
}

#[derive(Debug)]
struct Served {
    names: watch::Sender<Arc<BTreeMap<String, Ipv4Addr>>>,
    tasks: [AbortHandle; 2],
}

/// What is common to all zones.
#[derive(Debug, Clone)]
struct Outside {
    slots: Arc<Semaphore>,
    own: watch::Sender<Arc<BTreeSet<Ipv4Addr>>>,
}

impl Default for Outside {
    fn default() -> Self {
        Self { slots: Arc::new(Semaphore::new(OUTSIDE)), own: watch::Sender::default() }
    }
}

impl Server {
    async fn obey(&mut self, stream: UnixStream, folder: &Path) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut word = String::new();
        stream.read_line(&mut word).await?;
        // Without a word: somebody looks whether we are here.
        if word.trim() == "reload" {
            let answer = self.load(folder).unwrap_or_else(|| "ok".to_owned());
            stream.get_mut().write_all(format!("{answer}\n").as_bytes()).await?;
        }
        Ok(())
    }

    /// Serves what the table says, and returns what of it cannot be served.
    fn load(&mut self, folder: &Path) -> Option<String> {
        while self.tasks.try_join_next().is_some() {}
        let table: Table = match std::fs::read(folder.join(TABLE)) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(table) => table,
                Err(error) => return Some(format!("the table cannot be read: {error}")),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Table::default(),
            Err(error) => return Some(format!("the table cannot be read: {error}")),
        };
        let wanted: BTreeSet<Ipv4Addr> = table.zones.iter().map(|zone| zone.listen).collect();
        self.outside.own.send_replace(Arc::new(wanted.clone()));
        self.zones.retain(|address, served| {
            let keep = wanted.contains(address);
            if !keep {
                served.tasks.iter().for_each(AbortHandle::abort);
            }
            keep
        });
        let problems: Vec<String> =
            table.zones.into_iter().filter_map(|zone| self.zone(zone).err()).collect();
        self.lacks = problems.len();
        problems.first().inspect(|problem| warn!(problem, "some names are not answered")).cloned()
    }

    fn zone(&mut self, zone: Zone) -> Result<(), String> {
        let Zone { listen, names } = zone;
        let names = Arc::new(names);
        if let Some(served) = self.zones.get(&listen) {
            served.names.send_replace(names);
            return Ok(());
        }
        let at = SocketAddrV4::new(listen, PORT);
        let (udp, tcp) = open(at).map_err(|error| format!("cannot listen on {at}: {error}"))?;
        let (names, watched) = watch::channel(names);
        let tasks = [
            self.tasks.spawn(datagrams(udp, watched.clone(), self.outside.clone())),
            self.tasks.spawn(connections(tcp, watched, self.outside.clone())),
        ];
        self.zones.insert(listen, Served { names, tasks });
        Ok(())
    }
}

/// Of an address that may come up later (`IP_FREEBIND`): a bridge is there only while something is plugged into it.
fn open(at: SocketAddrV4) -> std::io::Result<(UdpSocket, TcpListener)> {
    let socket = |kind, protocol| {
        let socket = Socket::new(Domain::IPV4, kind, Some(protocol))?;
        socket.set_freebind_v4(true)?;
        socket.set_nonblocking(true)?;
        Ok::<_, std::io::Error>(socket)
    };
    let udp = socket(Type::DGRAM, Protocol::UDP)?;
    udp.bind(&at.into())?;
    let tcp = socket(Type::STREAM, Protocol::TCP)?;
    tcp.set_reuse_address(true)?;
    tcp.bind(&at.into())?;
    tcp.listen(64)?;
    Ok((UdpSocket::from_std(udp.into())?, TcpListener::from_std(tcp.into())?))
}

type Names = watch::Receiver<Arc<BTreeMap<String, Ipv4Addr>>>;

async fn datagrams(socket: UdpSocket, names: Names, outside: Outside) {
    let socket = Arc::new(socket);
    let mut asking = JoinSet::new();
    let mut packet = vec![0; 4096];
    loop {
        while asking.try_join_next().is_some() {}
        // An error is about an earlier answer that nobody took.
        let Ok((length, from)) = socket.recv_from(&mut packet).await else { continue };
        let verdict = answer::judge(&packet[..length], &names.borrow());
        match verdict {
            // What cannot be sent is asked for again.
            Verdict::Reply(reply) => drop(socket.send_to(&reply, from).await),
            Verdict::Drop => {}
            Verdict::Forward => {
                let Ok(slot) = Arc::clone(&outside.slots).try_acquire_owned() else { continue };
                let (socket, outside) = (Arc::clone(&socket), outside.clone());
                let packet = packet[..length].to_vec();
                asking.spawn(async move {
                    if let Some(reply) = outside.ask(&packet, Via::Udp).await {
                        let _ = socket.send_to(&reply, from).await;
                    }
                    drop(slot);
                });
            }
        }
    }
}

async fn connections(listener: TcpListener, names: Names, outside: Outside) {
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = listener.accept(), if open.len() < CONNECTIONS => accepted,
            Some(_) = open.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => drop(open.spawn(connection(stream, names.clone(), outside.clone()))),
            // Out of descriptors, most likely.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// To its end, or until nothing is asked for a while.
async fn connection(mut stream: TcpStream, names: Names, outside: Outside) {
    while let Ok(Ok(packet)) = tokio::time::timeout(IDLE, forward::read(&mut stream)).await {
        let verdict = answer::judge(&packet, &names.borrow());
        let reply = match verdict {
            Verdict::Reply(reply) => reply,
            Verdict::Drop => return,
            Verdict::Forward => match outside.ask(&packet, Via::Tcp).await {
                Some(reply) => reply,
                None => return,
            },
        };
        if forward::write(&mut stream, &reply).await.is_err() {
            return;
        }
    }
}

impl Outside {
    async fn ask(&self, packet: &[u8], via: Via) -> Option<Vec<u8>> {
        let own = Arc::clone(&self.own.borrow());
        match forward::ask(packet, via, &own).await {
            Some(reply) => Some(reply),
            None => answer::failed(packet),
        }
    }
}
