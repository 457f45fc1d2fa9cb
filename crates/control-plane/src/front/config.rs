//! What the configuration says about the front.

use std::net::{IpAddr, SocketAddr};

use daemon::config::Invalid;
use protocol::identity::Role;
use url::Host;

use crate::config::{Config, is_domain};
use crate::plan::routes::Front;

impl Config {
    /// What proxies serve as this control plane's own address.
    pub fn front(&self) -> Option<Front> {
        let upstream = self.api_server.front_listen?;
        let host = self.api_server.base_url.host_str()?.to_owned();
        Some(Front { host, upstream })
    }

    /// What stands before a zone in the dashboard's host name, when that lies in the zone. No app may have it as its
    /// slug, on whatever port the dashboard is: cookies do not keep ports apart.
    pub fn reserved_label(&self, zone: &str) -> Option<&str> {
        let host = self.api_server.base_url.host_str()?;
        host.strip_suffix(zone)?.strip_suffix('.')
    }

    /// Refuses a front that proxies could not serve.
    pub(crate) fn check_front(&self) -> Result<(), Invalid> {
        let server = &self.api_server;
        let Some(front) = server.front_listen else { return Ok(()) };
        let refuse = |message: String| Err(Invalid::new("api_server.front_listen", message));
        let address = self.mesh.address;
        if front.port() == 0 {
            return refuse("must name a port".to_owned());
        }
        if !front.ip().is_loopback() && front.ip() != IpAddr::V4(address) {
            return refuse(format!(
                "must be on mesh.address {address} or loopback: it speaks plain HTTP, for the fleet's proxies only"
            ));
        }
        let elsewhere = self.nodes.iter().any(|node| node.roles.contains(&Role::Proxy));
        if front.ip().is_loopback() && (elsewhere || !self.mesh.roles.contains(&Role::Proxy)) {
            return refuse(format!(
                "on loopback only this host's proxy reaches it: use {address}:{}, or make this host the only proxy (`mesh.roles`)",
                front.port()
            ));
        }
        let others = [
            ("listen", Some(server.listen)),
            ("local_listen", server.local_listen),
            ("mesh_listen", Some(server.mesh_listen)),
        ];
        for (other, taken) in others {
            let clashes = |taken: SocketAddr| {
                taken.port() == front.port() && (taken.ip() == front.ip() || taken.ip().is_unspecified())
            };
            if taken.is_some_and(clashes) {
                return refuse(format!("is taken by api_server.{other}: choose another port"));
            }
        }
        let url = &server.base_url;
        let named = matches!(url.host(), Some(Host::Domain(name)) if is_domain(name));
        if url.scheme() != "https" || url.port().is_some() || !named || url.path() != "/" {
            return Err(Invalid::new(
                "api_server.base_url",
                "must be https:// and a host name alone, such as https://cp.example.com, because proxies serve it (`api_server.front_listen`)",
            ));
        }
        if self.acme.is_none() {
            return refuse(
                "needs `acme`: without it proxies have no certificate for api_server.base_url".to_owned(),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EXAMPLE;

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("control-plane.toml");
        std::fs::write(&path, text).expect("write");
        daemon::config::load(&path).map_err(|error| error.to_string())
    }

    const FRONT: &str = "[acme]\ndirectory = \"https://ca.example.com/dir\"\n";

    fn with_front(address: &str) -> String {
        let listen = format!("front_listen = \"{address}\"\nmesh_listen");
        format!("{}{FRONT}", EXAMPLE.replacen("mesh_listen", &listen, 1))
    }

    #[test]
    fn proxies_serve_the_host_of_the_base_url() {
        let config = load(&with_front("10.50.0.1:8082")).expect("good");
        let upstream = "10.50.0.1:8082".parse().expect("address");
        assert_eq!(config.front(), Some(Front { host: "cp.example.com".to_owned(), upstream }));
        assert_eq!(load(EXAMPLE).expect("good").front(), None);
        let alone = "address = \"10.50.0.1\"\nroles = [\"worker\", \"proxy\"]";
        load(&with_front("127.0.0.1:8082").replacen("address = \"10.50.0.1\"", alone, 1)).expect("one host");
    }

    #[test]
    fn a_front_that_proxies_cannot_serve_is_refused_with_the_remedy() {
        let url = "https://cp.example.com";
        let key = "`api_server.front_listen`";
        for (address, from, to, words) in [
            ("0.0.0.0:8082", "", "", [key, "mesh.address 10.50.0.1"]),
            ("10.50.0.2:8082", "", "", [key, "mesh.address 10.50.0.1"]),
            ("10.50.0.1:0", "", "", [key, "port"]),
            ("10.50.0.1:8080", "", "", [key, "taken by api_server.listen"]),
            ("10.50.0.1:8081", "", "", [key, "taken by api_server.mesh_listen"]),
            ("127.0.0.1:8082", "", "", [key, "use 10.50.0.1:8082"]),
            ("10.50.0.1:8082", FRONT, "", [key, "needs `acme`"]),
            ("10.50.0.1:8082", url, "http://cp.example.com", ["`api_server.base_url`", "https://"]),
            ("10.50.0.1:8082", url, "https://203.0.113.1", ["`api_server.base_url`", "host name"]),
            ("10.50.0.1:8082", url, "https://cp.example.com:8443", ["`api_server.base_url`", "alone"]),
            ("10.50.0.1:8082", url, "https://cp.example.com/x", ["`api_server.base_url`", "alone"]),
        ] {
            let error = load(&with_front(address).replacen(from, to, 1)).expect_err(to);
            assert!(words.iter().all(|word| error.contains(word)), "{words:?} in {error}");
        }
    }

    #[test]
    fn a_dashboard_inside_the_zone_takes_its_label_from_the_apps() {
        let label = |url: &str| {
            let config = load(&EXAMPLE.replacen("https://cp.example.com", url, 1)).expect("good");
            config.reserved_label("route.example.com").map(str::to_owned)
        };
        assert_eq!(label("https://cp.route.example.com:8443"), Some("cp".to_owned()));
        assert_eq!(label("https://cp.example.com"), None);
        assert_eq!(label("https://cproute.example.com"), None);
    }
}
