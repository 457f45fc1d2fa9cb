//! What a zone may be.

use std::net::{IpAddr, SocketAddr};

use protocol::labels;

use super::Record;
use crate::http::{Error, Result};

/// The suffix as it is stored: lower case, without dots around it.
pub fn checked(text: &str) -> Result<String> {
    let suffix = text.trim().trim_matches('.').to_ascii_lowercase();
    let example = "Use a name below a domain of yours, such as apps.example.com";
    labels::check_zone(&suffix).map_err(|problem| {
        Error::invalid("suffix", format!("a zone {problem}"))
            .hint("Letters of other alphabets are written as DNS has them: xn--…")
    })?;
    if suffix.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(Error::invalid("suffix", "a zone must not be an address").hint(example));
    }
    if psl::suffix_str(&suffix) == Some(suffix.as_str()) {
        let message = format!("under {suffix} everybody may register names");
        return Err(Error::invalid("suffix", message).hint(example));
    }
    Ok(suffix)
}

/// A name as Traefik's static configuration has it; none when there is nothing or `none`.
pub fn resolver(text: &str) -> Result<Option<String>> {
    let name = text.trim();
    if name.is_empty() || name == "none" {
        return Ok(None);
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if name.len() > 63 || !name.bytes().all(is_plain) {
        return Err(Error::invalid("resolver", format!("`{name}` is no name of a certificate resolver"))
            .hint("It is the name below `certificatesResolvers` in Traefik's configuration: letters, digits, - and _"));
    }
    Ok(Some(name.to_owned()))
}

/// Why a direct zone may not be answered. `ingress` is whether the worker's is connected, absent when it never was; a
/// Traefik that reads the worker's routes takes its place.
pub fn warning(worker: Option<&str>, ingress: Option<bool>, polled: bool) -> Option<String> {
    let Some(worker) = worker else {
        return Some("no worker answers for it: name one with `wh zone set SUFFIX --worker NODE`".to_owned());
    };
    match ingress {
        _ if polled => None,
        None => Some(format!(
            "{worker} does not listen for it: set `ingress = \"0.0.0.0:8080\"` in its worker.toml, or let a Traefik read its routes"
        )),
        Some(false) => Some(format!(
            "the ingress of {worker} is not connected, so it serves the last routes it got: `wh node show {worker}`"
        )),
        Some(true) => None,
    }
}

/// A zone inside another would have two answers for the same name.
pub fn check_apart<'a>(suffix: &str, others: impl IntoIterator<Item = &'a str>) -> Result<()> {
    for other in others {
        let message = if other == suffix {
            format!("{suffix} is a zone already")
        } else if is_below(suffix, other) {
            format!("{suffix} lies inside of the zone {other}")
        } else if is_below(other, suffix) {
            format!("the zone {other} lies inside of {suffix}")
        } else {
            continue;
        };
        return Err(Error::invalid("suffix", message).hint("Choose a name beside it"));
    }
    Ok(())
}

fn is_below(name: &str, other: &str) -> bool {
    name.strip_suffix(other).is_some_and(|rest| rest.ends_with('.'))
}

/// One record for each of the hosts that answer, whose public address is that of its tunnel.
pub fn records<'a>(suffix: &str, hosts: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Vec<Record> {
    let record = |(node, endpoint): (&str, Option<&str>)| {
        let address = endpoint?.parse::<SocketAddr>().ok()?.ip();
        let kind = match address {
            IpAddr::V4(_) => "A",
            IpAddr::V6(_) => "AAAA",
        };
        Some(Record {
            name: format!("*.{suffix}"),
            kind: kind.to_owned(),
            value: address.to_string(),
            node: node.to_owned(),
        })
    };
    hosts.into_iter().filter_map(record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_is_a_name_below_a_domain_of_ones_own() {
        for (text, suffix) in [
            ("route.example.com", "route.example.com"),
            (" .De.Example.COM. ", "de.example.com"),
            ("example.com", "example.com"),
            ("apps.lan", "apps.lan"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(checked(text).expect(text), suffix);
        }
        for bad in
            ["", "com", "co.uk", "github.io", "a..b", "*.example.com", "-a.example.com", "10.0.0.1", "a b.c"]
        {
            let error = checked(bad).expect_err(bad);
            assert!(format!("{error:?}").contains("suffix"), "{error:?}");
        }
    }

    #[test]
    fn zones_do_not_lie_in_each_other() {
        let zones = ["route.example.com", "de.example.org"];
        for good in ["us.example.com", "xroute.example.com", "us.example.org"] {
            check_apart(good, zones).expect(good);
        }
        for bad in ["route.example.com", "a.route.example.com", "example.com", "example.org"] {
            let error = check_apart(bad, zones).expect_err(bad);
            assert!(format!("{error:?}").contains("suffix"), "{error:?}");
        }
    }

    #[test]
    fn a_direct_zone_whose_worker_does_not_listen_is_warned_of() {
        let told = |worker, ingress, polled| warning(worker, ingress, polled).unwrap_or_default();
        assert!(told(None, None, false).contains("wh zone set"));
        assert!(told(Some("w1"), None, false).contains("worker.toml"));
        assert!(told(Some("w1"), Some(false), false).contains("not connected"));
        assert_eq!(warning(Some("w1"), Some(true), false), None);
        assert_eq!(warning(Some("w1"), None, true), None, "a Traefik answers");
    }

    #[test]
    fn a_resolver_has_a_plain_name() {
        assert_eq!(resolver(" le-dns_1 ").expect("a name").as_deref(), Some("le-dns_1"));
        for none in ["", " ", "none"] {
            assert_eq!(resolver(none).expect("nothing"), None);
        }
        for bad in ["a b", "a`b", "ä", &"a".repeat(64)] {
            assert!(resolver(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn records_point_at_the_public_addresses_of_the_hosts() {
        let hosts = [
            ("w1", Some("203.0.113.7:51821")),
            ("w2", Some("[2001:db8::7]:51821")),
            ("behind-nat", None),
            ("named", Some("w4.example.com:51821")),
        ];
        let made: Vec<(String, String, String)> = records("de.example.com", hosts)
            .into_iter()
            .map(|record| (record.kind, record.value, record.name))
            .collect();
        let name = "*.de.example.com".to_owned();
        let of = |kind: &str, value: &str| (kind.to_owned(), value.to_owned(), name.clone());
        assert_eq!(made, [of("A", "203.0.113.7"), of("AAAA", "2001:db8::7")]);
    }
}
