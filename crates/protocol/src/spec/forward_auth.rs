//! Another service decides on each request: a sign-in in front of an app that has none.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Each request is first shown to a service. What that answers with 2xx goes on to the app; any other answer is the
/// client's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "control-plane", derive(utoipa::ToSchema))]
pub struct ForwardAuth {
    /// An address such as `https://auth.example.com/verify`, or `app:SLUG/verify` for an app of the same project.
    pub url: String,
    /// Where the app of `app:…` answers. The control plane fills it in; nobody sets it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "control-plane", schema(ignore))]
    pub instances: Vec<SocketAddr>,
    /// Headers of a request that the service sees; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request_headers: Vec<String>,
    /// Headers of the service's answer that the app sees. What clients send under these names never reaches the app.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub response_headers: Vec<String>,
    /// Paths for which nobody is asked: whole (`/health`), or with `/*` at the end for everything below (`/public/*`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<String>,
    /// Seconds that the service may take; 5 when absent.
    #[serde(default = "five")]
    pub timeout_s: u32,
}

fn five() -> u32 {
    5
}

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// An http(s) address.
    Address(&'a str),
    /// A path, with its `/`, of an app of the same project.
    App { slug: &'a str, path: &'a str },
}

impl ForwardAuth {
    /// Asks `url`, with everything else at its default.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            instances: Vec::new(),
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            skip: Vec::new(),
            timeout_s: five(),
        }
    }

    pub fn target(&self) -> Target<'_> {
        let Some(app) = self.url.strip_prefix("app:") else { return Target::Address(&self.url) };
        let (slug, path) = app.split_at(app.find('/').unwrap_or(app.len()));
        Target::App { slug, path: if path.is_empty() { "/" } else { path } }
    }

    /// Whether nobody is asked for `path`. One that an app might read as another (`/public/../admin`) is asked for
    /// always.
    pub fn skips(&self, path: &str) -> bool {
        !is_ambiguous(path)
            && self.skip.iter().any(|skipped| match skipped.strip_suffix('*') {
                Some(below) => path.starts_with(below),
                None => path == skipped,
            })
    }
}

/// Apps decode what is encoded, drop empty segments and parameters, and take `\` for `/`.
fn is_ambiguous(path: &str) -> bool {
    path.contains(['%', '\\', ';'])
        || path.contains("//")
        || path.split('/').any(|segment| segment == "." || segment == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_named_with_or_without_a_path() {
        for (url, target) in [
            ("app:auth", Target::App { slug: "auth", path: "/" }),
            ("app:auth/", Target::App { slug: "auth", path: "/" }),
            ("app:auth/api/verify?a=1", Target::App { slug: "auth", path: "/api/verify?a=1" }),
            ("https://auth.test/verify", Target::Address("https://auth.test/verify")),
        ] {
            assert_eq!(ForwardAuth::new(url).target(), target, "{url}");
        }
    }

    #[test]
    fn nobody_is_asked_for_what_is_skipped_and_nothing_else() {
        let skip = ["/health", "/public/*"].map(str::to_owned).to_vec();
        let auth = ForwardAuth { skip, ..ForwardAuth::new("app:auth") };
        for path in ["/health", "/public/", "/public/a/b.css"] {
            assert!(auth.skips(path), "{path}");
        }
        for path in [
            "/",
            "/health/",
            "/healthy",
            "/public",
            "/publics/x",
            "/public/../admin",
            "/public/./x",
            "/public/..",
            "/public/%2e%2e/admin",
            "/public/..%2fadmin",
            "/public//admin",
            "/public/..\\admin",
            "/public/..;/admin",
        ] {
            assert!(!auth.skips(path), "{path}");
        }
    }
}
