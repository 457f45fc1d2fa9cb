//! What may be given to git as an address, and the server that it names.

use protocol::job::GitAccess;
use url::{Host, Url};

/// Why an address is not given to git.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadUrl {
    Syntax,
    Scheme,
    FileForbidden,
}

/// An address that git may get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Repository {
    pub(super) url: String,
    /// For the log: without user name and password.
    pub(super) shown: String,
    /// The server to ask; none for a file.
    pub(super) server: Option<Server>,
}

/// A server of repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) scheme: Scheme,
    pub(super) host: Host,
    pub(super) port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Https,
    Http,
    Ssh,
    Git,
}

impl Repository {
    pub(super) fn parse(text: &str, allow_file: bool) -> Result<Self, BadUrl> {
        let printable = text.chars().all(|char| char.is_ascii_graphic());
        // `ext::` and its kin start programs; a leading `-` is an option.
        if !printable || text.starts_with('-') || text.contains("::") {
            return Err(BadUrl::Syntax);
        }
        if let Some(host) = scp_like(text) {
            let host = Host::parse(host).map_err(|_| BadUrl::Syntax)?;
            let server = Some(Server { scheme: Scheme::Ssh, host, port: 22 });
            return Ok(Self { url: text.to_owned(), shown: text.to_owned(), server });
        }
        let mut url = Url::parse(text).map_err(|_| BadUrl::Syntax)?;
        let scheme = match url.scheme() {
            "https" => Some(Scheme::Https),
            "http" => Some(Scheme::Http),
            "ssh" => Some(Scheme::Ssh),
            "git" => Some(Scheme::Git),
            "file" if allow_file => None,
            "file" => return Err(BadUrl::FileForbidden),
            _ => return Err(BadUrl::Scheme),
        };
        let server = match scheme {
            Some(scheme) => {
                // For ssh and git the parser leaves numbers in any notation as they are: read them as an address.
                let host = Host::parse(url.host_str().ok_or(BadUrl::Syntax)?).map_err(|_| BadUrl::Syntax)?;
                Some(Server { scheme, host, port: url.port().unwrap_or_else(|| scheme.usual_port()) })
            }
            None => None,
        };
        // ssh://-oProxyCommand=… would become an option of ssh.
        if url.host_str().is_some_and(|host| host.starts_with('-')) || url.username().starts_with('-') {
            return Err(BadUrl::Syntax);
        }
        // Err is impossible for addresses with a host; those of files have neither name nor password.
        let _ = url.set_password(None);
        let _ = url.set_username("");
        Ok(Self { url: text.to_owned(), shown: url.into(), server })
    }
}

/// The host of `git@example.com:team/app.git`, which is ssh.
fn scp_like(text: &str) -> Option<&str> {
    let (login, path) = text.split_once(':')?;
    let (user, host) = login.split_once('@')?;
    let word = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.chars().all(|char| char.is_ascii_alphanumeric() || ".-_".contains(char))
    };
    (word(user) && word(host) && !path.is_empty() && !path.starts_with('-')).then_some(host)
}

impl Scheme {
    fn usual_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
            Self::Ssh => 22,
            Self::Git => 9418,
        }
    }
}

impl Server {
    /// Whether the secret is for this server. The scheme is for the kind of secret to judge.
    pub(super) fn is_of(&self, access: &GitAccess) -> bool {
        let Self { scheme, host, port } = self;
        let shown = if *port == scheme.usual_port() { host.to_string() } else { format!("{host}:{port}") };
        shown == access.host
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_repositories_reach_git() {
        for good in [
            "https://example.com/a.git",
            "http://10.0.0.1/a",
            "ssh://git@example.com:22/a.git",
            "git://example.com/a",
            "git@example.com:team/app.git",
        ] {
            assert!(Repository::parse(good, false).is_ok(), "{good}");
        }
        for (bad, problem) in [
            ("ext::sh -c id", BadUrl::Syntax),
            ("ext::id", BadUrl::Syntax),
            ("fd::17", BadUrl::Syntax),
            ("--upload-pack=id", BadUrl::Syntax),
            ("-c", BadUrl::Syntax),
            ("ssh://-oProxyCommand=id/a", BadUrl::Syntax),
            ("git@-oProxyCommand=id:a", BadUrl::Syntax),
            ("/etc", BadUrl::Syntax),
            ("../a", BadUrl::Syntax),
            ("https://example.com/a b", BadUrl::Syntax),
            ("file:///etc", BadUrl::FileForbidden),
            ("ftp://example.com/a", BadUrl::Scheme),
        ] {
            assert_eq!(Repository::parse(bad, false), Err(problem), "{bad}");
        }
        assert!(Repository::parse("file:///srv/app.git", true).is_ok());
    }

    #[test]
    fn the_server_is_known_in_every_notation() {
        let server = |text: &str| -> Server {
            Repository::parse(text, false).expect("an address").server.expect("a server")
        };
        for loopback in ["http://127.1/a", "http://2130706433/a", "ssh://0x7f.1/a", "git://017700000001/a"] {
            assert_eq!(server(loopback).host.to_string(), "127.0.0.1", "{loopback}");
        }
        assert_eq!(server("git@127.1:a/b").host.to_string(), "127.0.0.1");
        assert_eq!(server("https://Example.com:8443/a").port, 8443);
        assert_eq!(server("git://example.com/a").port, 9418);
    }

    #[test]
    fn passwords_in_addresses_are_not_shown() {
        let parsed = Repository::parse("https://user:secret@example.com/a.git", false).expect("good");
        assert_eq!(parsed.shown, "https://example.com/a.git");
    }
}
