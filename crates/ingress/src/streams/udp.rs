//! Sessions of a UDP stream: the datagrams of one client go to one instance through a socket of their own, and what comes
//! back on it goes to the client, until nothing moved for a while. What cannot be passed on at once is dropped, as UDP
//! may.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinSet};
use tracing::{debug, warn};

use super::LEAVE;
use super::copy::quiet;
use super::table::{Open, StreamEntry, StreamKey, Tally};
use crate::gateway::Gateway;
use crate::limits::Place;
use crate::server::refused;
use crate::upstream::{Endpoint, InFlight, now_ms};

/// No datagram is longer.
const LONGEST: usize = 65_535;

thread_local! {
    /// Where answers are read to: one for all sessions of a thread.
    static ANSWER: RefCell<Vec<u8>> = RefCell::new(vec![0; LONGEST]);
}

/// All sessions of one port.
pub(super) struct Sessions {
    gateway: Arc<Gateway>,
    key: StreamKey,
    socket: Arc<UdpSocket>,
    open: HashMap<SocketAddr, Session>,
    /// Each returns whose it was, and its number.
    tasks: JoinSet<(SocketAddr, u64)>,
    /// Of the last session.
    number: u64,
}

struct Session {
    number: u64,
    upstream: Arc<UdpSocket>,
    instance: Arc<Endpoint>,
    /// When something moved last, as [`now_ms`].
    last: Arc<AtomicU64>,
    /// Since when its instance is none of the stream's any more.
    left: Option<Instant>,
    tally: Arc<Tally>,
    task: AbortHandle,
}

/// What counts for as long as a session lasts.
struct Held(#[expect(dead_code, reason = "held to be dropped")] (Open, Place, InFlight));

impl Sessions {
    pub(super) fn new(gateway: Arc<Gateway>, key: StreamKey, socket: UdpSocket) -> Self {
        let socket = Arc::new(socket);
        Self { gateway, key, socket, open: HashMap::new(), tasks: JoinSet::new(), number: 0 }
    }

    /// Passes datagrams on until dropped, which ends all sessions.
    pub(super) async fn serve(&mut self) {
        let mut datagram = vec![0; LONGEST];
        let socket = Arc::clone(&self.socket);
        loop {
            tokio::select! {
                received = socket.recv_from(&mut datagram) => match received {
                    Ok((length, client)) => self.take(client, &datagram[..length]).await,
                    Err(error) => {
                        warn!(port = self.key.1, %error, "cannot receive");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(ended) = self.tasks.join_next() => {
                    if let Ok((client, number)) = ended
                        && self.open.get(&client).is_some_and(|session| session.number == number)
                    {
                        self.open.remove(&client);
                    }
                }
            }
        }
    }

    /// Ends all sessions, and frees the port.
    pub(super) async fn end(mut self) {
        self.tasks.shutdown().await;
    }

    async fn take(&mut self, client: SocketAddr, datagram: &[u8]) {
        let Some(entry) = self.gateway.stream(self.key) else { return };
        if !entry.lets_in(client.ip()) {
            return refused("stream_allow");
        }
        if let Some(session) = self.open.get_mut(&client) {
            if session.pass(&entry, datagram) {
                return;
            }
            session.task.abort();
            self.open.remove(&client);
        }
        match self.begin(&entry, client).await {
            Ok(Some(mut session)) => {
                session.pass(&entry, datagram);
                self.open.insert(client, session);
            }
            Ok(None) => {}
            Err(error) => debug!(port = self.key.1, %client, %error, "no session"),
        }
    }

    /// A session, unless the client or the stream has too many.
    async fn begin(&mut self, entry: &StreamEntry, client: SocketAddr) -> io::Result<Option<Session>> {
        let Some(open) = entry.open() else {
            refused("stream_connections");
            return Ok(None);
        };
        let Some(place) = self.gateway.clients.admit(client.ip()) else {
            refused("client_connections");
            return Ok(None);
        };
        let endpoint = entry.upstreams.pick(&[], None).ok_or(io::ErrorKind::ConnectionRefused)?;
        let to = endpoint.address();
        let from: SocketAddr = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let upstream = Arc::new(UdpSocket::bind(from).await?);
        upstream.connect(to).await?;
        self.number += 1;
        let (number, last, tally) = (self.number, Arc::new(AtomicU64::new(now_ms())), Arc::clone(&open.0));
        tally.connected();
        let held = Held((open, place, endpoint.begin()));
        let back = Back {
            socket: Arc::clone(&self.socket),
            client,
            upstream: Arc::clone(&upstream),
            last: Arc::clone(&last),
            idle: entry.idle,
            tally: Arc::clone(&tally),
        };
        let instance = Arc::clone(endpoint);
        let asked = Arc::clone(endpoint);
        let task = self.tasks.spawn(async move {
            if back.run().await.is_err() {
                asked.mark_down();
                back.tally.upstream_failed();
            }
            drop(held);
            (client, number)
        });
        Ok(Some(Session { number, upstream, instance, last, left: None, tally, task }))
    }
}

impl Session {
    /// Whether the session goes on: its instance takes datagrams, and is one of the stream's or was a moment ago.
    fn pass(&mut self, entry: &StreamEntry, datagram: &[u8]) -> bool {
        if entry.leads_to(self.instance.address()) {
            self.left = None;
        } else if self.left.get_or_insert_with(Instant::now).elapsed() > LEAVE {
            return false;
        }
        self.last.store(now_ms(), Ordering::Relaxed);
        match self.upstream.try_send(datagram) {
            Ok(sent) => {
                self.tally.moved(sent as u64, 0);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            Err(_) => {
                self.instance.mark_down();
                self.tally.upstream_failed();
                false
            }
        }
    }
}

/// The way back of a session.
struct Back {
    socket: Arc<UdpSocket>,
    client: SocketAddr,
    upstream: Arc<UdpSocket>,
    last: Arc<AtomicU64>,
    idle: Duration,
    tally: Arc<Tally>,
}

impl Back {
    /// Until nothing moved for the stream's idle time; an error when the instance is not there.
    async fn run(&self) -> io::Result<()> {
        let answers = async {
            loop {
                self.upstream.readable().await?;
                self.answer()?;
            }
        };
        tokio::select! {
            ended = answers => ended,
            () = quiet(&self.last, self.idle) => Ok(()),
        }
    }

    fn answer(&self) -> io::Result<()> {
        ANSWER.with_borrow_mut(|piece| match self.upstream.try_recv(piece) {
            Ok(length) => {
                self.last.store(now_ms(), Ordering::Relaxed);
                if self.socket.try_send_to(&piece[..length], self.client).is_ok() {
                    self.tally.moved(0, length as u64);
                }
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        })
    }
}
