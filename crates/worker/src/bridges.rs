//! Bridges of the containers' networks. A bridge has the lowest hardware address of what is plugged into it, unless it was
//! given one, which older netavarks do not do. So it may change whenever a container comes or goes, while the others answer
//! the old one until their ARP entry expires: half a minute in which nobody reaches them. The host's own ARP request does
//! not help: it is sent from the published address, so that it tells nothing about the gateway's.

use std::fs;
use std::path::Path;

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
