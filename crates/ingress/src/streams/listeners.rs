//! Listens on the ports that the table names, and on no others.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use protocol::stream::{MAX_PROBLEMS, StreamProblem, StreamProtocol};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::LEAVE;
use super::table::StreamKey;
use super::tcp::Door;
use super::udp::Sessions;
use crate::bind;
use crate::drain::Drain;
use crate::gateway::Gateway;

/// How soon a port that could not be had is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Serves the gateway's streams at `address` until the drain accepts nothing new.
pub async fn serve(gateway: Arc<Gateway>, address: IpAddr, drain: Drain) {
    let mut listeners = Listeners {
        gateway: Arc::clone(&gateway),
        address,
        drain: drain.clone(),
        open: BTreeMap::new(),
        tasks: JoinSet::new(),
        problems: BTreeMap::new(),
    };
    let _accepting = drain.accepting();
    loop {
        listeners.follow().await;
        tokio::select! {
            () = gateway.desk.changed() => {}
            () = tokio::time::sleep(RETRY), if !listeners.problems.is_empty() => {}
            () = drain.closed() => return,
            Some(_ended) = listeners.tasks.join_next() => {}
        }
    }
}

/// Tells of each of the gateway's streams that it is not served because of `why`, until `stop`.
pub async fn refuse(gateway: Arc<Gateway>, why: &'static str, stop: CancellationToken) {
    loop {
        let problem = |(protocol, port)| StreamProblem { protocol, port, problem: why.to_owned() };
        gateway.desk.say(gateway.stream_keys().into_iter().take(MAX_PROBLEMS).map(problem).collect());
        if stop.run_until_cancelled(gateway.desk.changed()).await.is_none() {
            return;
        }
    }
}

struct Listeners {
    gateway: Arc<Gateway>,
    address: IpAddr,
    drain: Drain,
    open: BTreeMap<StreamKey, Listening>,
    /// One for each port that is open, and for each that closed a moment ago.
    tasks: JoinSet<()>,
    problems: BTreeMap<StreamKey, String>,
}

/// A port that is listened on.
struct Listening {
    stop: CancellationToken,
    /// Ends when the port is free again.
    closed: oneshot::Receiver<()>,
}

impl Listeners {
    /// Closes what the table no longer names, and opens what is missing.
    async fn follow(&mut self) {
        let wanted: BTreeSet<StreamKey> = self.gateway.stream_keys().into_iter().collect();
        let gone: Vec<StreamKey> = self.open.keys().filter(|key| !wanted.contains(key)).copied().collect();
        for key in gone {
            if let Some(listening) = self.open.remove(&key) {
                listening.stop.cancel();
                // It may be wanted again the next moment. An error says that it is free, too.
                let _ = listening.closed.await;
                info!(port = key.1, protocol = %key.0, "stream closed");
            }
        }
        self.problems.retain(|key, _| wanted.contains(key));
        for key in wanted {
            // Whatever ended by itself is opened again.
            if self.open.get_mut(&key).is_some_and(|listening| {
                listening.closed.try_recv() == Err(oneshot::error::TryRecvError::Empty)
            }) {
                continue;
            }
            match self.listen(key) {
                Ok(listening) => {
                    info!(port = key.1, protocol = %key.0, "stream opened");
                    self.open.insert(key, listening);
                    self.problems.remove(&key);
                }
                Err(error) => {
                    let problem = problem(key, &error);
                    if self.problems.insert(key, problem.clone()).as_ref() != Some(&problem) {
                        warn!(port = key.1, protocol = %key.0, problem, "a stream is not served");
                    }
                }
            }
        }
        let problem = |(key, problem): (&StreamKey, &String)| StreamProblem {
            protocol: key.0,
            port: key.1,
            problem: problem.clone(),
        };
        self.gateway.desk.say(self.problems.iter().take(MAX_PROBLEMS).map(problem).collect());
    }

    fn listen(&mut self, key: StreamKey) -> io::Result<Listening> {
        let address = SocketAddr::new(self.address, key.1);
        let (stop, (freed, closed)) = (CancellationToken::new(), oneshot::channel());
        match key.0 {
            StreamProtocol::Tcp => {
                let listener = bind::tcp(address)?;
                self.tasks.spawn(self.tcp(key, listener, stop.clone(), freed));
            }
            StreamProtocol::Udp => {
                let socket = bind::udp(address)?;
                self.tasks.spawn(self.udp(key, socket, stop.clone(), freed));
            }
        }
        Ok(Listening { stop, closed })
    }

    fn tcp(
        &self,
        key: StreamKey,
        listener: TcpListener,
        stop: CancellationToken,
        freed: oneshot::Sender<()>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (door, drain) =
            (Door::new(Arc::clone(&self.gateway), key, self.drain.clone()), self.drain.clone());
        async move {
            tokio::select! {
                () = door.serve(&listener) => {}
                () = drain.closed() => return,
                () = stop.cancelled() => {}
            }
            drop(listener);
            // Whoever waited for it may be gone.
            let _ = freed.send(());
            tokio::time::sleep(LEAVE).await;
            door.cut.cancel();
        }
    }

    fn udp(
        &self,
        key: StreamKey,
        socket: UdpSocket,
        stop: CancellationToken,
        freed: oneshot::Sender<()>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let mut sessions = Sessions::new(Arc::clone(&self.gateway), key, socket);
        let drain = self.drain.clone();
        async move {
            tokio::select! {
                () = sessions.serve() => {}
                () = drain.closed() => {}
                () = stop.cancelled() => {}
            }
            sessions.end().await;
            // Whoever waited for it may be gone.
            let _ = freed.send(());
        }
    }
}

/// Why a port is not listened on, and what to do.
fn problem((protocol, port): StreamKey, error: &io::Error) -> String {
    let list = match protocol {
        StreamProtocol::Tcp => "ss -ltnp",
        StreamProtocol::Udp => "ss -lunp",
    };
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another process of this host has the port: find it with `{list} 'sport = :{port}'` and end it, or take another port for the stream"
        ),
        io::ErrorKind::PermissionDenied => {
            "the proxy may not open ports below 1024: give its unit CAP_NET_BIND_SERVICE (AmbientCapabilities=), or take another port for the stream".to_owned()
        }
        _ => format!("the port cannot be listened on: {error}"),
    }
}
