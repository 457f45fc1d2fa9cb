//! Addresses of Cloudflare's proxies in the words of others.

use std::net::IpAddr;

use crate::dns::cloudflare;

/// The first of Cloudflare's addresses in a text, such as the words of a CA.
pub(super) fn address_in(text: &str) -> Option<IpAddr> {
    text.split(|letter: char| !letter.is_ascii_hexdigit() && letter != '.' && letter != ':')
        .filter_map(|word| word.trim_end_matches([':', '.']).parse::<IpAddr>().ok())
        .find(|address| cloudflare::has(*address))
}

#[cfg(test)]
mod tests {
    use super::*;

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
