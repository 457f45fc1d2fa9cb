//! Which addresses belong to the world outside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether `address` may be reached on behalf of somebody: not a private, loopback, link-local or reserved one, nor one
/// that carries such an address to a translator. One of IPv4 in the clothes of IPv6 is taken for what it is.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let reserved = first == 0
        || first >= 240
        || (first == 100 && (64..128).contains(&second))
        || (first == 198 && (18..20).contains(&second))
        || (first, second, third) == (192, 0, 0);
    !(reserved
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast())
}

/// Only global unicast, and none of its ranges that carry an IPv4 address to a translator.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let carries_v4 = first == 0x2002 || (first, second) == (0x2001, 0);
    first & 0xe000 == 0x2000 && !carries_v4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_told_apart() {
        for private in [
            "10.0.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_public(private.parse().expect("address")), "{private}");
        }
        for public in ["192.0.2.53", "2001:db8::53", "1.1.1.1", "::ffff:1.1.1.1"] {
            assert!(is_public(public.parse().expect("address")), "{public}");
        }
    }
}
