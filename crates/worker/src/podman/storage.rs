//! Podman's storage on the disk of this host.

use std::fs::File;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::Deserialize;

use super::Podman;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Info {
    store: Store,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Store {
    graph_root: PathBuf,
}

impl Podman {
    /// Images that are here stay here: their files are on the disk when this returns. Podman does not wait for that, so
    /// a host that loses power may come back with an image that Podman lists and whose layers are empty files.
    ///
    /// # Errors
    /// When the storage is not on this host, or its disk fails.
    pub async fn flush_storage(&self) -> anyhow::Result<()> {
        let info: Info = self.get("/info", &[]).await?;
        let root = info.store.graph_root;
        let flush = move || {
            let folder = File::open(&root).with_context(|| format!("cannot open {}", root.display()))?;
            nix::unistd::syncfs(&folder)
                .with_context(|| format!("cannot flush the disk of {}", root.display()))
        };
        tokio::task::spawn_blocking(flush).await?
    }
}
