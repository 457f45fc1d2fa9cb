//! Paths of a domain that lead to other apps of its app's project.

use serde::Serialize;
use uuid::Uuid;

use crate::http::{Error, Result};

/// Paths of one domain.
pub const COUNT_LIMIT: usize = 50;
const LENGTH_LIMIT: usize = 255;

/// A prefix of paths, and where it leads.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct DomainPath {
    pub id: Uuid,
    /// Such as `/api`: it and all below it.
    pub path: String,
    /// Slug of the app that answers.
    pub app: String,
    /// Whether that app sees the path without the prefix.
    pub strip_prefix: bool,
}

/// The prefix as it is stored: with a `/` before it and none after it.
pub fn normal(text: &str) -> Result<String> {
    let text = text.trim();
    let path = text.strip_suffix('/').unwrap_or(text);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte);
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    let Some(parts) = path.strip_prefix('/') else {
        return Err(invalid("a path begins with / and has a name after it").hint("Write it as /api"));
    };
    if path.len() > LENGTH_LIMIT || !path.bytes().all(is_plain) || !parts.split('/').all(is_part) {
        return Err(invalid("this is not a prefix of paths")
            .hint("Letters, digits and -._~ between single /, at most 255 characters: /api or /shop/v2"));
    }
    Ok(path.to_owned())
}

fn invalid(message: &str) -> Error {
    Error::invalid("path", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_one_form() {
        for (text, stored) in
            [("/api", "/api"), (" /api/ ", "/api"), ("/shop/v2", "/shop/v2"), ("/@me", "/@me")]
        {
            assert_eq!(normal(text).expect(text), stored);
        }
        let long = format!("/{}", "a".repeat(LENGTH_LIMIT));
        for bad in [
            "", "/", "api", "//", "/a//b", "/a/../b", "/./a", "/a?b", "/a#b", "/a b", "/a%2fb", "/ä",
            "/a\nb", &long,
        ] {
            let error = normal(bad).expect_err(bad);
            assert!(format!("{error:?}").contains("path"), "{error:?}");
        }
    }
}
