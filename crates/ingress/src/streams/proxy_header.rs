//! The header of the PROXY protocol, version 2, with which an app is told who connects.

use std::net::{IpAddr, SocketAddr};

use crate::proxy_protocol::SIGNATURE;

/// Version 2, command PROXY.
const PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// What goes before the bytes of `client`, who connected to `to`.
pub(super) fn header(client: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let (from_ip, to_ip) = (client.ip().to_canonical(), to.ip().to_canonical());
    let addresses = match (from_ip, to_ip) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.extend([PROXY, TCP4, 0, 12]);
            [from.octets(), to.octets()].concat()
        }
        (from, to) => {
            header.extend([PROXY, TCP6, 0, 36]);
            [v6(from), v6(to)].concat()
        }
    };
    header.extend(addresses);
    header.extend(client.port().to_be_bytes());
    header.extend(to.port().to_be_bytes());
    header
}

fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy_protocol::{Sender, parse};

    #[test]
    fn a_reader_of_the_protocol_finds_the_client() {
        for (client, to, shown) in [
            ("192.0.2.7:4000", "203.0.113.1:5432", "192.0.2.7"),
            ("[2001:db8::7]:4000", "[2001:db8::1]:5432", "2001:db8::7"),
            ("[::ffff:192.0.2.7]:4000", "[::ffff:203.0.113.1]:5432", "192.0.2.7"),
            ("[2001:db8::7]:0", "203.0.113.1:5432", "2001:db8::7"),
        ] {
            let address = |text: &str| text.parse::<SocketAddr>().expect("address");
            let mut bytes = header(address(client), address(to));
            let length = bytes.len();
            bytes.extend(b"SELECT 1");
            let expected = Sender::Client { address: shown.parse().expect("address"), tls: false };
            assert_eq!(parse(&bytes), Ok((expected, length)), "{client}");
            assert_eq!(bytes[length - 2..length], 5432_u16.to_be_bytes());
        }
    }
}
