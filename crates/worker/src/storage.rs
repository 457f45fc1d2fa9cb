//! Tells what this host's Podman holds besides the instances: containers of others, and volumes with their sizes. Nothing
//! here changes anything.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use protocol::message::FromAgent;
use protocol::storage::{MAX_CONTAINERS, MAX_NAME, MAX_VOLUMES, OtherContainer, StorageReport, Volume};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::instances::label;
use crate::podman::{AnyContainer, DiskUsage, Podman};
use crate::uplink::Uplink;

/// Between two looks at the containers.
const LOOK: Duration = Duration::from_mins(1);
/// Between two measurements: Podman walks through all volumes.
const MEASURE: Duration = Duration::from_mins(10);

/// Reports until `stop`: on connect, when something is new, and after each measurement.
pub async fn run(
    podman: Podman,
    uplink: impl Uplink,
    connected: Arc<Notify>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut measured: Option<(DateTime<Utc>, DiskUsage)> = None;
    let mut measure_at = Instant::now();
    let mut told = None;
    loop {
        if Instant::now() >= measure_at {
            match podman.disk_usage().await {
                Ok(usage) => measured = Some((Utc::now(), usage)),
                Err(error) => debug!(%error, "the disk was not measured this time"),
            }
            measure_at = Instant::now() + MEASURE;
        }
        match podman.any_containers().await {
            Ok(all) => {
                let disk = podman.graph_root().await.ok().and_then(node::facts::numbers::space);
                let report = StorageReport { disk, ..report(&all, measured.as_ref()) };
                // How full the disk is is another number each time.
                let new = StorageReport { disk: None, ..report.clone() };
                if told.as_ref() != Some(&new) {
                    uplink.say(FromAgent::StorageReport(report)).await;
                    told = Some(new);
                }
            }
            Err(error) => debug!(%error, "the containers were not listed this time"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = connected.notified() => told = None,
            () = stop.cancelled() => return Ok(()),
        }
    }
}

fn report(all: &[AnyContainer], measured: Option<&(DateTime<Utc>, DiskUsage)>) -> StorageReport {
    let written: HashMap<&str, i64> = measured
        .map(|(_, usage)| usage.containers.iter().map(|one| (one.id.as_str(), one.written)).collect())
        .unwrap_or_default();
    let managed = [label::INSTANCE, label::RUN];
    let others = all.iter().filter(|one| !managed.iter().any(|label| one.labels.contains_key(*label)));
    let mut containers: Vec<OtherContainer> = others
        .map(|one| OtherContainer {
            id: short(&one.id),
            name: one.names.first().map(|name| short(name)).unwrap_or_default(),
            image: short(&one.image),
            state: short(&one.state),
            created_at: one.created,
            size_bytes: written.get(one.id.as_str()).and_then(|bytes| u64::try_from(*bytes).ok()),
        })
        .collect();
    containers.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
    let volumes = measured.map(|(_, usage)| usage.volumes.as_slice()).unwrap_or_default();
    let mut told: Vec<Volume> = volumes
        .iter()
        .map(|volume| Volume {
            name: short(&volume.name),
            size_bytes: u64::try_from(volume.size).unwrap_or(0),
            containers: u32::try_from(volume.links).unwrap_or(0),
        })
        .collect();
    told.sort_by(|one, other| (other.size_bytes, &one.name).cmp(&(one.size_bytes, &other.name)));
    let (container_count, volume_count) = (count(containers.len()), count(told.len()));
    containers.truncate(MAX_CONTAINERS);
    told.truncate(MAX_VOLUMES);
    let measured_at = measured.map(|(at, _)| *at);
    StorageReport { containers, container_count, volumes: told, volume_count, disk: None, measured_at }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn short(text: &str) -> String {
    text.chars().take(MAX_NAME).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::podman::{ContainerUsage, VolumeUsage};

    fn container(id: &str, name: &str, label: Option<&str>) -> AnyContainer {
        AnyContainer {
            id: id.to_owned(),
            names: vec![name.to_owned()],
            labels: label.map(|key| (key.to_owned(), "x".to_owned())).into_iter().collect::<BTreeMap<_, _>>(),
            image: "docker.io/library/postgres:17".to_owned(),
            state: "running".to_owned(),
            ..AnyContainer::default()
        }
    }

    #[test]
    fn containers_of_others_are_told_of_and_ours_are_not() {
        let all = [
            container("1", "ours", Some(label::INSTANCE)),
            container("2", "session", Some(label::RUN)),
            // Its image is ours, and somebody ran it by hand.
            container("3", "zebra", Some(label::IMAGE)),
            container("4", "postgres", None),
        ];
        let usage = DiskUsage {
            containers: vec![ContainerUsage { id: "4".to_owned(), written: 70 }],
            volumes: vec![
                VolumeUsage { name: "small".to_owned(), size: 1, links: 0 },
                VolumeUsage { name: "large".to_owned(), size: 9, links: 2 },
                VolumeUsage { name: "odd".to_owned(), size: -1, links: -1 },
            ],
        };
        let told = report(&all, None);
        assert_eq!(told.containers.iter().map(|one| one.size_bytes).collect::<Vec<_>>(), [None, None]);
        let told = report(&all, Some(&(Utc::now(), usage)));
        let names: Vec<_> = told.containers.iter().map(|one| (one.name.as_str(), one.size_bytes)).collect();
        assert_eq!(names, [("postgres", Some(70)), ("zebra", None)]);
        let volumes: Vec<_> = told.volumes.iter().map(|one| (one.name.as_str(), one.size_bytes)).collect();
        assert_eq!(volumes, [("large", 9), ("small", 1), ("odd", 0)]);
    }

    #[test]
    fn a_host_with_very_many_containers_tells_of_some_and_how_many_there_are() {
        let all: Vec<_> = (0..300).map(|n| container(&n.to_string(), &"x".repeat(500), None)).collect();
        let told = report(&all, None);
        assert_eq!((told.containers.len(), told.container_count), (MAX_CONTAINERS, 300));
        assert_eq!(told.containers[0].name.len(), MAX_NAME);
    }
}
