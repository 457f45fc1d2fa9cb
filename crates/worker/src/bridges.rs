//! Bridges of the containers' networks. A bridge has the lowest hardware address of what is plugged into it, unless it was
//! given one, which older netavarks do not do. So it may change whenever a container comes or goes, while the others answer
//! the old one until their ARP entry expires: half a minute in which nobody reaches them. The host's own ARP request does
//! not help: it is sent from the published address, so that it tells nothing about the gateway's.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;
use tracing::warn;

/// Of all interfaces of the host: an address that changed is announced (`ip-sysctl` of the kernel's documentation).
const ARP_NOTIFY: &str = "/proc/sys/net/ipv4/conf/all/arp_notify";

/// Lets the host announce each new address of a bridge, so that its containers know it at once.
pub fn announce() {
    if let Err(error) = turn_on(Path::new(ARP_NOTIFY)) {
        warn!(
            %error,
            "instances may be out of reach for half a minute when others start: set net.ipv4.conf.all.arp_notify = 1 on this host"
        );
    }
}

/// Whether the kernel shows bridged packets to the firewall (`br_netfilter`, as Docker and others have it).
const FILTERED: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";
const LIMIT: Duration = Duration::from_secs(5);

/// A port of a bridge, as `bridge` tells it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Port {
    ifname: String,
    master: String,
    hairpin: bool,
}

/// Lets a container be sent its own packets: one that calls its own app by name may be the one that answers. On a host
/// whose kernel filters bridged packets they do not leave the bridge, which by itself sends nothing back where it came from.
pub(crate) async fn reflect(bridges: &BTreeSet<String>) -> anyhow::Result<()> {
    if bridges.is_empty() || fs::read_to_string(FILTERED).map_or(true, |told| told.trim() == "0") {
        return Ok(());
    }
    let told = bridge(&["-j", "-d", "link", "show"]).await?;
    let ports: Vec<Port> = serde_json::from_slice(&told)?;
    for port in ports.iter().filter(|port| !port.hairpin && bridges.contains(&port.master)) {
        bridge(&["link", "set", "dev", &port.ifname, "hairpin", "on"]).await?;
    }
    Ok(())
}

async fn bridge(arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let child = Command::new("bridge").args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(LIMIT, child).await??;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "bridge {}: {}", arguments.join(" "), said.trim());
    Ok(output.stdout)
}

fn turn_on(switch: &Path) -> std::io::Result<()> {
    if fs::read_to_string(switch)?.trim() != "0" {
        return Ok(());
    }
    fs::write(switch, "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_is_turned_on_and_left_as_it_was_set() {
        let folder = tempfile::tempdir().expect("folder");
        let switch = folder.path().join("arp_notify");
        assert!(turn_on(&switch).is_err());
        for (before, after) in [("0\n", "1"), ("1\n", "1\n"), ("2\n", "2\n")] {
            fs::write(&switch, before).expect("written");
            turn_on(&switch).expect("on");
            assert_eq!(fs::read_to_string(&switch).expect("read"), after);
        }
    }
}
