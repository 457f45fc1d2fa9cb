//! Which ports streams may have.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::Deserialize;

use crate::config::Config;
use crate::http::{Error, Result};
use crate::nodes::ports::{PROXY, WORKER};
use crate::plan::placement::HOST_PORTS;

/// Ports and ranges, as the configuration says them: `30000-30999, 5432`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Ports(Vec<RangeInclusive<u16>>);

impl Default for Ports {
    /// Below what Linux takes for outgoing connections, and beside what instances are published on.
    fn default() -> Self {
        Self(vec![30000..=30999])
    }
}

impl TryFrom<String> for Ports {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
            let range = port(first).zip(port(last)).filter(|(first, last)| first <= last);
            range.map(|(first, last)| first..=last).ok_or_else(|| {
                format!(
                    "stream_ports: `{part}` is no port and no range; write for example \"30000-30999, 5432\""
                )
            })
        };
        parts.map(range).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, range) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{comma}{first}")?,
                (first, last) => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl Ports {
    fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.contains(&port))
    }

    /// One that the platform needs for itself, and what for.
    pub fn reserved(&self, config: &Config) -> Option<(u16, &'static str)> {
        self.0.iter().cloned().flatten().find_map(|port| Some((port, use_of(port, config)?)))
    }

    /// Whether somebody may ask for `port`.
    pub fn check(&self, port: u16, config: &Config) -> Result<()> {
        if self.contains(port) {
            return Ok(());
        }
        let why = match use_of(port, config) {
            Some(what) => format!("port {port} is {what}"),
            None => format!("port {port} is none of those for streams"),
        };
        let hint = match self.0.as_slice() {
            [] => "This platform has no ports for streams: `stream_ports` in the control plane's configuration names them".to_owned(),
            _ => format!("Take one of {self}, or leave it out and get a free one. `stream_ports` in the control plane's configuration names them"),
        };
        Err(Error::invalid("port", why).hint(hint))
    }

    /// A port for who asks for none in particular: the first that is free in a range. Ports that are named alone, such
    /// as 5432, are for those who ask for them.
    pub fn free(&self, taken: &BTreeSet<u16>) -> Result<u16> {
        let ranges = self.0.iter().filter(|range| range.start() < range.end());
        ranges.cloned().flatten().find(|port| !taken.contains(port)).ok_or_else(|| {
            Error::invalid("port", "no port is free").hint(
                "Remove a stream that is not used any more, or have more ports in `stream_ports` of the control plane's configuration",
            )
        })
    }
}

/// What the platform has a port for, on one host or another.
fn use_of(port: u16, config: &Config) -> Option<&'static str> {
    let api = &config.api_server;
    let listens = [Some(api.listen), api.local_listen, api.front_listen, Some(api.mesh_listen)];
    match port {
        22 => Some("for SSH to the hosts"),
        80 | 443 => Some("the proxies' own, for HTTP and HTTPS"),
        _ if port == config.mesh.endpoint.port() || port == 51821 => Some("the mesh's"),
        _ if listens.iter().flatten().any(|listen| listen.port() == port) => Some("the control plane's"),
        8080 | 8081 => Some("for the control plane or a worker's zones"),
        8078 | 8079 => Some("between a proxy and Traefik"),
        WORKER | PROXY => Some("for the workers' and proxies' health"),
        _ if HOST_PORTS.contains(&i32::from(port)) => Some("among those that instances are published on"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &str) -> Ports {
        text.parse().expect("ports")
    }

    #[test]
    fn ports_and_ranges_are_read_and_shown() {
        assert_eq!(ports(" 30000 - 30999,5432 ").to_string(), "30000-30999, 5432");
        assert_eq!(ports("").to_string(), "");
        for wrong in ["0", "30999-30000", "70000", "a", "1-2-3", "-5", "0-9"] {
            let error = wrong.parse::<Ports>().expect_err(wrong);
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn the_platforms_own_ports_are_no_streams() {
        let config = Config::example();
        assert_eq!(Ports::default().reserved(&config), None);
        for (text, port) in [
            ("22", 22),
            ("1-1000", 22),
            ("51821", 51821),
            ("8081", 8081),
            ("29000-30000", 29000),
            ("443", 443),
        ] {
            assert_eq!(ports(text).reserved(&config).map(|(port, _)| port), Some(port), "{text}");
        }
        let error = format!("{:?}", Ports::default().check(443, &config).expect_err("HTTPS"));
        assert!(error.contains("HTTPS") && error.contains("30000-30999"), "{error}");
        assert!(Ports::default().check(5432, &config).is_err() && ports("5432").check(5432, &config).is_ok());
    }

    #[test]
    fn a_free_port_is_the_first_of_a_range_and_never_one_that_is_named_alone() {
        let ports = ports("5432, 30000-30001");
        let free = |taken: &[u16]| ports.free(&taken.iter().copied().collect()).ok();
        assert_eq!(free(&[]), Some(30000));
        assert_eq!(free(&[30000]), Some(30001));
        assert_eq!(free(&[30000, 30001]), None);
    }
}
