//! What lets the bearer do one thing at one worker until a time. Made by the control plane and checked by that worker,
//! with the key that signs its envelopes.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::identity::SigningKey;

/// `<expiry>.<hmac>`. `purpose` is a word of ours; `subject` says which one thing.
pub(crate) fn seal(purpose: &str, subject: &str, expires_at: i64, key: &SigningKey) -> String {
    format!("{expires_at}.{}", hex::encode(mac(purpose, subject, expires_at, key).finalize().into_bytes()))
}

/// Whether `ticket` is good for `subject` at `now` (Unix seconds).
pub(crate) fn admits(ticket: &str, purpose: &str, subject: &str, key: &SigningKey, now: i64) -> bool {
    let Some((expires_at, hmac)) = ticket.split_once('.') else { return false };
    let (Ok(expires_at), Ok(hmac)) = (expires_at.parse(), hex::decode(hmac)) else { return false };
    expires_at > now && mac(purpose, subject, expires_at, key).verify_slice(&hmac).is_ok()
}

fn mac(purpose: &str, subject: &str, expires_at: i64, key: &SigningKey) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).expect("HMAC takes keys of any length");
    mac.update(format!("{purpose} ticket v1|{subject}|{expires_at}").as_bytes());
    mac
}
