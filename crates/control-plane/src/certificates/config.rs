//! `[acme]` of the configuration.

use std::path::PathBuf;

use daemon::config::Invalid;
use daemon::credentials::{ExposeSecret, SecretString};
use protocol::job::{ChallengeKind, ExternalAccount};
use serde::{Deserialize, Deserializer};
use url::Url;

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// URL of the CA's directory, or `letsencrypt`, or `letsencrypt-staging`.
    #[serde(deserialize_with = "directory")]
    pub directory: Url,
    /// `mailto:` address for the CA's notices.
    pub contact: Option<String>,
    /// PEM, for a CA that the system does not know.
    pub root_certificate: Option<PathBuf>,
    /// Browsers do not trust what is issued: for trying things out, without touching the CA's limits.
    #[serde(default)]
    pub staging: bool,
    /// The challenge that is tried first; `dns-01` where a DNS provider covers the name.
    #[serde(default)]
    pub challenge: ChallengeKind,
    /// External account binding, for CAs that want one. Credential `acme_eab_hmac_key` wins.
    pub eab_key_id: Option<String>,
    pub eab_hmac_key: Option<SecretString>,
    #[serde(default)]
    pub budget: Budget,
}

/// How much is asked of the CA at most. The defaults are a little below the limits of Let's Encrypt
/// (<https://letsencrypt.org/docs/rate-limits/>): 50, 5, 5 and 300.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// New certificates of one registered domain in 7 days.
    pub domain: u32,
    /// New certificates for exactly the same names in 7 days.
    pub same_names: u32,
    /// Failed checks of one name in an hour.
    pub failures: u32,
    /// Orders in 3 hours.
    pub orders: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { domain: 45, same_names: 4, failures: 4, orders: 250 }
    }
}

fn directory<'de, D: Deserializer<'de>>(from: D) -> Result<Url, D::Error> {
    let text = String::deserialize(from)?;
    let url = match text.as_str() {
        "letsencrypt" => LETS_ENCRYPT,
        "letsencrypt-staging" => LETS_ENCRYPT_STAGING,
        other => other,
    };
    url.parse().map_err(|_| {
        serde::de::Error::custom(format!(
            "directory must be letsencrypt, letsencrypt-staging or a URL, not `{text}`"
        ))
    })
}

impl Acme {
    /// The CA at `directory` and nothing else.
    pub fn at(directory: Url) -> Self {
        Self {
            directory,
            contact: None,
            root_certificate: None,
            staging: false,
            challenge: ChallengeKind::default(),
            eab_key_id: None,
            eab_hmac_key: None,
            budget: Budget::default(),
        }
    }

    /// Where certificates are ordered.
    pub fn directory(&self) -> &str {
        match self.directory.as_str() {
            LETS_ENCRYPT if self.staging => LETS_ENCRYPT_STAGING,
            other => other,
        }
    }

    /// Whether browsers do not trust what is issued there.
    pub fn is_staging(&self) -> bool {
        self.staging || self.directory() == LETS_ENCRYPT_STAGING
    }

    pub(crate) fn binding(&self) -> Option<ExternalAccount> {
        let (key_id, hmac_key) = (self.eab_key_id.clone()?, self.eab_hmac_key.as_ref()?);
        Some(ExternalAccount { key_id, hmac_key: hmac_key.expose_secret().to_owned() })
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        if self.contact.as_ref().is_some_and(|contact| !contact.starts_with("mailto:")) {
            return Err(Invalid::new("acme.contact", "must start with mailto:"));
        }
        if self.eab_key_id.is_none() && self.eab_hmac_key.is_some() {
            return Err(Invalid::new("acme.eab_key_id", "is missing: the CA tells it beside the key"));
        }
        let Budget { domain, same_names, failures, orders } = self.budget;
        for (key, value) in
            [("domain", domain), ("same_names", same_names), ("failures", failures), ("orders", orders)]
        {
            if value == 0 {
                return Err(Invalid::new(format!("acme.budget.{key}"), "must be at least 1"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_and_the_switch_lead_to_the_staging_directory() {
        let acme = |text: &str| toml::from_str::<Acme>(text).expect("good");
        let trusted = acme("directory = 'letsencrypt'");
        assert_eq!((trusted.directory(), trusted.is_staging()), (LETS_ENCRYPT, false));
        for staging in ["directory = 'letsencrypt'\nstaging = true", "directory = 'letsencrypt-staging'"] {
            let staging = acme(staging);
            assert_eq!((staging.directory(), staging.is_staging()), (LETS_ENCRYPT_STAGING, true));
        }
        let own = acme("directory = 'https://ca.example.com/dir'\nstaging = true");
        assert_eq!((own.directory(), own.is_staging()), ("https://ca.example.com/dir", true));
    }
}
