//! Ports of the developer's machine that lead into a host, so that a browser needs no route to it.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::host::Host;
use crate::network;

/// Connections at a time through one port; more wait until one ends.
const MOST: usize = 256;

/// One forwarded port; closed when dropped.
#[derive(Debug)]
pub struct Forward {
    pub port: u16,
    _task: JoinSet<()>,
}

impl Forward {
    /// Accepts on `127.0.0.1:port` (0: any free port) and connects to `target` from inside `host`.
    pub async fn open(port: u16, host: Host, target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .with_context(|| format!("cannot listen on 127.0.0.1:{port}"))?;
        let port = listener.local_addr()?.port();
        let mut task = JoinSet::new();
        task.spawn(accept(listener, host, target));
        Ok(Self { port, _task: task })
    }
}

async fn accept(listener: TcpListener, host: Host, target: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MOST => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(pass(stream, host.clone(), target));
                }
                // Out of files, most likely: let some connections end.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A host that is off looks like a closed port: the connection ends.
async fn pass(mut client: TcpStream, host: Host, target: SocketAddr) {
    let Ok(init) = host.init() else { return };
    if let Ok(mut server) = network::connect(init, target).await {
        // Either side may hang up at any time.
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}
