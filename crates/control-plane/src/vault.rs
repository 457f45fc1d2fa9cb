//! Secrets at rest: AES-256-GCM, one key per purpose derived by HKDF-SHA256 from `api_server.secret`, the key's id in
//! front of each ciphertext, the row's identity as associated data. A ciphertext opens only for its purpose and row.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use daemon::credentials::{ExposeSecret, SecretString};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};

/// What a secret is for. Each has its own key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Variables,
    RegistryPassword,
    /// A token or a key for repositories.
    GitAccess,
    NodeSigningKey,
    JobPayload,
    CertificateKey,
    AcmeAccount,
    /// With what a DNS provider is told to set records.
    DnsProvider,
    /// Proves at the start that secret and database belong together.
    SecretCheck,
    /// Signs access tokens of agents; never seals.
    AgentToken,
}

impl Purpose {
    fn label(self) -> &'static str {
        match self {
            Self::Variables => "variables",
            Self::RegistryPassword => "registry-password",
            Self::GitAccess => "git-access",
            Self::NodeSigningKey => "node-signing-key",
            Self::JobPayload => "job-payload",
            Self::CertificateKey => "certificate-key",
            Self::AcmeAccount => "acme-account",
            Self::DnsProvider => "dns-provider",
            Self::SecretCheck => "secret-check",
            Self::AgentToken => "agent-token",
        }
    }
}

/// Why a secret cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error(
        "sealed with another api_server.secret (key {found}, this one is {own}): restore the secret it was sealed with"
    )]
    OtherKey { found: String, own: String },
    #[error("the sealed value is damaged, or belongs to another row or purpose")]
    Damaged,
}

const KEY_ID: usize = 4;
const NONCE: usize = 12;

/// Seals and opens.
pub struct Vault {
    secret: SecretString,
    key_id: [u8; KEY_ID],
}

impl Vault {
    pub fn new(secret: SecretString) -> Self {
        let digest = Sha256::digest([b"wisehosting key id v1\0", secret.expose_secret().as_bytes()].concat());
        Self { key_id: [digest[0], digest[1], digest[2], digest[3]], secret }
    }

    /// The key of one purpose.
    pub fn key(&self, purpose: Purpose) -> [u8; 32] {
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(Some(b"wisehosting v1"), self.secret.expose_secret().as_bytes())
            .expand(purpose.label().as_bytes(), &mut key)
            .expect("32 bytes are far below HKDF's limit");
        key
    }

    /// Seals `plain` for the row `identity`: key id, nonce, ciphertext.
    pub fn seal(&self, purpose: Purpose, identity: &str, plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE] = rand::random();
        let sealed = self
            .cipher(purpose)
            .encrypt(&Nonce::from(nonce), Payload { msg: plain, aad: identity.as_bytes() })
            .expect("AES-GCM seals anything below 64 GiB");
        [&self.key_id[..], &nonce, &sealed].concat()
    }

    /// Opens what [`Vault::seal`] made for the same purpose and row.
    pub fn open(&self, purpose: Purpose, identity: &str, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (key_id, rest) = sealed.split_at_checked(KEY_ID).ok_or(VaultError::Damaged)?;
        let (nonce, body) = rest.split_at_checked(NONCE).ok_or(VaultError::Damaged)?;
        if key_id != self.key_id {
            return Err(VaultError::OtherKey { found: hex::encode(key_id), own: hex::encode(self.key_id) });
        }
        let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| VaultError::Damaged)?;
        self.cipher(purpose)
            .decrypt(&Nonce::from(nonce), Payload { msg: body, aad: identity.as_bytes() })
            .map_err(|_| VaultError::Damaged)
    }

    fn cipher(&self, purpose: Purpose) -> Aes256Gcm {
        Aes256Gcm::new(&self.key(purpose).into())
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(secret: &str) -> Vault {
        Vault::new(SecretString::from(secret))
    }

    #[test]
    fn what_is_sealed_opens_for_the_same_purpose_and_row_only() {
        let vault = vault("a");
        let sealed = vault.seal(Purpose::Variables, "app:1", b"value");
        assert_eq!(vault.open(Purpose::Variables, "app:1", &sealed).expect("opens"), b"value");
        assert_eq!(vault.open(Purpose::Variables, "app:2", &sealed), Err(VaultError::Damaged));
        assert_eq!(vault.open(Purpose::JobPayload, "app:1", &sealed), Err(VaultError::Damaged));
    }

    #[test]
    fn another_secret_is_named_as_the_cause() {
        let sealed = vault("a").seal(Purpose::Variables, "x", b"value");
        assert!(matches!(
            vault("b").open(Purpose::Variables, "x", &sealed),
            Err(VaultError::OtherKey { .. })
        ));
    }

    #[test]
    fn damage_is_noticed_at_every_byte() {
        let vault = vault("a");
        let sealed = vault.seal(Purpose::Variables, "x", b"value");
        for index in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[index] ^= 1;
            vault.open(Purpose::Variables, "x", &damaged).expect_err("damaged");
            vault.open(Purpose::Variables, "x", &sealed[..index]).expect_err("cut");
        }
    }
}
