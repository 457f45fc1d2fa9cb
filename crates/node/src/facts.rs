//! What the host is, what it runs, and how it is doing.

pub mod numbers;
mod os;

use std::path::Path;

use chrono::Utc;
use nix::sys::statvfs::statvfs;
use protocol::report::{Heartbeat, HostFacts};
use sysinfo::System;

const MIB: u64 = 1024 * 1024;

/// What the host is. `podman`, `wireguard` and `enforced` are left to the agent that knows them.
pub fn host_facts() -> HostFacts {
    let mut system = System::new();
    system.refresh_memory();
    HostFacts {
        architecture: std::env::consts::ARCH.to_owned(),
        kernel: System::kernel_version().unwrap_or_default(),
        cpus: std::thread::available_parallelism().map_or(0, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
        memory_mb: system.total_memory() / MIB,
        podman: None,
        wireguard: None,
        engine: None,
        proxy_port: None,
        worker_port: None,
        probe: None,
        os: os::read(Path::new("/")),
        enforced: None,
    }
}

/// The numbers of a heartbeat, read now.
pub fn heartbeat() -> Heartbeat {
    let mut system = System::new();
    system.refresh_memory();
    #[expect(clippy::cast_possible_truncation, reason = "a load has two digits of meaning")]
    let load = System::load_average().one as f32;
    Heartbeat {
        at: Utc::now(),
        load,
        memory_used_mb: system.used_memory() / MIB,
        disk_used_percent: disk_used_percent(Path::new("/var/lib"))
            .or_else(|| disk_used_percent(Path::new("/")))
            .unwrap_or_default(),
    }
}

/// Of the file system that holds `path`, as `df` counts: what an unprivileged process can no longer have.
fn disk_used_percent(path: &Path) -> Option<f32> {
    let status = statvfs(path).ok()?;
    let used = status.blocks().checked_sub(status.blocks_free())?;
    let usable = used + status.blocks_available();
    #[expect(clippy::cast_precision_loss, reason = "a percentage has two digits of meaning")]
    let percent = (usable > 0).then(|| used as f32 * 100.0 / usable as f32);
    percent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_and_heartbeat_describe_a_real_machine() {
        let facts = host_facts();
        assert!(facts.cpus > 0 && facts.memory_mb > 0 && !facts.kernel.is_empty(), "{facts:?}");
        let beat = heartbeat();
        assert!(beat.memory_used_mb > 0 && beat.memory_used_mb <= facts.memory_mb, "{beat:?}");
        assert!((0.0..=100.0).contains(&beat.disk_used_percent), "{beat:?}");
    }
}
