//! Who is let in by address: allow lists, and those who still reach an app under maintenance.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Response;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::body::ResponseBody;
use crate::pages::{Extra, Page};

/// A set of networks, searched in logarithmic time whatever their number.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    v4: Vec<Ipv4Net>,
    v6: Vec<Ipv6Net>,
}

impl Networks {
    pub(crate) fn new(networks: &[IpNet]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network {
                IpNet::V4(network) => v4.push(*network),
                IpNet::V6(network) => v6.push(*network),
            }
        }
        // Aggregated networks are in order and do not overlap.
        Self { v4: Ipv4Net::aggregate(&v4), v6: Ipv6Net::aggregate(&v6) }
    }

    /// Whether `address`, which is canonical (no IPv4 in IPv6), is in one of them.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.has_v4(address),
            IpAddr::V6(address) => self.has_v6(address),
        }
    }

    fn has_v4(&self, address: Ipv4Addr) -> bool {
        let after = self.v4.partition_point(|network| network.network() <= address);
        after > 0 && self.v4[after - 1].contains(&address)
    }

    fn has_v6(&self, address: Ipv6Addr) -> bool {
        let after = self.v6.partition_point(|network| network.network() <= address);
        after > 0 && self.v6[after - 1].contains(&address)
    }
}

/// An app that is closed for a while.
#[derive(Debug)]
pub(crate) struct Maintenance {
    message: Option<Box<str>>,
    retry_after_s: Option<u64>,
    allow: Networks,
}

impl Maintenance {
    pub(crate) fn new(maintenance: &protocol::spec::options::Maintenance) -> Self {
        let message = maintenance.message.trim();
        Self {
            message: (!message.is_empty()).then(|| message.into()),
            retry_after_s: maintenance.retry_after_s.map(u64::from),
            allow: Networks::new(&maintenance.allow),
        }
    }

    /// The page for a client at `address`; `None` for those who still get in.
    pub(crate) fn page(&self, address: IpAddr, json: bool) -> Option<Response<ResponseBody>> {
        let extra = Extra { text: self.message.as_deref(), retry_after_s: self.retry_after_s };
        (!self.allow.contains(address)).then(|| Page::Maintenance.respond_with(json, &extra))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        Networks::new(&texts.iter().map(|text| text.parse().expect("network")).collect::<Vec<IpNet>>())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("address")
    }

    #[test]
    fn an_address_is_found_in_networks_that_overlap_touch_or_stand_alone() {
        let set = networks(&["10.1.0.0/16", "10.0.0.7/8", "192.0.2.4/32", "2001:db8::/32", "192.0.2.6/31"]);
        for inside in ["10.0.0.0", "10.1.2.3", "10.255.255.255", "192.0.2.4", "192.0.2.7", "2001:db8:ffff::1"]
        {
            assert!(set.contains(address(inside)), "{inside}");
        }
        for outside in ["9.255.255.255", "11.0.0.0", "192.0.2.5", "192.0.2.8", "2001:db9::", "::1"] {
            assert!(!set.contains(address(outside)), "{outside}");
        }
        assert!(networks(&["0.0.0.0/0"]).contains(address("255.255.255.255")));
        assert!(!networks(&["::/0"]).contains(address("192.0.2.1")), "IPv4 is not part of IPv6");
        assert!(!Networks::default().contains(address("192.0.2.1")));
    }

    #[test]
    fn maintenance_lets_its_networks_through() {
        let maintenance = Maintenance::new(&protocol::spec::options::Maintenance {
            message: " \n".to_owned(),
            retry_after_s: Some(90),
            allow: vec!["192.0.2.0/24".parse().expect("network")],
        });
        assert!(maintenance.page(address("192.0.2.9"), false).is_none());
        let page = maintenance.page(address("198.51.100.1"), false).expect("a page");
        assert_eq!(
            (page.status().as_u16(), &page.headers()["retry-after"]),
            (503, &"90".parse().expect("value"))
        );
        assert!(maintenance.message.is_none(), "blank says nothing");
    }
}
