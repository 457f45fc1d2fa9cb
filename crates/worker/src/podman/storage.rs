//! Podman's storage on the disk of this host.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use reqwest::Method;
use serde::Deserialize;

use super::{Error, Podman};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Info {
    store: Store,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Store {
    graph_root: PathBuf,
    graph_driver_name: String,
    graph_status: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    #[serde(rename = "SizeRw")]
    size_rw: u64,
}

/// How Podman stores images and containers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Storage {
    /// For example `overlay`.
    pub driver: String,
    /// The file system below, as Podman names it: `xfs`, `extfs`, `btrfs` …
    pub backing: String,
    pub root: PathBuf,
}

impl Podman {
    /// Where images lie on this host. Podman takes a third of a second to say it, so it is asked once.
    pub async fn graph_root(&self) -> Result<&Path, Error> {
        let ask = async || Ok(self.get::<Info>("/info", &[]).await?.store.graph_root);
        self.graph_root.get_or_try_init(ask).await.map(PathBuf::as_path)
    }

    pub async fn storage(&self) -> Result<Storage, Error> {
        let mut store = self.get::<Info>("/info", &[]).await?.store;
        let backing = store.graph_status.remove("Backing Filesystem").unwrap_or_default();
        Ok(Storage { driver: store.graph_driver_name, backing, root: store.graph_root })
    }

    /// The folder that is the container's root. With the driver `btrfs` nothing is mounted for it.
    pub async fn root_of(&self, container: &str) -> Result<PathBuf, Error> {
        let path = format!("/containers/{container}/mount");
        // A line of text, not JSON.
        let answer = self.send(self.request(Method::POST, &path, &[])).await?;
        let folder = PathBuf::from(answer.text().await.map_err(Error::Broken)?.trim());
        let path = format!("/containers/{container}/unmount");
        self.send(self.request(Method::POST, &path, &[])).await?;
        Ok(folder)
    }

    /// Bytes that the container has written to its own disk. Podman compares it with its image, file by file.
    pub async fn written_by(&self, container: &str) -> Result<u64, Error> {
        let path = format!("/containers/{container}/json");
        self.get::<Written>(&path, &[("size", "true")]).await.map(|found| found.size_rw)
    }

    /// Images that are here stay here: their files are on the disk when this returns. Podman does not wait for that, so
    /// a host that loses power may come back with an image that Podman lists and whose layers are empty files.
    ///
    /// # Errors
    /// When the storage is not on this host, or its disk fails.
    pub async fn flush_storage(&self) -> anyhow::Result<()> {
        let root = self.graph_root().await?.to_owned();
        let flush = move || {
            let folder = File::open(&root).with_context(|| format!("cannot open {}", root.display()))?;
            nix::unistd::syncfs(&folder)
                .with_context(|| format!("cannot flush the disk of {}", root.display()))
        };
        tokio::task::spawn_blocking(flush).await?
    }
}
