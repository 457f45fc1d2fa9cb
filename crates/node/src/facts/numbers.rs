//! How the host is doing, in numbers.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use chrono::Utc;
use nix::sys::statvfs::statvfs;
use protocol::numbers::{NodeNumbers, Space};
use sysinfo::System;

/// Where Podman keeps images and containers unless it is told otherwise.
const CONTAINERS: &str = "/var/lib/containers";
/// Beginnings of the names of interfaces that carry what others carry as well, or nothing of the host's own.
const INNER: [&str; 12] =
    ["lo", "wh", "veth", "podman", "cni", "docker", "br-", "virbr", "vnet", "tun", "tap", "ifb"];

/// Reads the numbers. The use of the processors is that since the reading before.
#[derive(Debug)]
pub struct Meter(System);

impl Default for Meter {
    fn default() -> Self {
        let mut system = System::new();
        system.refresh_cpu_usage();
        Self(system)
    }
}

impl Meter {
    pub fn read(&mut self) -> NodeNumbers {
        let system = &mut self.0;
        system.refresh_cpu_usage();
        system.refresh_memory();
        let load = System::load_average();
        let (received_bytes, sent_bytes) =
            fs::read_to_string("/proc/net/dev").map(|text| passed(&text)).unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, reason = "a load has two digits of meaning")]
        let load = [load.one as f32, load.five as f32, load.fifteen as f32];
        NodeNumbers {
            at: Utc::now(),
            cpu_percent: system.global_cpu_usage().clamp(0.0, 100.0),
            load,
            memory: Space { used_bytes: system.used_memory(), total_bytes: system.total_memory() },
            swap: Space { used_bytes: system.used_swap(), total_bytes: system.total_swap() },
            root: space(Path::new("/")).unwrap_or_default(),
            containers: of_another_disk(Path::new(CONTAINERS), Path::new("/")),
            received_bytes,
            sent_bytes,
            uptime_s: System::uptime(),
        }
    }
}

/// The disk that holds `path`, as `df` counts: what is kept for root is in neither number.
pub fn space(path: &Path) -> Option<Space> {
    let status = statvfs(path).ok()?;
    let used = status.blocks().checked_sub(status.blocks_free())?;
    let block = status.fragment_size();
    Some(Space { used_bytes: used * block, total_bytes: (used + status.blocks_available()) * block })
}

fn of_another_disk(path: &Path, root: &Path) -> Option<Space> {
    let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).ok();
    if device(path)? == device(root)? { None } else { space(path) }
}

/// Bytes received and sent by the host's own interfaces, out of `/proc/net/dev`.
fn passed(text: &str) -> (u64, u64) {
    let own = |name: &&str| !INNER.iter().any(|inner| name.starts_with(inner));
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| own(&name.trim()))
        .filter_map(|(_, counts)| {
            let mut counts = counts.split_whitespace();
            Some((counts.next()?.parse::<u64>().ok()?, counts.nth(7)?.parse::<u64>().ok()?))
        })
        .fold((0, 0), |(received, sent), (more_received, more_sent)| {
            (received.saturating_add(more_received), sent.saturating_add(more_sent))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passed_is_that_of_the_hosts_own_interfaces() {
        let text = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 1000 1 0 0 0 0 0 0 1000 1 0 0 0 0 0 0
  eth0: 10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0
enp3s0: 100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0
   wh0: 7000 1 0 0 0 0 0 0 7000 1 0 0 0 0 0 0
veth12: 7000 1 0 0 0 0 0 0 7000 1 0 0 0 0 0 0
";
        assert_eq!(passed(text), (110, 220));
        assert_eq!(passed("nonsense\n eth0: 1 2"), (0, 0));
    }

    #[test]
    fn the_numbers_are_those_of_a_real_machine() {
        let mut meter = Meter::default();
        let numbers = meter.read();
        for space in [numbers.memory, numbers.root] {
            assert!(space.used_bytes > 0 && space.used_bytes <= space.total_bytes, "{numbers:?}");
        }
        assert!((0.0..=100.0).contains(&numbers.cpu_percent) && numbers.uptime_s > 0, "{numbers:?}");
    }

    #[test]
    fn a_folder_on_the_disk_of_the_root_is_not_told_twice() {
        let folder = tempfile::tempdir().expect("temp dir");
        assert_eq!(of_another_disk(folder.path(), folder.path()), None);
        assert_eq!(of_another_disk(&folder.path().join("none"), folder.path()), None);
        assert!(of_another_disk(Path::new("/proc"), folder.path()).is_some());
    }
}
