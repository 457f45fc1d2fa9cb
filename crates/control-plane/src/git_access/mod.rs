//! With what the private repositories of an app are fetched: sealed in the database, told to a worker with a build and
//! to nobody else. For one host, so that no other address that is deployed from is shown the secret.

pub mod api;
pub mod host_key;
pub mod openssh;
pub mod store;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::http::{Error, Result};

/// Which kind of secret it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[sqlx(type_name = "text", rename_all = "kebab-case")]
#[schema(as = GitAccessKind)]
pub enum Kind {
    /// Over HTTPS.
    Token,
    /// Over SSH.
    Key,
}

/// What is stored, without the secret.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct GitAccess {
    pub kind: Kind,
    /// Host and, if it is not the usual one, port.
    pub host: String,
    /// Of a token.
    pub username: Option<String>,
    /// Of a key, as the host is told it.
    pub public_key: Option<String>,
    /// Fingerprints of the keys with which the host may prove itself over SSH. Empty until it has shown one.
    pub host_keys: Vec<String>,
    /// Who stored it.
    pub updated_by: String,
    pub updated_at: DateTime<Utc>,
}

/// The host as addresses of repositories have it; the usual port is left out.
fn checked_host(text: &str, usual_port: u16) -> Result<String> {
    let text = text.trim().to_ascii_lowercase();
    let wrong = || {
        Error::invalid("host", "this is not the host of a repository")
            .hint("Write it as git.example.com, or git.example.com:8443 with a port")
    };
    // Of an address with a scheme that has no port of its own, so that none is left out.
    let url = url::Url::parse(&format!("git://{text}/")).map_err(|_| wrong())?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
    let host = url::Host::parse(host).map_err(|_| wrong())?.to_string();
    let shown = match url.port() {
        Some(port) if port != usual_port => format!("{host}:{port}"),
        _ => host.clone(),
    };
    let plain =
        url.username().is_empty() && url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !plain || text.starts_with('-') || !text.starts_with(&host) || text.len() > 255 {
        return Err(wrong());
    }
    Ok(shown)
}

fn check_token(username: &str, token: &str) -> Result<()> {
    let plain = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
    // A colon ends the name in the form in which both are sent.
    if !plain(username) || username.len() > 255 || username.contains(':') {
        return Err(Error::invalid("username", "a user name has 1 to 255 characters and no colon"));
    }
    if !plain(token) || token.len() > 8192 {
        return Err(Error::invalid("token", "a token has 1 to 8192 characters on one line"));
    }
    Ok(())
}

#[cfg(test)]
mod rules {
    use super::*;

    #[test]
    fn a_host_is_what_addresses_of_repositories_have() {
        for (text, host) in [
            ("GitHub.com", "github.com"),
            (" git.example.com:8443 ", "git.example.com:8443"),
            ("git.example.com:22", "git.example.com"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2606::1]:2222", "[2606::1]:2222"),
        ] {
            assert_eq!(checked_host(text, 22).expect(text), host);
        }
        for bad in [
            "",
            "-o",
            "https://x.com",
            "x.com/a",
            "a@x.com",
            "x.com:http",
            "a b",
            "x.com?a",
            "x.com#a",
            "127.1",
        ] {
            let error = checked_host(bad, 22).expect_err(bad);
            assert!(format!("{error:?}").contains("host"), "{error:?}");
        }
    }

    #[test]
    fn a_token_and_its_user_are_one_line_each() {
        check_token("ci", "t0ken").expect("good");
        for (username, token) in [("", "x"), ("a:b", "x"), ("a\n", "x"), ("a", ""), ("a", "x\ny")] {
            check_token(username, token).expect_err("bad");
        }
    }
}
