//! `[dns]` of the configuration file.

use std::net::{IpAddr, SocketAddr};

use daemon::config::Invalid;
use serde::Deserialize;

/// Whom to ask, and for which names.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// Addresses, with a port where it is not 53.
    pub resolvers: Vec<Resolver>,
    /// Whether names that no public DNS can have, such as those below `.internal`, may be domains of apps.
    pub private_names: bool,
}

impl Default for Dns {
    fn default() -> Self {
        let resolvers = [[1, 1, 1, 1], [8, 8, 8, 8], [9, 9, 9, 9]];
        let resolvers = resolvers.map(|address| Resolver(SocketAddr::from((address, 53))));
        Self { resolvers: resolvers.to_vec(), private_names: false }
    }
}

impl Dns {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        if !(1..=8).contains(&self.resolvers.len()) {
            return Err(Invalid::new("dns.resolvers", "must name between 1 and 8 resolvers"));
        }
        Ok(())
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.resolvers.iter().map(|resolver| resolver.0).collect()
    }
}

/// Where a resolver listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Resolver(pub SocketAddr);

impl TryFrom<String> for Resolver {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let plain = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53));
        plain.or_else(|_| text.parse()).map(Self).map_err(|_| {
            format!(
                "`{text}` is no address of a resolver: write 9.9.9.9, 192.0.2.1:5353 or [2620:fe::fe]:5353"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_is_an_address_with_or_without_a_port() {
        for (text, address) in [
            ("9.9.9.9", "9.9.9.9:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("2620:fe::fe", "[2620:fe::fe]:53"),
            ("[2620:fe::fe]:5353", "[2620:fe::fe]:5353"),
        ] {
            assert_eq!(Resolver::try_from(text.to_owned()).expect(text).0.to_string(), address);
        }
        for bad in ["", "dns.example.com", "9.9.9.9:", "9.9.9"] {
            let error = Resolver::try_from(bad.to_owned()).expect_err(bad);
            assert!(error.contains("9.9.9.9"), "{error}");
        }
    }

    #[test]
    fn somebody_has_to_be_asked() {
        Dns::default().check().expect("the default");
        let nobody = Dns { resolvers: Vec::new(), ..Dns::default() };
        assert_eq!(nobody.check().expect_err("nobody").key, "dns.resolvers");
    }
}
