//! The cables: a bridge that plays the public internet, and one card per host on it.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::ProcessId;
use crate::tools::path;

/// TEST-NET-2 (RFC 5737): addresses that no real machine has.
pub const INET_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const PREFIX: u8 = 24;

/// Commands of the host that holds the bridge.
pub(crate) fn bridge_setup(address: Ipv4Addr) -> Vec<Vec<String>> {
    let address = format!("{address}/{PREFIX}");
    words(&[
        "ip link set lo up",
        "ip link add br0 type bridge",
        "ip link set br0 up",
        &format!("ip address add {address} dev br0"),
    ])
}

/// Commands of every other host; its card is there already.
pub(crate) fn host_setup(address: Ipv4Addr) -> Vec<Vec<String>> {
    words(&[
        "ip link set lo up",
        &format!("ip address add {address}/{PREFIX} dev eth0"),
        "ip link set eth0 up",
        &format!("ip route add default via {INET_ADDRESS}"),
    ])
}

fn words(commands: &[&str]) -> Vec<Vec<String>> {
    commands.iter().map(|command| command.split(' ').map(str::to_owned).collect()).collect()
}

/// The other end of a host's cable, on the bridge.
fn port(host: &str) -> String {
    format!("v-{host}")
}

/// Gives the host with process 1 `init` a card `eth0`, plugged into the bridge.
pub(crate) fn plug(host: &str, init: ProcessId, inet: ProcessId) -> Result<()> {
    let (init, bridge, port) = (init.pid.to_string(), inet.pid.to_string(), port(host));
    let pair =
        ["link", "add", "eth0", "netns", &init, "type", "veth", "peer", "name", &port, "netns", &bridge];
    // The kernel takes its time to remove the cable of a host that lost its power. Fails when there is none.
    let _ = in_network(inet, &["ip", "link", "delete", &port]);
    run(Command::new("ip").args(pair))?;
    in_network(inet, &["ip", "link", "set", &port, "master", "br0", "up"])
}

/// Pulls the host's cable, or puts it back.
pub(crate) fn set_cable(host: &str, inet: ProcessId, connected: bool) -> Result<()> {
    in_network(inet, &["ip", "link", "set", &port(host), if connected { "up" } else { "down" }])
}

/// Cuts the way between two hosts, or opens it again; each goes on to reach all others.
pub(crate) fn set_way(a: &str, b: &str, inet: ProcessId, open: bool) -> Result<()> {
    let (a, b) = if a < b { (a, b) } else { (b, a) };
    let table = format!("cut_{a}_{b}");
    let drop = |from: &str, to: &str| {
        let (from, to) = (port(from), port(to));
        format!("add rule bridge {table} forward iifname {from} oifname {to} drop\n")
    };
    let rules = if open {
        format!("delete table bridge {table}")
    } else {
        let chain = "{ type filter hook forward priority 0; }";
        let table = format!("add table bridge {table}\nadd chain bridge {table} forward {chain}\n");
        table + &drop(a, b) + &drop(b, a)
    };
    in_network(inet, &["nft", &rules])
}

/// Runs a command in the network of the host with process 1 `init`.
fn in_network(init: ProcessId, words: &[&str]) -> Result<()> {
    run(Command::new("nsenter").args(["-t", &init.pid.to_string(), "-n", "--"]).args(words))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.env("PATH", path()).output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// The namespace of a host's network, as a file that keeps it alive.
pub(crate) fn namespace(init: ProcessId) -> Result<std::fs::File> {
    std::fs::File::open(format!("/proc/{}/ns/net", init.pid))
        .context("cannot open the host's network namespace")
}

/// Connects from inside a host.
pub async fn connect(init: ProcessId, address: SocketAddr) -> Result<tokio::net::TcpStream> {
    let connect = move || {
        let stream = std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_secs(5))?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    let stream = inside(init, connect).await?.with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(tokio::net::TcpStream::from_std(stream)?)
}

/// Listens inside a host.
pub async fn listen(init: ProcessId, address: SocketAddr) -> Result<tokio::net::TcpListener> {
    let listen = move || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    let listener = inside(init, listen).await?.with_context(|| format!("cannot listen on {address}"))?;
    Ok(tokio::net::TcpListener::from_std(listener)?)
}

/// Makes a socket inside a host. It stays in the network it was made in, so a thread enters the network, makes the
/// socket and ends; the caller's threads never leave theirs.
async fn inside<T: Send + 'static>(
    init: ProcessId,
    make: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<std::io::Result<T>> {
    let namespace = namespace(init)?;
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let made = nix::sched::setns(&namespace, nix::sched::CloneFlags::CLONE_NEWNET)
            .map_err(std::io::Error::from)
            .and_then(|()| make());
        // The receiver is gone when its caller gave up; then nobody wants the socket.
        let _ = send.send(made);
    });
    receive.await.context("the thread that makes the socket ended")
}
