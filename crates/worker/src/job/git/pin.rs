//! Git asks the address that was checked.

use std::net::IpAddr;

use url::Host;

use super::address::{Scheme, Server};

/// Settings with which git asks `server` at `address`, which was checked, whatever the DNS says a moment later.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pin {
    /// `-c` options.
    pub(super) settings: Vec<String>,
    /// Options of ssh.
    pub(super) ssh: String,
}

impl Pin {
    pub(super) fn new(server: &Server, address: IpAddr) -> Self {
        let Server { scheme, host, port } = server;
        let shown = match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        match (scheme, host) {
            (Scheme::Http | Scheme::Https, Host::Domain(name)) => Self {
                settings: vec![format!("http.curloptResolve={name}:{port}:{shown}")],
                ssh: String::new(),
            },
            (Scheme::Ssh, Host::Domain(name)) => {
                Self { settings: Vec::new(), ssh: format!(" -oHostName={address} -oHostKeyAlias={name}") }
            }
            // git:// has no name to prove, so that the address serves as well.
            (Scheme::Git, Host::Domain(name)) => Self {
                settings: ["", &format!(":{port}")]
                    .map(|port| format!("url.git://{shown}{port}/.insteadOf=git://{name}{port}/"))
                    .to_vec(),
                ssh: String::new(),
            },
            _ => Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::address::Repository;
    use super::*;

    #[test]
    fn git_asks_the_address_that_was_checked() {
        let pin = |text: &str, address: &str| -> Pin {
            let server = Repository::parse(text, false).expect("an address").server.expect("a server");
            Pin::new(&server, address.parse::<IpAddr>().expect("address"))
        };
        assert_eq!(
            pin("https://example.com/a.git", "2606::1").settings,
            ["http.curloptResolve=example.com:443:[2606::1]"]
        );
        assert_eq!(
            pin("git@example.com:a.git", "192.0.2.1").ssh,
            " -oHostName=192.0.2.1 -oHostKeyAlias=example.com"
        );
        assert_eq!(
            pin("git://example.com/a.git", "192.0.2.1").settings[0],
            "url.git://192.0.2.1/.insteadOf=git://example.com/"
        );
        assert_eq!(pin("https://192.0.2.1/a.git", "192.0.2.1"), Pin::default());
    }
}
