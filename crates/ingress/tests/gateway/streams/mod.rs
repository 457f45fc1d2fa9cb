//! Ports that lead to apps: real sockets on loopback.

mod tcp;
mod udp;

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ingress::{Drain, Gateway, Options};
use protocol::spec::{Certificate, ProxySpec};
use protocol::stream::{Stream, StreamOptions, StreamProblem, StreamProtocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use crate::support::upstream;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SOON: Duration = Duration::from_secs(10);

/// A gateway whose streams are listened on.
pub(crate) struct Ports {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) drain: Drain,
    _tasks: JoinSet<()>,
}

impl Ports {
    pub(crate) fn new(streams: &[Stream]) -> Self {
        Self::with(Options::default(), streams, Vec::new())
    }

    pub(crate) fn with(options: Options, streams: &[Stream], certificates: Vec<Arc<Certificate>>) -> Self {
        daemon::crypto::install();
        let gateway = Gateway::new(options);
        let spec = ProxySpec { streams: streams.to_vec(), certificates, ..ProxySpec::default() };
        assert_eq!(gateway.apply(&spec), []);
        let drain = Drain::in_steps();
        let mut tasks = JoinSet::new();
        tasks.spawn(ingress::streams::serve(Arc::clone(&gateway), HERE, drain.clone()));
        Self { gateway, drain, _tasks: tasks }
    }

    pub(crate) fn apply(&self, streams: &[Stream]) {
        let spec = ProxySpec { streams: streams.to_vec(), ..ProxySpec::default() };
        assert_eq!(self.gateway.apply(&spec), []);
    }

    /// Waits until the problems are such.
    pub(crate) async fn problems(&self, such: impl Fn(&[StreamProblem]) -> bool) -> Vec<StreamProblem> {
        let mut told = self.gateway.stream_problems();
        let told = tokio::time::timeout(SOON, told.wait_for(|told| such(told))).await;
        told.expect("in time").expect("the gateway lives").clone()
    }
}

pub(crate) fn at(port: u16) -> SocketAddr {
    SocketAddr::new(HERE, port)
}

pub(crate) fn stream(protocol: StreamProtocol, port: u16, upstreams: &[SocketAddr]) -> Stream {
    Stream {
        protocol,
        port,
        app: "db".to_owned(),
        upstreams: upstreams.iter().copied().map(upstream).collect(),
        options: StreamOptions::default(),
    }
}

/// A port that nobody has, for both protocols.
pub(crate) async fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind(at(0)).await.expect("free port");
        let port = listener.local_addr().expect("address").port();
        if UdpSocket::bind(at(port)).await.is_ok() {
            return port;
        }
    }
}

/// Tries until it works.
pub(crate) async fn eventually<T, F>(mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = io::Result<T>>,
{
    let trying = async {
        loop {
            match attempt().await {
                Ok(done) => return done,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::time::timeout(SOON, trying).await.expect("in time")
}

/// An app that says its name, then all that it was sent once the client has ended, then ends as well.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Echo {
    pub(crate) async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind(at(0)).await.expect("free port");
        let address = listener.local_addr().expect("address");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut sent = Vec::new();
                    stream.write_all(name.as_bytes()).await?;
                    stream.read_to_end(&mut sent).await?;
                    stream.write_all(&sent).await?;
                    stream.shutdown().await
                });
            }
        });
        Self { address, _tasks: tasks }
    }
}

/// The first byte that comes: the name of an [`Echo`].
pub(crate) async fn named(stream: &mut TcpStream) -> io::Result<char> {
    let first = tokio::time::timeout(SOON, stream.read_u8()).await.map_err(io::Error::other)?;
    first.map(char::from)
}

/// A connection to an app, and the name of the app.
pub(crate) async fn connect(port: u16) -> io::Result<(TcpStream, char)> {
    let mut stream = TcpStream::connect(at(port)).await?;
    let name = named(&mut stream).await?;
    Ok((stream, name))
}
