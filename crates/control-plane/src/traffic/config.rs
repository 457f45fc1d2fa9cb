//! `[traffic]` of the configuration file.

use std::net::IpAddr;

use daemon::config::Invalid;
use ipnet::IpNet;
use serde::Deserialize;

/// What is kept of the traffic, and for how long.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Traffic {
    pub client_addresses: ClientAddresses,
    /// Hours for which there are numbers of each minute.
    pub minutes_kept_h: u8,
    /// Days for which there are numbers of each hour.
    pub hours_kept_days: u16,
    /// Days for which requests are kept.
    pub requests_kept_days: u8,
    /// Requests of one app that are kept: the newest, with room for as many failed ones as others; 0 for none.
    pub requests_per_app: u32,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            client_addresses: ClientAddresses::Network,
            minutes_kept_h: 48,
            hours_kept_days: 90,
            requests_kept_days: 7,
            requests_per_app: 20_000,
        }
    }
}

impl Traffic {
    /// For how many days requests are kept at most; 0 where none are.
    pub fn kept_days(&self) -> u8 {
        if self.requests_per_app == 0 { 0 } else { self.requests_kept_days }
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let within = |field: &str, value: u32, least: u32, most: u32| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(Invalid::new(format!("traffic.{field}"), format!("must be between {least} and {most}")))
        };
        // A day is shown by minutes, and an hour is added up some time after its end.
        within("minutes_kept_h", self.minutes_kept_h.into(), 26, 168)?;
        // A month is shown by hours.
        within("hours_kept_days", self.hours_kept_days.into(), 31, 1000)?;
        within("requests_kept_days", self.requests_kept_days.into(), 1, 90)?;
        within("requests_per_app", self.requests_per_app, 0, 1_000_000)
    }
}

/// How much of a visitor's address is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAddresses {
    /// The /24 or /48 that it is in.
    #[default]
    Network,
    Full,
    None,
}

impl ClientAddresses {
    /// What may be stored of an address.
    pub fn reduce(self, address: IpAddr) -> Option<IpNet> {
        let address = address.to_canonical();
        let length = match (self, address) {
            (Self::None, _) => return None,
            (Self::Full, _) => return Some(address.into()),
            (Self::Network, IpAddr::V4(_)) => 24,
            (Self::Network, IpAddr::V6(_)) => 48,
        };
        IpNet::new(address, length).ok().map(|network| network.trunc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_reduced_as_the_setting_says() {
        let cases = [
            (ClientAddresses::Network, "192.0.2.17", Some("192.0.2.0/24")),
            (ClientAddresses::Network, "::ffff:192.0.2.17", Some("192.0.2.0/24")),
            (ClientAddresses::Network, "2001:db8:1:2::3", Some("2001:db8:1::/48")),
            (ClientAddresses::Full, "192.0.2.17", Some("192.0.2.17/32")),
            (ClientAddresses::None, "192.0.2.17", None),
        ];
        for (setting, address, wanted) in cases {
            let stored = setting.reduce(address.parse().expect("address")).map(|network| network.to_string());
            assert_eq!(stored.as_deref(), wanted, "{setting:?} {address}");
        }
    }

    #[test]
    fn what_the_ranges_need_is_kept_and_every_error_names_its_key() {
        Traffic::default().check().expect("the default");
        let key = |traffic: Traffic| traffic.check().expect_err("refused").key;
        let with = Traffic::default;
        assert_eq!(key(Traffic { minutes_kept_h: 24, ..with() }), "traffic.minutes_kept_h");
        assert_eq!(key(Traffic { hours_kept_days: 7, ..with() }), "traffic.hours_kept_days");
        assert_eq!(key(Traffic { requests_kept_days: 0, ..with() }), "traffic.requests_kept_days");
        assert_eq!(key(Traffic { requests_per_app: 1_000_001, ..with() }), "traffic.requests_per_app");
        Traffic { requests_per_app: 0, ..with() }.check().expect("no requests are kept");
    }
}
