//! Passwords: argon2id with the crate's defaults (19 MiB, two passes: OWASP's recommendation), off the async threads.

use std::sync::LazyLock;

use anyhow::Context;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

/// Hashes `password` as a PHC string with a fresh salt.
pub async fn hash(password: String) -> anyhow::Result<String> {
    tokio::task::spawn_blocking(move || hash_now(&password)).await.context("hashing was interrupted")?
}

/// Whether `password` is the one behind `hash`. Without a hash (no such account) the same work is done, so that the
/// time says nothing.
pub async fn verify(password: String, hash: Option<String>) -> anyhow::Result<bool> {
    static NOBODY: LazyLock<String> =
        LazyLock::new(|| hash_now("nobody has this password").expect("argon2 hashes any short text"));
    tokio::task::spawn_blocking(move || {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.clone());
        let parsed =
            PasswordHash::new(&hash).map_err(|error| anyhow::anyhow!("stored password hash: {error}"))?;
        Ok(Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok() && known)
    })
    .await
    .context("verifying was interrupted")?
}

fn hash_now(password: &str) -> anyhow::Result<String> {
    let hash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|error| anyhow::anyhow!("cannot hash a password: {error}"))?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_known_account_passes() {
        let hash = hash("correct horse".to_owned()).await.expect("hashes");
        assert!(verify("correct horse".to_owned(), Some(hash.clone())).await.expect("verifies"));
        assert!(!verify("wrong horse".to_owned(), Some(hash)).await.expect("verifies"));
        assert!(!verify("nobody has this password".to_owned(), None).await.expect("verifies"));
    }
}
