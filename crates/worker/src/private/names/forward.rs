//! Questions about the world outside: passed on to the host's own resolvers as they are, and so are the answers.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

/// For one resolver to answer.
const LIMIT: Duration = Duration::from_secs(2);
/// The most that are tried, as the C library does.
const TRIED: usize = 3;
const RESOLV_CONF: &str = "/etc/resolv.conf";
const PORT: u16 = 53;

/// How a question came, which is how it is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    Udp,
    Tcp,
}

/// The first answer of the host's resolvers. `own` are addresses that lead back here.
pub(super) async fn ask(packet: &[u8], via: Via, own: &BTreeSet<Ipv4Addr>) -> Option<Vec<u8>> {
    // Looked up each time: hosts change it.
    let text = tokio::fs::read_to_string(RESOLV_CONF).await.unwrap_or_default();
    for server in resolvers(&text, own) {
        let server = SocketAddr::new(server, PORT);
        let asked = async {
            match via {
                Via::Udp => by_udp(packet, server).await,
                Via::Tcp => by_tcp(packet, server).await,
            }
        };
        if let Ok(Ok(answer)) = tokio::time::timeout(LIMIT, asked).await {
            return Some(answer);
        }
    }
    None
}

fn resolvers(text: &str, own: &BTreeSet<Ipv4Addr>) -> Vec<IpAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        if words.next() != Some("nameserver") {
            return None;
        }
        words.next()?.parse::<IpAddr>().ok()
    };
    let is_other = |server: &IpAddr| !matches!(server, IpAddr::V4(address) if own.contains(address));
    text.lines().filter_map(server).filter(is_other).take(TRIED).collect()
}

/// From a port of its own, so that nobody who does not see the question can answer it.
async fn by_udp(packet: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(packet).await?;
    let mut answer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut answer).await?;
        if length >= 12 && answer[..2] == packet[..2] {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

async fn by_tcp(packet: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    write(&mut stream, packet).await?;
    read(&mut stream).await
}

/// One message of a TCP connection.
pub(super) async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

pub(super) async fn write(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_resolvers_are_asked_but_not_this_one() {
        let own = BTreeSet::from([Ipv4Addr::new(10, 89, 1, 1)]);
        let text = "# a comment\nsearch example.com\nnameserver 127.0.0.53\nnameserver 10.89.1.1\n\
                    nameserver fe80::1%eth0\nnameserver 2001:db8::53\noptions edns0\nnameserver 192.0.2.1\n\
                    nameserver 192.0.2.2\n";
        let found: Vec<String> = resolvers(text, &own).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["127.0.0.53", "2001:db8::53", "192.0.2.1"]);
        assert!(resolvers("", &own).is_empty());
    }
}
