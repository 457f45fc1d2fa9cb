//! Environment variables of apps, sealed in the database.

/// A letter or `_`, then letters, digits and `_`; at most 128.
pub fn is_name(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
