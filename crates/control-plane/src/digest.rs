//! Tokens: made from the system's random source, kept as digests.

use sha2::{Digest, Sha256};

/// A new token: the prefix tells people and secret scanners what it is; 256 random bits follow.
pub fn new_token(prefix: &str) -> String {
    let bytes: [u8; 32] = rand::random();
    format!("{prefix}{}", hex::encode(bytes))
}

/// What is stored of a token. A plain hash is enough for 256 random bits.
pub fn of_token(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}
