//! What the instances use, every 5 s.

use std::collections::HashMap;
use std::time::Duration;

use chrono::Utc;
use protocol::message::FromAgent;
use protocol::report::{InstanceStats, Stats};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::disk_use::DiskUse;
use crate::instances::Observer;
use crate::podman::{ContainerStats, Podman};
use crate::uplink::Uplink;

const EVERY: Duration = Duration::from_secs(5);

/// Sends until `stop`. A sample that fails is left out.
pub async fn run(
    podman: Podman,
    observer: Observer,
    disks: DiskUse,
    uplink: impl Uplink,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut before: HashMap<String, ContainerStats> = HashMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return Ok(()),
        }
        let live = observer.live();
        if live.is_empty() {
            continue;
        }
        let containers: Vec<String> = live.keys().cloned().collect();
        let now = match podman.stats(&containers).await {
            Ok(now) => now,
            // One of them has just ended; the next sample has the others.
            Err(error) => {
                debug!(%error, "no numbers this time");
                continue;
            }
        };
        let instances = now.iter().filter_map(|sample| {
            let id = *live.get(&sample.container_id)?;
            let before = before.get(&sample.container_id);
            Some(InstanceStats {
                id,
                cpu_millis: before.map_or(0, |before| cpu_millis(before, sample)),
                memory_bytes: sample.memory,
                received_bytes: sample.received,
                sent_bytes: sample.sent,
                receive_rate: before.and_then(|before| rate(before, sample, |sample| sample.received)),
                send_rate: before.and_then(|before| rate(before, sample, |sample| sample.sent)),
                pids: Some(sample.pids),
                disk_bytes: disks.of(&sample.container_id),
            })
        });
        uplink.say(FromAgent::Stats(Stats { at: Utc::now(), instances: instances.collect() })).await;
        before = now.into_iter().map(|sample| (sample.container_id.clone(), sample)).collect();
    }
}

/// Thousandths of a core between two samples.
fn cpu_millis(before: &ContainerStats, now: &ContainerStats) -> u32 {
    let wall = now.system_nano.saturating_sub(before.system_nano);
    let used = now.cpu_nano.saturating_sub(before.cpu_nano);
    if wall == 0 { 0 } else { u32::try_from(u128::from(used) * 1000 / u128::from(wall)).unwrap_or(u32::MAX) }
}

/// Bytes a second between two samples; `None` when nothing can be said of them, as after a restart.
fn rate(before: &ContainerStats, now: &ContainerStats, bytes: fn(&ContainerStats) -> u64) -> Option<u64> {
    let wall = now.system_nano.checked_sub(before.system_nano).filter(|wall| *wall > 0)?;
    let moved = bytes(now).checked_sub(bytes(before))?;
    u64::try_from(u128::from(moved) * 1_000_000_000 / u128::from(wall)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_comes_from_two_samples() {
        let sample =
            |cpu_nano, system_nano| ContainerStats { cpu_nano, system_nano, ..ContainerStats::default() };
        assert_eq!(cpu_millis(&sample(0, 0), &sample(2_500_000_000, 5_000_000_000)), 500);
        assert_eq!(cpu_millis(&sample(9, 5), &sample(1, 10)), 0, "restarted in between");
        assert_eq!(cpu_millis(&sample(1, 5), &sample(9, 5)), 0, "the same sample");
    }

    #[test]
    fn a_rate_comes_from_two_samples_of_one_run() {
        let sample =
            |received, system_nano| ContainerStats { system_nano, received, ..ContainerStats::default() };
        let of = |before, now| rate(&before, &now, |sample| sample.received);
        assert_eq!(of(sample(1_000, 0), sample(11_000, 5_000_000_000)), Some(2_000));
        assert_eq!(of(sample(1_000, 0), sample(10, 5_000_000_000)), None, "restarted in between");
        assert_eq!(of(sample(1, 5), sample(2, 5)), None, "the same sample");
    }
}
