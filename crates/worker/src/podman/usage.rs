//! What everything that Podman holds takes on the disk, and containers whoever made them.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};

use super::types::or_default;
use super::{Error, Podman};

/// Podman walks through all volumes for it.
const WALK: Duration = Duration::from_mins(5);

/// One line of the list of containers, as far as those of others are told of.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct AnyContainer {
    pub id: String,
    #[serde(deserialize_with = "or_default")]
    pub names: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    pub image: String,
    pub state: String,
    #[serde(deserialize_with = "moment")]
    pub created: DateTime<Utc>,
}

/// What it is; versions of Podman write it as text or in Unix seconds.
fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Moment {
        Text(DateTime<Utc>),
        Seconds(i64),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Moment::deserialize(deserializer)? {
        Moment::Text(at) => at,
        Moment::Seconds(seconds) => DateTime::from_timestamp(seconds, 0).unwrap_or_default(),
        Moment::Other(_) => DateTime::default(),
    })
}

/// The disk as Podman's storage takes it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DiskUsage {
    #[serde(deserialize_with = "or_default")]
    pub containers: Vec<ContainerUsage>,
    #[serde(deserialize_with = "or_default")]
    pub volumes: Vec<VolumeUsage>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerUsage {
    #[serde(rename = "ContainerID")]
    pub id: String,
    /// Bytes that it wrote over its image.
    #[serde(rename = "RWSize")]
    pub written: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct VolumeUsage {
    #[serde(rename = "VolumeName")]
    pub name: String,
    #[serde(rename = "Size")]
    pub size: i64,
    /// Containers that use it.
    #[serde(rename = "Links")]
    pub links: i64,
}

impl Podman {
    /// All containers, whoever made them and whatever their state.
    pub async fn any_containers(&self) -> Result<Vec<AnyContainer>, Error> {
        self.get("/containers/json", &[("all", "true")]).await
    }

    /// Takes long where there is much.
    pub async fn disk_usage(&self) -> Result<DiskUsage, Error> {
        self.json(self.request(reqwest::Method::GET, "/system/df", &[]).timeout(WALK)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_read_whatever_else_podman_says_of_it() {
        let text = r#"[{ "Id": "aa", "Names": null, "Labels": null, "Image": "docker.io/library/a:1", "State": "exited",
                         "Created": "2026-11-22T10:00:00.123Z", "Mounts": [] },
                       { "Id": "bb", "Created": 1790000000 }, { "Id": "cc", "Created": {} }]"#;
        let read: Vec<AnyContainer> = serde_json::from_str(text).expect("readable");
        let created: Vec<i64> = read.iter().map(|container| container.created.timestamp()).collect();
        assert_eq!(created, [1_795_341_600, 1_790_000_000, 0]);
        assert_eq!((read[0].image.as_str(), read[0].names.len()), ("docker.io/library/a:1", 0));
    }

    #[test]
    fn the_use_of_the_disk_is_read_also_where_there_is_none() {
        let usage: DiskUsage =
            serde_json::from_str(r#"{ "Images": null, "Containers": null, "Volumes": null }"#)
                .expect("readable");
        assert!(usage.containers.is_empty() && usage.volumes.is_empty());
    }
}
