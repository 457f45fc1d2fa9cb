//! Addresses of Cloudflare's proxies, which answer for a name whose record is behind the orange cloud. From
//! <https://www.cloudflare.com/ips/>; the lists change once in years, and a range that is missing costs a hint.

use std::net::IpAddr;

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

/// The first of Cloudflare's addresses in a text, such as the words of a CA.
pub(super) fn address_in(text: &str) -> Option<IpAddr> {
    let ranges: Vec<IpNet> = RANGES.iter().filter_map(|range| range.parse().ok()).collect();
    text.split(|letter: char| !letter.is_ascii_hexdigit() && letter != '.' && letter != ':')
        .filter_map(|word| word.trim_end_matches([':', '.']).parse::<IpAddr>().ok())
        .find(|address| ranges.iter().any(|range| range.contains(address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_is_one() {
        for range in RANGES {
            range.parse::<IpNet>().expect(range);
        }
    }

    #[test]
    fn an_address_is_found_in_the_words_of_a_ca() {
        for (text, address) in [
            ("104.21.3.4: Invalid response from http://a.test/.well-known/x: 526", Some("104.21.3.4")),
            (
                "During secondary validation: 2606:4700:3030::6815:304: Timeout",
                Some("2606:4700:3030::6815:304"),
            ),
            ("[2606:4700::1]:80 refused.", Some("2606:4700::1")),
            ("203.0.113.7: Fetching http://a.test/: Connection refused", None),
            ("no address at all: dead:beef", None),
        ] {
            assert_eq!(address_in(text), address.map(|text| text.parse().expect("address")), "{text}");
        }
    }
}
