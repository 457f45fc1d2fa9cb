//! An order of a certificate, as a proxy gets it, and the challenges that it asks for.

use serde::{Deserialize, Serialize};

/// One certificate by ACME.
#[derive(Clone, Serialize, Deserialize)]
pub struct CertificateOrder {
    /// What the certificate is called here: one of its names.
    pub host: String,
    /// All its names; `host` alone when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    #[serde(default, skip_serializing_if = "ChallengeKind::is_http")]
    pub challenge: ChallengeKind,
    /// ACME directory URL.
    pub directory: String,
    /// Root certificates (PEM) of a CA that the system does not know, such as Pebble.
    pub root_pem: Option<String>,
    /// `mailto:` address, if one is configured.
    pub contact: Option<String>,
    /// instant-acme's `AccountCredentials` as JSON; absent before the first order, whose result then brings it.
    pub account: Option<String>,
    /// For a new account at a CA that wants to know whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<ExternalAccount>,
    /// The certificate that this one replaces, as the CA names it (RFC 9773 section 4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

impl CertificateOrder {
    /// A first certificate for `host`, by HTTP-01, from a CA that the system trusts.
    pub fn new(host: impl Into<String>, directory: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            names: Vec::new(),
            challenge: ChallengeKind::default(),
            directory: directory.into(),
            root_pem: None,
            contact: None,
            account: None,
            binding: None,
            replaces: None,
        }
    }

    /// All names of the certificate.
    pub fn all_names(&self) -> &[String] {
        if self.names.is_empty() { std::slice::from_ref(&self.host) } else { &self.names }
    }
}

impl std::fmt::Debug for CertificateOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateOrder")
            .field("host", &self.host)
            .field("challenge", &self.challenge)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

/// How a CA is shown that a name is ours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "control-plane", derive(sqlx::Type, utoipa::ToSchema), sqlx(type_name = "text"))]
pub enum ChallengeKind {
    /// A file over plain HTTP, port 80 (RFC 8555 section 8.3).
    #[default]
    #[serde(rename = "http-01")]
    #[cfg_attr(feature = "control-plane", sqlx(rename = "http-01"))]
    Http01,
    /// A certificate shown on port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    #[cfg_attr(feature = "control-plane", sqlx(rename = "tls-alpn-01"))]
    TlsAlpn01,
    /// A TXT record (RFC 8555 section 8.4); the only one for wildcards.
    #[serde(rename = "dns-01")]
    #[cfg_attr(feature = "control-plane", sqlx(rename = "dns-01"))]
    Dns01,
}

impl ChallengeKind {
    /// As CAs and people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
    fn is_http(&self) -> bool {
        *self == Self::Http01
    }
}

impl std::fmt::Display for ChallengeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What ties an ACME account to one at the CA's own site (RFC 8555 section 7.3.4).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalAccount {
    pub key_id: String,
    /// base64url, as CAs hand it out.
    pub hmac_key: String,
}

impl std::fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExternalAccount").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// Body of `POST /v1/jobs/<id>/challenges`. 204 when the challenge is where the CA looks: on every live proxy, or at
/// every name server; 202 when it is not there yet, and the question is worth repeating.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeRequest {
    #[serde(default, skip_serializing_if = "ChallengeKind::is_http")]
    pub kind: ChallengeKind,
    /// The name that is checked, without `*.`; the order's `host` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    pub token: String,
    pub key_authorization: String,
}

/// Body of `POST /v1/jobs/<id>/account`: the account that an order has made is kept, whatever becomes of the order. 204.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// Credentials, as JSON.
    pub credentials: String,
}

impl std::fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewAccount { … }")
    }
}

/// The answer 202 to a [`ChallengeRequest`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChallengePending {
    /// Continues the sentence "Waiting:".
    pub waiting_for: String,
}
