//! Where a build may fetch from. Whoever deploys names the address, and the worker stands inside the fleet's networks:
//! so names are resolved here, addresses that are not public are refused, and git gets the one that was checked.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use daemon::address::is_public;
use ipnet::IpNet;
use protocol::job::{Failure, Stage};
use url::Host;

use crate::failure::{FailureExt as _, failure};

/// Code of a refusal.
const PRIVATE: &str = "repository_private";

/// For the DNS.
const LIMIT: Duration = Duration::from_secs(10);

/// The first address of `host`, if all of them are public or in one of the networks that this worker's configuration
/// opens to builds.
pub(super) async fn resolve(host: &Host, port: u16, opened: &[IpNet]) -> Result<IpAddr, Failure> {
    let found: Vec<IpAddr> = match host {
        Host::Ipv4(address) => vec![(*address).into()],
        Host::Ipv6(address) => vec![(*address).into()],
        Host::Domain(name) => lookup(name, port).await.map_err(|why| unknown_host(name, &why))?,
    };
    let forbidden = found.iter().find(|address| !may_reach(**address, opened));
    match (forbidden, found.first()) {
        (Some(address), _) => Err(private(host, *address)),
        (None, Some(address)) => Ok(*address),
        (None, None) => Err(unknown_host(&host.to_string(), "it has no address")),
    }
}

async fn lookup(name: &str, port: u16) -> Result<Vec<IpAddr>, String> {
    match tokio::time::timeout(LIMIT, tokio::net::lookup_host((name, port))).await {
        Ok(Ok(found)) => Ok(found.map(|address: SocketAddr| address.ip()).collect()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("the DNS did not answer within {} s", LIMIT.as_secs())),
    }
}

/// Refuses an image whose registry is not a public address, which Podman would ask as this host. A registry that the
/// DNS does not know is left to Podman: the image may lie on the host.
pub(crate) async fn check_registry(reference: &str, opened: &[IpNet]) -> Result<(), Failure> {
    let Some((registry, _)) = reference.split_once('/') else { return Ok(()) };
    let (name, port) = registry.rsplit_once(':').unwrap_or((registry, "443"));
    // The form was checked by the control plane.
    let (Ok(host), Ok(port)) = (Host::parse(name), port.parse()) else { return Ok(()) };
    match resolve(&host, port, opened).await {
        Err(refused) if refused.code == PRIVATE => Err(Failure {
            code: "image_private".to_owned(),
            stage: Stage::Build,
            message: refused.message.replace("the repository's address", "the image's registry"),
            ..refused
        }),
        _ => Ok(()),
    }
}

fn may_reach(address: IpAddr, opened: &[IpNet]) -> bool {
    let address = address.to_canonical();
    is_public(address) || opened.iter().any(|network| network.contains(&address))
}

fn private(host: &Host, address: IpAddr) -> Failure {
    let shown = match host {
        Host::Domain(name) => format!("{name} is {address}, which"),
        _ => address.to_string(),
    };
    failure(
        Stage::Fetch,
        PRIVATE,
        format!("the repository's address is refused: {shown} is not a public address"),
    )
    .hint("Use a public address, or open its network to builds on the workers: `builds.private_networks` in worker.toml")
}

fn unknown_host(name: &str, why: &str) -> Failure {
    failure(Stage::Fetch, "repository_unreachable", format!("the address of {name} is not to be had: {why}"))
        .hint("Check the repository's host name, and the DNS of the worker")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_reached() {
        for public in ["1.1.1.1", "198.51.100.7", "172.32.0.1", "2606:4700::1111"] {
            assert!(is_public(public.parse().expect("address")), "{public}");
        }
        for inside in [
            "0.0.0.0",
            "10.50.0.1",
            "100.64.0.1",
            "127.0.0.2",
            "169.254.169.254",
            "172.31.0.1",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001::1",
            "fd00::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!may_reach(inside.parse().expect("address"), &[]), "{inside}");
        }
    }

    #[test]
    fn a_network_that_the_configuration_opens_is_reached_and_no_other() {
        let opened = ["192.168.7.0/24".parse().expect("network")];
        assert!(may_reach("192.168.7.9".parse().expect("address"), &opened));
        assert!(may_reach("::ffff:192.168.7.9".parse().expect("address"), &opened));
        assert!(!may_reach("192.168.8.9".parse().expect("address"), &opened));
    }

    #[tokio::test]
    async fn a_name_is_judged_by_its_address() {
        let host = Host::parse("localhost").expect("host");
        let refused = resolve(&host, 80, &[]).await.expect_err("loopback");
        assert_eq!(refused.code, PRIVATE);
        assert!(refused.message.contains("localhost is "), "{}", refused.message);
        assert!(refused.hint.expect("hint").contains("builds.private_networks"));
    }

    #[tokio::test]
    async fn a_registry_inside_is_not_asked() {
        for inside in ["localhost/wisehosting/other:1", "10.50.0.1:5000/a:1", "169.254.169.254/a:1"] {
            let refused = check_registry(inside, &[]).await.expect_err(inside);
            assert_eq!(refused.code, "image_private");
            assert!(refused.message.starts_with("the image's registry is refused"), "{}", refused.message);
        }
        check_registry("198.51.100.1:5000/a:1", &[]).await.expect("public");
        check_registry("10.50.0.1:5000/a:1", &["10.50.0.0/24".parse().expect("network")])
            .await
            .expect("opened");
    }
}
