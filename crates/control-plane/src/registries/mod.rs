//! Logins to registries of images: sealed in the database, told to a worker with a build or for one pull, and to nobody
//! else. A build gets them when it is sent, so that one that waited uses what is stored by then.

pub mod api;
pub mod places;
pub mod setting;
pub mod store;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::http::{Error, Result};

/// Logins of one organization.
const COUNT_LIMIT: i64 = 50;

/// A stored login, without its password.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Registry {
    /// Host and perhaps port, as in the names of images.
    pub host: String,
    pub username: String,
    /// Who stored it last.
    pub updated_by: String,
    pub updated_at: DateTime<Utc>,
    /// Below the host, where built images are kept; absent for a registry that images are pulled from only.
    pub images_path: Option<String>,
    /// Built images that are there.
    pub images_kept: i64,
    /// Those that have yet to be pushed or removed.
    pub images_waiting: i64,
    /// What could not be pushed or removed yet, and why.
    pub image_problems: Vec<String>,
}

/// The host as names of images begin with it.
fn checked_host(text: &str) -> Result<String> {
    let host = text.trim().to_ascii_lowercase();
    let (name, port) = host.split_once(':').unwrap_or((&host, "443"));
    let is_label = |label: &str| {
        let edge = |letter: char| letter.is_ascii_alphanumeric();
        label.len() <= 63
            && label.starts_with(edge)
            && label.ends_with(edge)
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    // Without a dot or a port the beginning of an image's name is no host.
    let is_host = host.len() <= 255 && host.contains(['.', ':']) && name.split('.').all(is_label);
    if !is_host || port.parse::<u16>().is_err() {
        return Err(Error::invalid("host", "this is not the host of a registry").hint(
            "Write it as images are named with it: registry.example.com or registry.example.com:5000",
        ));
    }
    let docker = ["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];
    Ok(if docker.contains(&host.as_str()) { "docker.io".to_owned() } else { host })
}

fn check_login(username: &str, password: &str) -> Result<()> {
    let plain = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
    // A colon ends the name in the form in which both are sent.
    if !plain(username) || username.len() > 255 || username.contains(':') {
        return Err(Error::invalid("username", "a user name has 1 to 255 characters and no colon"));
    }
    if !plain(password) || password.len() > 8192 {
        return Err(Error::invalid("password", "a password or token has 1 to 8192 characters on one line"));
    }
    Ok(())
}

#[cfg(test)]
mod rules {
    use super::*;

    #[test]
    fn a_host_is_what_an_image_is_named_with() {
        for (text, host) in [
            ("Registry.Example.com", "registry.example.com"),
            (" registry.example.com:5000 ", "registry.example.com:5000"),
            ("10.0.0.1:5000", "10.0.0.1:5000"),
            ("registry:5000", "registry:5000"),
            ("index.docker.io", "docker.io"),
        ] {
            assert_eq!(checked_host(text).expect(text), host);
        }
        for bad in [
            "",
            "library",
            "https://x.example.com",
            "x.example.com/team",
            "-x.com",
            "x..com",
            "x.com:http",
            "a b.com",
        ] {
            let error = checked_host(bad).expect_err(bad);
            assert!(format!("{error:?}").contains("host"), "{error:?}");
        }
    }

    #[test]
    fn a_login_is_one_line_each() {
        check_login("ann", "pass word").expect("good");
        for (username, password) in [("", "x"), ("a:b", "x"), ("a\n", "x"), ("a", ""), ("a", "x\ny")] {
            check_login(username, password).expect_err("bad");
        }
    }
}
