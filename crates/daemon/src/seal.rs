//! Secrets in the files of a host: AES-256-GCM with a key that HKDF-SHA256 derives from a secret of the host, the key's
//! id in front of each ciphertext.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;

const ID: usize = 4;
const NONCE: usize = 12;

/// Seals and opens for one purpose.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey {
    key: [u8; 32],
    id: [u8; ID],
}

/// Why something cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error(
        "sealed with another key ({found}, this host's is {own}): it was made on another host, or before this one joined anew"
    )]
    OtherKey { found: String, own: String },
    #[error("damaged")]
    Damaged,
}

impl SealKey {
    /// The key that a long random `secret` gives for `purpose`.
    pub fn derive(secret: &str, purpose: &str) -> Self {
        let derived = Hkdf::<Sha256>::new(Some(b"wisehosting host v1"), secret.as_bytes());
        let (mut key, mut id) = ([0; 32], [0; ID]);
        for (what, bytes) in [("key", &mut key[..]), ("id", &mut id[..])] {
            derived
                .expand_multi_info(&[purpose.as_bytes(), b"\0", what.as_bytes()], bytes)
                .expect("36 bytes are far below HKDF's limit");
        }
        Self { key, id }
    }

    /// Seals `plain`, which opens only together with `context`: key id, nonce, ciphertext.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE] = rand::random();
        let sealed = self
            .cipher()
            .encrypt(&Nonce::from(nonce), Payload { msg: plain, aad: context.as_bytes() })
            .expect("AES-GCM seals anything below 64 GiB");
        [&self.id[..], &nonce, &sealed].concat()
    }

    /// Opens what [`SealKey::seal`] made.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (id, rest) = sealed.split_first_chunk::<ID>().ok_or(SealError::Damaged)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE>().ok_or(SealError::Damaged)?;
        if *id != self.id {
            return Err(SealError::OtherKey { found: hex(*id), own: hex(self.id) });
        }
        self.cipher()
            .decrypt(&Nonce::from(*nonce), Payload { msg: body, aad: context.as_bytes() })
            .map_err(|_| SealError::Damaged)
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&self.key.into())
    }
}

fn hex(id: [u8; ID]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealKey({})", hex(self.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_same_key_and_context_only() {
        let key = SealKey::derive("secret", "cache");
        let sealed = key.seal("7", b"value");
        assert_eq!(key.open("7", &sealed).expect("opens"), b"value");
        assert_eq!(key.open("8", &sealed), Err(SealError::Damaged));
        for other in [SealKey::derive("another", "cache"), SealKey::derive("secret", "other")] {
            assert!(matches!(other.open("7", &sealed), Err(SealError::OtherKey { .. })));
        }
        for at in ID..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(key.open("7", &damaged), Err(SealError::Damaged), "byte {at}");
        }
        assert_eq!(key.open("7", &sealed[..ID + NONCE - 1]), Err(SealError::Damaged));
        assert!(!sealed.windows(5).any(|window| window == b"value"));
    }
}
