//! Addresses of Cloudflare's proxies, which answer for a name whose record is behind the orange cloud. From
//! <https://www.cloudflare.com/ips/>; the lists change once in years, and a range that is missing costs a hint.

use std::net::IpAddr;
use std::sync::LazyLock;

use ipnet::IpNet;

const RANGES: [&str; 22] = [
    "173.245.48.0/20",
    "103.21.244.0/22",
    "103.22.200.0/22",
    "103.31.4.0/22",
    "141.101.64.0/18",
    "108.162.192.0/18",
    "190.93.240.0/20",
    "188.114.96.0/20",
    "197.234.240.0/22",
    "198.41.128.0/17",
    "162.158.0.0/15",
    "104.16.0.0/13",
    "104.24.0.0/14",
    "172.64.0.0/13",
    "131.0.72.0/22",
    "2400:cb00::/32",
    "2606:4700::/32",
    "2803:f800::/32",
    "2405:b500::/32",
    "2405:8100::/32",
    "2a06:98c0::/29",
    "2c0f:f248::/32",
];

static NETWORKS: LazyLock<Vec<IpNet>> =
    LazyLock::new(|| RANGES.iter().filter_map(|range| range.parse().ok()).collect());

/// Whether `address` is one of them.
pub fn has(address: IpAddr) -> bool {
    NETWORKS.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_is_one() {
        assert_eq!(NETWORKS.len(), RANGES.len());
        assert!(has([104, 16, 1, 1].into()) && !has([203, 0, 113, 7].into()));
    }
}
