//! Links and addresses through `ip`, by argument list. `sysfs` is no help: it shows the network namespace that it was
//! mounted in, not the one of this process.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use ipnet::Ipv4Net;
use serde::Deserialize;
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(5);

/// An interface as `ip` shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Link {
    ifname: String,
    flags: Vec<String>,
    mtu: u32,
    linkinfo: LinkInfo,
    addr_info: Vec<AddressInfo>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LinkInfo {
    info_kind: String,
}

#[derive(Debug, Deserialize)]
struct AddressInfo {
    family: String,
    local: IpAddr,
    prefixlen: u8,
    #[serde(default)]
    scope: String,
    /// It changes from day to day.
    #[serde(default)]
    temporary: bool,
    #[serde(default)]
    deprecated: bool,
}

impl Link {
    /// `wireguard` for the kernel's, `tun` for a userspace device.
    pub(super) fn kind(&self) -> &str {
        &self.linkinfo.info_kind
    }

    fn addresses(&self) -> Vec<Ipv4Net> {
        let net = |info: &AddressInfo| match (info.family.as_str(), info.local) {
            ("inet", IpAddr::V4(local)) => Ipv4Net::new(local, info.prefixlen).ok(),
            _ => None,
        };
        self.addr_info.iter().filter_map(net).collect()
    }
}

/// The interface `name`, if there is one.
pub(super) async fn link(name: &str) -> anyhow::Result<Option<Link>> {
    let output = run(&["-json", "-details", "address", "show", "dev", name]).await?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        if error.contains("does not exist") || error.contains("Cannot find device") {
            return Ok(None);
        }
        bail!("ip address show dev {name}: {}", error.trim());
    }
    let links: Vec<Link> = serde_json::from_slice(&output.stdout).context("cannot read what ip prints")?;
    // ip prints an empty object for entries that it left out.
    Ok(links.into_iter().find(|link| !link.flags.is_empty()))
}

/// Names that container engines and hypervisors give to their interfaces.
const INNER: [&str; 8] = ["podman", "docker", "br-", "veth", "cni", "virbr", "vnet", "lxc"];

/// Addresses of this host on the networks around it: not those of `own`, the tunnel, nor of containers.
pub(super) async fn local_addresses(own: &str) -> anyhow::Result<Vec<IpAddr>> {
    let output = run(&["-json", "-details", "address", "show", "up"]).await?;
    if !output.status.success() {
        bail!("ip address show up: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    local(&output.stdout, own)
}

fn local(json: &[u8], own: &str) -> anyhow::Result<Vec<IpAddr>> {
    let links: Vec<Link> = serde_json::from_slice(json).context("cannot read what ip prints")?;
    let outer = |link: &&Link| {
        link.ifname != own
            && !matches!(link.kind(), "wireguard" | "tun" | "dummy")
            && !INNER.iter().any(|inner| link.ifname.starts_with(inner))
    };
    let infos = links.iter().filter(outer).flat_map(|link| &link.addr_info);
    let lasting = infos.filter(|info| info.scope == "global" && !info.temporary && !info.deprecated);
    let mut addresses: Vec<IpAddr> = lasting.map(|info| info.local).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// Gives `name` this address and no other, the MTU, and sets it up. Changes only what differs.
pub(super) async fn configure(name: &str, link: &Link, address: Ipv4Net, mtu: u32) -> anyhow::Result<()> {
    let has = link.addresses();
    // Removed first: of two addresses in one prefix the second would go with the first.
    for other in has.iter().filter(|other| **other != address) {
        succeed(&["address", "del", &other.to_string(), "dev", name]).await?;
    }
    if !has.contains(&address) {
        succeed(&["address", "add", &address.to_string(), "dev", name]).await?;
    }
    if link.mtu != mtu || !link.flags.iter().any(|flag| flag == "UP") {
        // A userspace device is made with an MTU of 1500 (trap 7), and an attached one is not set up (trap 5).
        succeed(&["link", "set", "dev", name, "mtu", &mtu.to_string(), "up"]).await?;
    }
    Ok(())
}

/// Our mark on routes, so that those of others stay as they are.
const PROTOCOL: &str = "187";

/// A route as `ip` shows it.
#[derive(Debug, Deserialize)]
struct Route {
    dst: String,
    #[serde(default)]
    metrics: Vec<BTreeMap<String, u32>>,
}

/// Holds packets to these peers to so many bytes, by a route to each; others get what the interface takes. A route
/// instead of a smaller interface: one narrow path is no reason to send small packets to all, and larger ones can still
/// be tried on it.
pub(super) async fn narrow(
    name: &str,
    own: Ipv4Addr,
    wanted: &BTreeMap<Ipv4Addr, u16>,
) -> anyhow::Result<()> {
    let output = run(&["-json", "-4", "route", "show", "dev", name, "proto", PROTOCOL]).await?;
    if !output.status.success() {
        bail!("ip route show dev {name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let has = narrowed(&output.stdout)?;
    for peer in has.keys().filter(|peer| !wanted.contains_key(peer)) {
        succeed(&["route", "del", &peer.to_string(), "dev", name, "proto", PROTOCOL]).await?;
    }
    for (peer, mtu) in wanted.iter().filter(|(peer, mtu)| has.get(peer) != Some(*mtu)) {
        let (peer, own, mtu) = (peer.to_string(), own.to_string(), mtu.to_string());
        succeed(&["route", "replace", &peer, "dev", name, "src", &own, "proto", PROTOCOL, "mtu", &mtu])
            .await?;
    }
    Ok(())
}

fn narrowed(json: &[u8]) -> anyhow::Result<BTreeMap<Ipv4Addr, u16>> {
    if json.trim_ascii().is_empty() {
        return Ok(BTreeMap::new());
    }
    let routes: Vec<Route> = serde_json::from_slice(json).context("cannot read what ip prints of routes")?;
    let mtu = |route: &Route| route.metrics.iter().find_map(|metrics| metrics.get("mtu").copied());
    let one = |route: Route| {
        let mtu = mtu(&route).and_then(|mtu| u16::try_from(mtu).ok()).unwrap_or(0);
        Some((route.dst.parse().ok()?, mtu))
    };
    Ok(routes.into_iter().filter_map(one).collect())
}

pub(super) async fn delete(name: &str) -> anyhow::Result<()> {
    succeed(&["link", "del", "dev", name]).await
}

async fn succeed(arguments: &[&str]) -> anyhow::Result<()> {
    let output = run(arguments).await?;
    if !output.status.success() {
        bail!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

async fn run(arguments: &[&str]) -> anyhow::Result<std::process::Output> {
    let mut command = Command::new("ip");
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(LIMIT, command.output()).await {
        Ok(output) => output.context("cannot run ip: install iproute2"),
        Err(_) => bail!("ip {} did not end in {LIMIT:?}", arguments.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_containers_tunnels_and_days_are_left_out() {
        let link = |name: &str, kind: &str, info: &str| {
            format!(
                r#"{{"ifname":"{name}","flags":["UP"],"mtu":1500,"linkinfo":{{"info_kind":"{kind}"}},"addr_info":[{info}]}}"#
            )
        };
        let v4 =
            |local: &str| format!(r#"{{"family":"inet","local":"{local}","prefixlen":24,"scope":"global"}}"#);
        let v6 = r#"{"family":"inet6","local":"2001:db8::7","prefixlen":64,"scope":"global"},
                    {"family":"inet6","local":"2001:db8::99","prefixlen":64,"scope":"global","temporary":true},
                    {"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link"}"#;
        let links = [
            link("lo", "", r#"{"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host"}"#),
            link("eth0", "", &format!("{},{v6}", v4("192.168.7.5"))),
            link("wh0", "tun", &v4("10.50.0.2")),
            link("wg1", "wireguard", &v4("10.9.0.2")),
            link("podman1", "bridge", &v4("10.89.0.1")),
            link("br0", "bridge", &v4("172.20.0.5")),
            "{}".to_owned(),
        ];
        let read = local(format!("[{}]", links.join(",")).as_bytes(), "wh0").expect("addresses");
        let read: Vec<String> = read.iter().map(IpAddr::to_string).collect();
        assert_eq!(read, ["172.20.0.5", "192.168.7.5", "2001:db8::7"]);
    }

    #[test]
    fn routes_are_read_with_their_sizes() {
        let text = r#"[{"dst":"10.50.0.2","protocol":"187","scope":"link","prefsrc":"10.50.0.1","flags":[],
                        "metrics":[{"mtu":1312}]},{"dst":"10.50.0.3","scope":"link","flags":[]}]"#;
        let read = narrowed(text.as_bytes()).expect("routes");
        let wanted = [([10, 50, 0, 2].into(), 1312), ([10, 50, 0, 3].into(), 0)];
        assert_eq!(read, BTreeMap::from(wanted));
        assert!(narrowed(b"\n").expect("none").is_empty());
    }
}
