//! Certificates: proxies order them by ACME, everything that lasts is kept here, sealed.

pub mod account;
pub mod config;
pub mod cover;
pub mod imports;
pub mod inbox;
pub mod order;
pub mod publish;
pub mod renewal;
pub mod shown;
pub mod store;
pub mod troubles;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::pem::Pem;

/// What the leaf says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    pub issuer: String,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    /// The DNS names that it is for.
    pub names: Vec<String>,
}

/// Reads the first certificate of a chain.
pub fn leaf(chain_pem: &str) -> anyhow::Result<Leaf> {
    let pem = Pem::iter_from_buffer(chain_pem.as_bytes())
        .next()
        .ok_or_else(|| anyhow::anyhow!("the chain holds no certificate"))?
        .map_err(|error| anyhow::anyhow!("the chain is no PEM: {error}"))?;
    let (_, certificate) = parse_x509_certificate(&pem.contents)
        .map_err(|error| anyhow::anyhow!("the chain's first certificate cannot be read: {error}"))?;
    let issuer = certificate.issuer();
    let name =
        issuer.iter_organization().chain(issuer.iter_common_name()).find_map(|name| name.as_str().ok());
    let time = |time: x509_parser::time::ASN1Time| {
        DateTime::from_timestamp(time.timestamp(), 0).ok_or_else(|| anyhow::anyhow!("a date out of range"))
    };
    Ok(Leaf {
        issuer: name.map_or_else(|| issuer.to_string(), ToOwned::to_owned),
        not_before: time(certificate.validity().not_before)?,
        not_after: time(certificate.validity().not_after)?,
        names: names(&certificate),
    })
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(dns).collect()
}

/// When a certificate is renewed: at two thirds of its lifetime, up to a twentieth of it earlier. How much earlier
/// follows from the host, so that many certificates of one day are not renewed in one hour.
pub fn renew_at(host: &str, not_before: DateTime<Utc>, not_after: DateTime<Utc>) -> DateTime<Utc> {
    let lifetime = (not_after - not_before).num_seconds().max(0);
    let digest = Sha256::digest(host.as_bytes());
    let share = i64::from(u16::from_be_bytes([digest[0], digest[1]]));
    let early = lifetime / 20 * share / i64::from(u16::MAX);
    not_before + TimeDelta::seconds(lifetime / 3 * 2 - early)
}

/// How long to wait after so many failures in a row: a minute, doubling to six hours.
pub fn pause_after(failures: i32) -> Duration {
    let doublings = u32::try_from(failures.clamp(1, 10) - 1).unwrap_or(0);
    Duration::from_mins(1 << doublings).min(Duration::from_hours(6))
}

#[cfg(test)]
#[path = "tests.rs"]
pub(crate) mod order_tests;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod renewal_tests;
#[cfg(test)]
mod resolver_tests;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("time")
    }

    #[test]
    fn renewal_is_at_two_thirds_or_a_little_before_and_the_same_each_time() {
        let (from, to) = (at("2026-01-01T00:00:00Z"), at("2026-04-01T00:00:00Z"));
        for host in ["a.test", "b.test", "c.test"] {
            let renew = renew_at(host, from, to);
            assert!(renew <= from + TimeDelta::days(60), "{renew}");
            assert!(renew >= from + TimeDelta::days(55), "{renew}");
            assert_eq!(renew, renew_at(host, from, to));
        }
    }

    #[test]
    fn pauses_double_from_a_minute_to_six_hours() {
        let minutes: Vec<u64> = (1..=11).map(|failures| pause_after(failures).as_secs() / 60).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360]);
    }
}
