//! The PROXY protocol (versions 1 and 2, haproxy.org/download/3.2/doc/proxy-protocol.txt): a load balancer in front
//! tells whose connection it passes on. Read from trusted senders alone; who could send it freely could claim any
//! address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

pub(crate) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1.
const MAX_LINE: usize = 107;
/// Longest rest of version 2 that is read: addresses and the extensions that balancers send.
const MAX_REST: usize = 4096;
const TLV_SSL: u8 = 0x20;
const CLIENT_SSL: u8 = 0x01;

/// Who opened the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The balancer itself, to see whether we are alive; or it does not know.
    Balancer,
    Client {
        address: IpAddr,
        /// The balancer says that its client came by TLS.
        tls: bool,
    },
}

/// Not a header of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a PROXY protocol header: {0}")]
pub struct Malformed(&'static str);

/// Reads the header off the start of `stream`, and not a byte more.
pub(crate) async fn read(stream: &mut TcpStream) -> io::Result<Sender> {
    let invalid = |error: Malformed| io::Error::new(io::ErrorKind::InvalidData, error);
    // No header of either version is shorter.
    let mut header = vec![0; SIGNATURE.len()];
    stream.read_exact(&mut header).await?;
    if header == SIGNATURE {
        header.resize(16, 0);
        stream.read_exact(&mut header[12..]).await?;
        let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
        if rest > MAX_REST {
            return Err(invalid(Malformed("too long")));
        }
        header.resize(16 + rest, 0);
        stream.read_exact(&mut header[16..]).await?;
    } else {
        while !header.ends_with(b"\n") {
            if !header.starts_with(b"PROXY ") || header.len() >= MAX_LINE {
                return Err(invalid(Malformed("no line that begins with `PROXY `")));
            }
            let mut ahead = [0; MAX_LINE];
            let seen = stream.peek(&mut ahead[..MAX_LINE - header.len()]).await?;
            let ours = ahead[..seen].iter().position(|byte| *byte == b'\n').map_or(seen, |end| end + 1);
            let read = stream.read(&mut ahead[..ours]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            header.extend_from_slice(&ahead[..read]);
        }
    }
    parse(&header).map(|(sender, _)| sender).map_err(invalid)
}

/// The header that `bytes` begin with, and its length.
pub fn parse(bytes: &[u8]) -> Result<(Sender, usize), Malformed> {
    if let Some(rest) = bytes.strip_prefix(&SIGNATURE) {
        return version_2(rest).map(|(sender, length)| (sender, SIGNATURE.len() + length));
    }
    let line =
        bytes.iter().take(MAX_LINE).position(|byte| *byte == b'\n').ok_or(Malformed("no end of line"))?;
    let text = bytes[..line].strip_suffix(b"\r").ok_or(Malformed("the line does not end in CR LF"))?;
    let text = std::str::from_utf8(text).map_err(|_| Malformed("not text"))?;
    Ok((version_1(text)?, line + 1))
}

fn version_1(line: &str) -> Result<Sender, Malformed> {
    let mut words = line.split(' ');
    if words.next() != Some("PROXY") {
        return Err(Malformed("does not begin with `PROXY `"));
    }
    let family = words.next().ok_or(Malformed("names no protocol"))?;
    let addresses = match family {
        "UNKNOWN" => return Ok(Sender::Balancer),
        "TCP4" => [words.next(), words.next()].map(|word| address::<Ipv4Addr>(word?)),
        "TCP6" => [words.next(), words.next()].map(|word| address::<Ipv6Addr>(word?)),
        _ => return Err(Malformed("names a protocol other than TCP")),
    };
    let ports = [words.next(), words.next()].map(|word| port(word?));
    match (addresses, ports, words.next()) {
        ([Some(address), Some(_)], [Some(_), Some(_)], None) => Ok(Sender::Client { address, tls: false }),
        _ => Err(Malformed("has not two addresses and two ports")),
    }
}

fn address<A: FromStr + Into<IpAddr>>(word: &str) -> Option<IpAddr> {
    word.parse::<A>().ok().map(Into::into)
}

fn port(word: &str) -> Option<u16> {
    let canonical = !word.starts_with('+') && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| canonical)
}

/// What follows the signature.
fn version_2(bytes: &[u8]) -> Result<(Sender, usize), Malformed> {
    let Some((&[command, family, high, low], rest)) = bytes.split_first_chunk() else {
        return Err(Malformed("shorter than its fixed part"));
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let rest = rest.get(..length).ok_or(Malformed("shorter than it says"))?;
    let sender = match (command, family) {
        (0x20, _) | (0x21, 0x00 | 0x31) => Sender::Balancer,
        (0x21, 0x11) => {
            let (address, more) = split::<4>(rest)?;
            client(Ipv4Addr::from(address).into(), more, 4 + 4)?
        }
        (0x21, 0x21) => {
            let (address, more) = split::<16>(rest)?;
            client(Ipv6Addr::from(address).into(), more, 16 + 4)?
        }
        (0x21, _) => return Err(Malformed("names a protocol other than TCP")),
        _ => return Err(Malformed("of an unknown version or command")),
    };
    Ok((sender, 4 + length))
}

fn split<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), Malformed> {
    bytes
        .split_first_chunk()
        .map(|(first, rest)| (*first, rest))
        .ok_or(Malformed("too short for its addresses"))
}

/// After the source's address come `others` bytes, the destination's and the ports, and then extensions.
fn client(address: IpAddr, rest: &[u8], others: usize) -> Result<Sender, Malformed> {
    let mut extensions = rest.get(others..).ok_or(Malformed("too short for its addresses"))?;
    let mut tls = false;
    while !extensions.is_empty() {
        let (&[kind, high, low], after) =
            extensions.split_first_chunk().ok_or(Malformed("an extension is cut off"))?;
        let (value, after) = after
            .split_at_checked(usize::from(u16::from_be_bytes([high, low])))
            .ok_or(Malformed("an extension is cut off"))?;
        if kind == TLV_SSL {
            tls = value.first().is_some_and(|flags| flags & CLIENT_SSL != 0);
        }
        extensions = after;
    }
    Ok(Sender::Client { address, tls })
}

#[cfg(test)]
mod tests;
