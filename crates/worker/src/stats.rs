//! What the instances use, every 5 s.

use std::collections::HashMap;
use std::time::Duration;

use chrono::Utc;
use protocol::message::FromAgent;
use protocol::report::{InstanceStats, Stats};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::instances::Observer;
use crate::podman::{ContainerStats, Podman};
use crate::uplink::Uplink;

const EVERY: Duration = Duration::from_secs(5);

/// Sends until `stop`. A sample that fails is left out.
pub async fn run(
    podman: Podman,
    observer: Observer,
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
            Some(InstanceStats {
                id,
                cpu_millis: before.get(&sample.container_id).map_or(0, |before| cpu_millis(before, sample)),
                memory_bytes: sample.memory,
                received_bytes: sample.received,
                sent_bytes: sample.sent,
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
}
