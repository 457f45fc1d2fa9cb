//! The side that lacks the image. What comes is laid out as a folder from which Podman pulls; it does not open the
//! files of layers that it has, and checks the digest of every other.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use protocol::spec::{ImageSource, ImageSpec};
use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;
use tracing::{info, warn};

use super::chunks::Chunks;
use super::{MAX_LAYERS, digest};
use crate::podman::{Error, Podman};

/// For an image to come, and again for Podman to take it in.
const BULK: Duration = Duration::from_mins(30);
/// For the list of layers.
const LIST: Duration = Duration::from_secs(30);
/// Of a manifest or configuration.
const MAX_JSON: u64 = 4 * 1024 * 1024;

/// Takes images from other workers.
#[derive(Debug, Clone)]
pub(crate) struct Taker {
    podman: Podman,
    http: reqwest::Client,
    /// Where images on their way are.
    folder: PathBuf,
}

impl Taker {
    pub(crate) fn new(podman: Podman, state_dir: &Path) -> anyhow::Result<Self> {
        let options = daemon::http::ClientOptions { timeout: Some(BULK), root_pem: None, direct: true };
        let folder = state_dir.join("handover");
        // What a former run of the agent left there is of no use.
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => fs::create_dir_all(&folder)?,
        }
        Ok(Self { podman, http: daemon::http::client(&options)?, folder })
    }

    /// Gets `image` from the worker at `source`.
    pub(crate) async fn fetch(&self, image: &ImageSpec, source: &ImageSource) -> anyhow::Result<()> {
        let url = format!("http://{}/v1/images/{}", source.address, image.id);
        let list = self.http.get(format!("{url}/layers")).bearer_auth(&source.ticket).timeout(LIST);
        let layers: Vec<String> = answer(list).await?.json().await.map_err(reqwest::Error::without_url)?;
        anyhow::ensure!(layers.len() <= MAX_LAYERS, "it has {} layers", layers.len());
        let mut have = places(&layers, &self.known().await?);
        if !have.is_empty()
            && let Err(error) = self.transfer(image, source, &have).await
        {
            // A layer may have gone since it was seen.
            warn!(image.id, error = format!("{error:#}"), "cannot use the layers that are here");
            have.clear();
        }
        if have.is_empty() {
            self.transfer(image, source, &have).await?;
        }
        info!(image.id, source = %source.address, layers = layers.len(), had = have.len(), "fetched the image");
        Ok(())
    }

    async fn transfer(&self, image: &ImageSpec, source: &ImageSource, have: &[String]) -> anyhow::Result<()> {
        let url = format!("http://{}/v1/images/{}?have={}", source.address, image.id, have.join(","));
        let sent = answer(self.http.get(url).bearer_auth(&source.ticket)).await?;
        let archive = Chunks::new(Box::pin(sent.bytes_stream()));
        let folder = Folder::make(&self.folder)?;
        let path = folder.0.clone();
        tokio::task::spawn_blocking(move || lay_out(archive, &path))
            .await?
            .context("the image is damaged")?;
        pull(&folder.0).await?;
        let taken = self.podman.image(&image.id).await?.context("sent another image")?;
        self.name(&image.id, &taken.repo_tags, &folder).await.context("cannot name the image")
    }

    /// Podman names what it pulls from a folder by that folder.
    async fn name(&self, id: &str, names: &[String], folder: &Folder) -> Result<(), Error> {
        self.podman.name_received(id).await?;
        let folder = folder.0.file_name().unwrap_or_default().to_string_lossy();
        for name in names.iter().filter(|name| name.contains(&*folder)) {
            self.podman.remove_image(name).await?;
        }
        Ok(())
    }

    /// Layers of all images on this host.
    async fn known(&self) -> anyhow::Result<BTreeSet<String>> {
        let mut layers = BTreeSet::new();
        for listed in self.podman.all_images().await? {
            // `None` when it was removed just now.
            if let Some(image) = self.podman.image(&listed.id).await? {
                layers.extend(image.root_fs.layers);
            }
        }
        Ok(layers)
    }
}

/// The answer, if it is one of success.
async fn answer(request: reqwest::RequestBuilder) -> anyhow::Result<reqwest::Response> {
    let response = request.send().await.map_err(reqwest::Error::without_url)?;
    let status = response.status();
    if !status.is_success() {
        let said = response.text().await.unwrap_or_default();
        anyhow::bail!("answered {status}: {}", said.chars().take(200).collect::<String>());
    }
    Ok(response)
}

fn places(layers: &[String], known: &BTreeSet<String>) -> Vec<String> {
    let had = layers.iter().enumerate().filter(|(_, layer)| known.contains(*layer));
    had.map(|(place, _)| place.to_string()).collect()
}

/// Podman's own copy of an image is made from it; then it goes.
struct Folder(PathBuf);

impl Folder {
    fn make(within: &Path) -> io::Result<Self> {
        let path = within.join(protocol::ids::InstanceId::new().to_string());
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            warn!(folder = %self.0.display(), %error, "cannot remove");
        }
    }
}

async fn pull(folder: &Path) -> anyhow::Result<()> {
    let mut podman = Command::new("podman");
    podman
        .args(["pull", "--quiet"])
        .arg(format!("dir:{}", folder.display()))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(BULK, podman.output()).await.context("Podman took too long")??;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    anyhow::ensure!(output.status.success(), "Podman did not take the image: {last}");
    Ok(())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Archived {
    config: String,
    layers: Vec<String>,
}

/// Writes what is in `archive` to `folder` as Podman's `dir:` transport reads it.
fn lay_out(archive: impl Read, folder: &Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(archive);
    let (mut sizes, mut described) = (HashMap::new(), None);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        if path == "manifest.json" {
            described = Some(serde_json::from_reader::<_, Vec<Archived>>(entry.take(MAX_JSON))?);
            continue;
        }
        let Some((name, kind)) = path.split_once('.') else { continue };
        // Nothing but a digest names a file here.
        let Some(name) = digest(name).map(str::to_owned) else { continue };
        let size = match kind {
            "size" => {
                let mut text = String::new();
                entry.take(20).read_to_string(&mut text)?;
                text.parse().map_err(io::Error::other)?
            }
            "tar" | "json" => io::copy(&mut entry, &mut File::create_new(folder.join(&name))?)?,
            _ => continue,
        };
        sizes.insert(name, size);
    }
    let [image] = <[Archived; 1]>::try_from(described.unwrap_or_default())
        .map_err(|_| io::Error::other("it does not say what its image is"))?;
    let manifest = manifest(&image, &sizes).ok_or_else(|| io::Error::other("a layer is missing"))?;
    fs::write(folder.join("manifest.json"), manifest)?;
    fs::write(folder.join("version"), "Directory Transport Version: 1.1\n")
}

/// Image manifest version 2, schema 2: unlike OCI's, it leaves the configuration, and so the image's id, as it is.
fn manifest(image: &Archived, sizes: &HashMap<String, u64>) -> Option<String> {
    const DOCKER: &str = "application/vnd.docker";
    let blob = |file: &str, kind: &str| {
        let name = digest(file.split('.').next()?)?;
        let size = sizes.get(name)?;
        Some(
            json!({ "mediaType": format!("{DOCKER}.{kind}"), "size": size, "digest": format!("sha256:{name}") }),
        )
    };
    let layers = image.layers.iter().map(|file| blob(file, "image.rootfs.diff.tar"));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": format!("{DOCKER}.distribution.manifest.v2+json"),
        "config": blob(&image.config, "container.image.v1+json")?,
        "layers": layers.collect::<Option<Vec<_>>>()?,
    });
    Some(manifest.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, text) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            // As a hostile worker would write it: the library refuses such names.
            header.as_gnu_mut().expect("gnu").name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            archive.append(&header, text.as_bytes()).expect("entry");
        }
        archive.into_inner().expect("archive")
    }

    #[test]
    fn a_folder_has_what_came_and_a_manifest_of_everything() {
        let (base, top, config) = ("a".repeat(64), "b".repeat(64), "c".repeat(64));
        let described =
            format!(r#"[{{"Config":"{config}.json","RepoTags":[],"Layers":["{base}.tar","{top}.tar"]}}]"#);
        let sent = archive(&[
            (&format!("{base}.size"), "5000"),
            (&format!("{top}.tar"), "top"),
            (&format!("{config}.json"), "{}"),
            ("manifest.json", &described),
        ]);
        let folder = tempfile::tempdir().expect("folder");
        lay_out(sent.as_slice(), folder.path()).expect("laid out");
        assert!(!folder.path().join(&base).exists());
        assert_eq!(fs::read_to_string(folder.path().join(&top)).expect("layer"), "top");
        let manifest = fs::read_to_string(folder.path().join("manifest.json")).expect("manifest");
        let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
        assert_eq!(manifest["config"]["digest"], format!("sha256:{config}"));
        let layers = manifest["layers"].as_array().expect("layers");
        let told: Vec<_> = layers.iter().map(|layer| (&layer["digest"], &layer["size"])).collect();
        assert_eq!(
            told,
            [(&json!(format!("sha256:{base}")), &json!(5000)), (&json!(format!("sha256:{top}")), &json!(3))]
        );
    }

    #[test]
    fn no_entry_leaves_the_folder_and_no_layer_may_be_missing() {
        let folder = tempfile::tempdir().expect("folder");
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).expect("folder");
        let config = "c".repeat(64);
        let described = format!(r#"[{{"Config":"{config}.json","Layers":["{}.tar"]}}]"#, "a".repeat(64));
        let sent = archive(&[
            ("../escaped.tar", "x"),
            ("/tmp/escaped.tar", "x"),
            (&format!("{config}.json"), "{}"),
            ("manifest.json", &described),
        ]);
        let refused = lay_out(sent.as_slice(), &inner).expect_err("a layer is missing");
        assert_eq!(refused.to_string(), "a layer is missing");
        let written: Vec<_> =
            fs::read_dir(&inner).expect("folder").map(|entry| entry.expect("entry").file_name()).collect();
        assert_eq!(written, [config.as_str()]);
        assert!(!folder.path().join("escaped.tar").exists());
    }

    #[test]
    fn places_are_those_of_layers_that_are_here() {
        let layers = ["a", "b", "a"].map(str::to_owned);
        assert_eq!(places(&layers, &BTreeSet::from(["a".to_owned()])), ["0", "2"]);
    }
}
