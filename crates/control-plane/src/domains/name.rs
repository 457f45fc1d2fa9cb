//! Which host names apps may have beside their own.

use std::net::Ipv6Addr;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

use crate::http::{Error, Result};

/// Where the proof of a name is looked for: `_wisehosting.<name>`.
const LABEL: &str = "_wisehosting";

/// What no app may have.
#[derive(Debug, Clone, Copy)]
pub struct Reserved<'a> {
    /// The dashboard's host.
    pub dashboard: &'a str,
    /// Suffixes of all zones.
    pub zones: &'a [String],
    /// Whether names that no public DNS has are taken.
    pub private_names: bool,
}

/// A host name as it is stored: ASCII, lower case, no dot at its end, perhaps with `*.` before it.
pub fn normal(text: &str) -> Result<String> {
    let text = text.trim();
    if let Some(hint) = not_alone(text) {
        return Err(invalid("this is more than a host name").hint(hint));
    }
    let (star, rest) = match text.strip_prefix("*.") {
        Some(rest) => ("*.", rest),
        None => ("", text),
    };
    if rest.contains('*') {
        return Err(invalid("a wildcard stands for one whole label, the first")
            .hint("Write `*.` before a name: *.example.com"));
    }
    let rest = rest.strip_suffix('.').unwrap_or(rest);
    let ascii =
        Uts46::new().to_ascii(rest.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::Verify);
    let ascii = ascii.map_err(|_| {
        invalid("this is not a host name").hint(
            "Use letters, digits and hyphens between dots, at most 63 to a part; no underscore, and no hyphen at its ends",
        )
    })?;
    check_labels(&ascii)?;
    Ok(format!("{star}{ascii}"))
}

fn not_alone(text: &str) -> Option<String> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#', ':']).next().unwrap_or_default();
    let is_address = text.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok();
    (host.len() < text.len() && !is_address).then(|| format!("Give the host name alone: {host}"))
}

fn check_labels(ascii: &str) -> Result<()> {
    let Some((_, last)) = ascii.rsplit_once('.') else {
        return Err(invalid("a host name has a dot").hint("Write it whole: www.example.com"));
    };
    if last.bytes().all(|byte| byte.is_ascii_digit()) || is_hexadecimal(last) {
        return Err(invalid("this is an IP address").hint("Certificates and routes go by host name"));
    }
    // The name of its proof has to fit as well.
    if ascii.len() + LABEL.len() + 1 > 253 {
        return Err(invalid("this host name is too long").hint("At most 240 characters"));
    }
    Ok(())
}

/// Browsers take `0x7f` at the end for a part of an IPv4 address.
fn is_hexadecimal(label: &str) -> bool {
    label.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Refuses names that cannot be, or must not be, an app's.
pub fn check(hostname: &str, reserved: Reserved<'_>) -> Result<()> {
    let base = base(hostname);
    let (dashboard, wildcard) = (reserved.dashboard, base != hostname);
    if is_in(base, dashboard) || wildcard && covers(base, dashboard) {
        return Err(invalid(format!("{hostname} takes in the dashboard's host name {dashboard}"))
            .hint("Passwords are typed there, so that no app may have it, or a name below it"));
    }
    if let Some(zone) = reserved.zones.iter().find(|zone| is_in(base, zone)) {
        return Err(invalid(format!("{hostname} is in the zone {zone} of this installation"))
            .hint("Every app has its own name there by itself"));
    }
    if let Some(why) = special(base, reserved.private_names) {
        return Err(invalid(format!("{hostname} cannot be had: {why}")).hint(
            "Use a name that is registered in the public DNS; `dns.private_names` of the configuration opens those of private networks",
        ));
    }
    if is_public_suffix(base) {
        return Err(invalid(format!("{base} is a suffix under which others register names"))
            .hint(format!("Add a name below it: www.example.{base}")));
    }
    Ok(())
}

/// The name without its `*.`.
pub fn base(hostname: &str) -> &str {
    hostname.strip_prefix("*.").unwrap_or(hostname)
}

/// Name of the record that proves it.
pub fn proof(hostname: &str) -> String {
    format!("{LABEL}.{}", base(hostname))
}

/// Whether it is a name as it is registered, which cannot be a CNAME.
pub fn is_apex(hostname: &str) -> bool {
    hostname == base(hostname) && psl::domain_str(hostname) == Some(hostname)
}

/// As people write it, where that differs.
pub fn unicode(hostname: &str) -> Option<String> {
    let (shown, valid) = idna::domain_to_unicode(base(hostname));
    let shown = if base(hostname) == hostname { shown } else { format!("*.{shown}") };
    (valid.is_ok() && shown != hostname).then_some(shown)
}

fn is_in(name: &str, zone: &str) -> bool {
    name == zone || name.strip_suffix(zone).is_some_and(|before| before.ends_with('.'))
}

/// Whether `*.base` stands for `host`.
fn covers(base: &str, host: &str) -> bool {
    host.split_once('.').is_some_and(|(_, rest)| rest == base)
}

/// Why nobody can have a name below this top-level domain: RFC 6761, 6762, 7686, 8375, 9476 and ICANN's `internal`.
fn special(base: &str, private: bool) -> Option<&'static str> {
    let last = base.rsplit('.').next().unwrap_or(base);
    match last {
        "localhost" => Some("it is every computer's own"),
        "invalid" => Some("names below .invalid are never there"),
        "onion" | "alt" => Some("it is not of the DNS"),
        "arpa" if !(private && is_in(base, "home.arpa")) => Some("names below .arpa are infrastructure"),
        "test" | "example" | "local" | "internal" if !private => {
            Some("names below this top-level domain are never in the public DNS")
        }
        _ => None,
    }
}

/// Those of registries alone. One of a company (github.io) is the company's, which can prove it.
fn is_public_suffix(base: &str) -> bool {
    psl::suffix(base.as_bytes())
        .is_some_and(|suffix| suffix.as_bytes() == base.as_bytes() && suffix.typ() == Some(psl::Type::Icann))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::invalid("hostname", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(result: Result<impl std::fmt::Debug>, text: &str) -> String {
        format!("{:?}", result.expect_err(text))
    }

    #[test]
    fn a_host_name_has_one_form() {
        for (text, stored) in [
            ("www.example.com", "www.example.com"),
            (" WWW.Example.COM. ", "www.example.com"),
            ("*.example.com", "*.example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("*.bücher.example", "*.xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
            ("straße.example", "xn--strae-oqa.example"),
            ("a-b.1.example.com", "a-b.1.example.com"),
        ] {
            assert_eq!(normal(text).expect(text), stored);
        }
    }

    #[test]
    fn what_is_no_host_name_is_refused_with_the_field() {
        let long = format!("{}.example.com", "a".repeat(64));
        let deep = format!("{}example.com", "abcdefghi.".repeat(23));
        for text in [
            "",
            ".",
            "example",
            "a..example.com",
            ".example.com",
            "example.com..",
            "-a.example.com",
            "a-.example.com",
            "ab--c.example.com",
            "xn--a.example.com",
            "_dmarc.example.com",
            "a b.example.com",
            "a\u{0}.example.com",
            "10.0.0.1",
            "[::1]",
            "::1",
            "0.0x7f",
            "*.*.example.com",
            "www.*.com",
            "w*.example.com",
            "*",
            "*.com*",
            "a\u{202e}b.example.com",
            &long,
            &deep,
        ] {
            assert!(refused(normal(text), text).contains("hostname"), "{text}");
        }
        for text in ["https://www.example.com/x", "www.example.com:443", "www.example.com/"] {
            assert!(refused(normal(text), text).contains("alone: www.example.com"), "{text}");
        }
    }

    fn checked(hostname: &str, private_names: bool) -> Result<()> {
        let zones = ["route.example.com".to_owned(), "de.example.com".to_owned()];
        check(hostname, Reserved { dashboard: "cp.example.com", zones: &zones, private_names })
    }

    #[test]
    fn names_of_the_installation_are_its_own() {
        for (hostname, words) in [
            ("cp.example.com", "dashboard"),
            ("a.cp.example.com", "dashboard"),
            ("*.cp.example.com", "dashboard"),
            ("*.example.com", "dashboard"),
            ("route.example.com", "zone route.example.com"),
            ("shop.route.example.com", "zone route.example.com"),
            ("*.route.example.com", "zone route.example.com"),
            ("a.b.de.example.com", "zone de.example.com"),
        ] {
            let error = refused(checked(hostname, false), hostname);
            assert!(error.contains(words), "{error}");
        }
        for hostname in ["example.com", "www.example.com", "ccp.example.com", "xroute.example.com"] {
            checked(hostname, false).expect(hostname);
        }
    }

    #[test]
    fn suffixes_and_special_names_are_nobodys() {
        for hostname in ["com.br", "co.uk", "*.co.uk"] {
            let error = refused(checked(hostname, false), hostname);
            assert!(error.contains("suffix"), "{error}");
        }
        for hostname in ["github.io", "shop.github.io", "example.co.uk", "*.example.co.uk"] {
            checked(hostname, false).expect(hostname);
        }
        for hostname in ["a.localhost", "a.invalid", "a.onion", "a.alt", "1.in-addr.arpa"] {
            checked(hostname, true).expect_err(hostname);
        }
        for hostname in ["a.test", "a.internal", "a.local", "a.example", "a.home.arpa"] {
            checked(hostname, false).expect_err(hostname);
            checked(hostname, true).expect(hostname);
        }
    }

    #[test]
    fn the_proof_of_a_wildcard_is_at_its_parent() {
        assert_eq!(proof("www.example.com"), "_wisehosting.www.example.com");
        assert_eq!(proof("*.example.com"), "_wisehosting.example.com");
    }

    #[test]
    fn a_registered_name_is_an_apex() {
        for hostname in ["example.com", "example.co.uk", "shop.github.io"] {
            assert!(is_apex(hostname), "{hostname}");
        }
        for hostname in ["www.example.com", "*.example.com", "a.example.co.uk"] {
            assert!(!is_apex(hostname), "{hostname}");
        }
    }

    #[test]
    fn people_see_their_own_letters() {
        assert_eq!(unicode("*.xn--bcher-kva.example").as_deref(), Some("*.bücher.example"));
        assert_eq!(unicode("www.example.com"), None);
    }
}
