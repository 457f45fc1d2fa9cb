//! When the CA wants its certificates renewed (ARI, RFC 9773): a window for each, which it moves when it has to revoke.

use std::time::Duration;

use anyhow::Context;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::RETRY_AFTER;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use x509_parser::extensions::ParsedExtension;
use x509_parser::parse_x509_certificate;
use x509_parser::pem::Pem;

/// How often the CA is asked about one certificate; its own wish counts in between.
const ASK_AFTER: [TimeDelta; 2] = [TimeDelta::minutes(30), TimeDelta::hours(24)];
/// Where the CA does not say, and after a failure.
const USUAL: TimeDelta = TimeDelta::hours(6);

/// The name of a certificate for its CA: key of the issuer, serial number (section 4.1).
pub fn certificate_id(chain_pem: &str) -> Option<String> {
    let pem = Pem::iter_from_buffer(chain_pem.as_bytes()).next()?.ok()?;
    let (_, certificate) = parse_x509_certificate(&pem.contents).ok()?;
    let authority =
        certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(authority) => authority.key_identifier.as_ref(),
            _ => None,
        })?;
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    Some(format!("{}.{}", encode(authority.0), encode(certificate.tbs_certificate.raw_serial())))
}

/// When the CA wants a certificate renewed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Window {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
}

impl Window {
    /// A time in it, the same each time and another one for each host. `None` for one that the RFC calls invalid.
    pub fn pick(&self, host: &str) -> Option<DateTime<Utc>> {
        let length = (self.end - self.start).num_seconds();
        if length <= 0 {
            return None;
        }
        let digest = Sha256::digest(host.as_bytes());
        let share = i64::from(u16::from_be_bytes([digest[2], digest[3]]));
        Some(self.start + TimeDelta::seconds(length / i64::from(u16::MAX) * share))
    }
}

/// What the CA answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub window: Window,
    pub ask_at: DateTime<Utc>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Directory {
    renewal_info: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RenewalInfo {
    suggested_window: Window,
}

/// One CA.
pub struct Ca {
    client: reqwest::Client,
    renewal_info: String,
}

impl Ca {
    /// `None` where the CA does not offer this.
    pub async fn find(directory: &str, root_pem: Option<&str>) -> anyhow::Result<Option<Self>> {
        let options = daemon::http::ClientOptions {
            timeout: Some(Duration::from_secs(10)),
            direct: false,
            root_pem: root_pem.map(|pem| pem.as_bytes().to_vec()),
        };
        let client = daemon::http::client(&options)?;
        let answer = client.get(directory).send().await?.error_for_status()?;
        let found: Directory = answer.json().await.context("the directory is not one of ACME")?;
        Ok(found.renewal_info.map(|renewal_info| Self { client, renewal_info }))
    }

    /// Asks about one certificate.
    pub async fn ask(&self, id: &str, now: DateTime<Utc>) -> anyhow::Result<Answer> {
        let url = format!("{}/{id}", self.renewal_info.trim_end_matches('/'));
        let answer = self.client.get(url).send().await?.error_for_status()?;
        let wish = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let info: RenewalInfo = answer.json().await.context("the renewal information cannot be read")?;
        Ok(Answer { window: info.suggested_window, ask_at: next(now, wish) })
    }
}

/// When the CA is asked next, after it wished for `seconds`.
pub fn next(now: DateTime<Utc>, seconds: Option<u32>) -> DateTime<Utc> {
    let wish = seconds.map_or(USUAL, |seconds| TimeDelta::seconds(seconds.into()));
    now + wish.clamp(ASK_AFTER[0], ASK_AFTER[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("time")
    }

    #[test]
    fn a_certificate_is_named_as_in_the_rfc() {
        // Appendix A of RFC 9773.
        let pem = include_str!("rfc9773.pem");
        assert_eq!(certificate_id(pem).as_deref(), Some("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"));
        assert_eq!(certificate_id("nothing"), None);
    }

    #[test]
    fn the_time_is_in_the_window_and_the_same_for_the_same_host() {
        let window = Window { start: at("2026-03-01T00:00:00Z"), end: at("2026-03-03T00:00:00Z") };
        let times: Vec<_> = ["a.test", "b.test"].map(|host| window.pick(host).expect("valid")).to_vec();
        assert!(times.iter().all(|time| *time >= window.start && *time <= window.end), "{times:?}");
        assert_ne!(times[0], times[1]);
        assert_eq!(window.pick("a.test"), Some(times[0]));
        assert_eq!(Window { start: window.end, end: window.start }.pick("a.test"), None);
    }

    #[test]
    fn the_ca_is_asked_as_often_as_it_wishes_within_reason() {
        let now = at("2026-03-01T00:00:00Z");
        let after = |wish| (next(now, wish) - now).num_minutes();
        assert_eq!(
            (after(None), after(Some(7200)), after(Some(1)), after(Some(u32::MAX))),
            (360, 120, 30, 1440)
        );
    }
}
