//! Images: look up, pull, hand over, take in.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use protocol::job::RegistryLogin;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::containers::lines;
use super::types::{Image, ListedImage};
use super::{BULK, Error, Podman, filters};

/// Begin of the names that we give to images.
pub const OUR_NAMES: &str = "localhost/wisehosting/";

/// Why a pull had no success.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    #[error(transparent)]
    Podman(#[from] Error),
    /// In the registry's words.
    #[error("{0}")]
    Registry(String),
}

impl PullError {
    /// Whether the registry answered that there is no such image, or none for us.
    pub fn is_absent(&self) -> bool {
        let Self::Registry(text) = self else { return false };
        [
            "manifest unknown",
            "not found",
            "name unknown",
            "unauthorized",
            "denied",
            "invalid reference format",
        ]
        .iter()
        .any(|word| text.contains(word))
    }
}

/// Carries a login to Podman.
const LOGIN: &str = "X-Registry-Auth";

fn login_header(RegistryLogin { username, password, .. }: &RegistryLogin) -> String {
    URL_SAFE.encode(json!({ "username": username, "password": password }).to_string())
}

/// By host, as far as they are configured; and `search`, a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Info {
    registries: BTreeMap<String, Value>,
}

/// One line of the answer to a pull.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pulled {
    stream: String,
    error: String,
    id: String,
}

impl Podman {
    /// `None` when it is not on this host.
    pub async fn image(&self, name: &str) -> Result<Option<Image>, Error> {
        match self.get(&format!("/images/{name}/json"), &[]).await {
            Ok(image) => Ok(Some(image)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All images with `label`.
    pub async fn images(&self, label: &str) -> Result<Vec<ListedImage>, Error> {
        let filters = filters(&json!({ "label": [label] }));
        self.get("/images/json", &[("filters", &filters)]).await
    }

    /// All images of this host, whoever made them.
    pub async fn all_images(&self) -> Result<Vec<ListedImage>, Error> {
        self.get("/images/json", &[]).await
    }

    /// Gives the image `repo:tag` as one more name.
    pub async fn tag_image(&self, id: &str, repo: &str, tag: &str) -> Result<(), Error> {
        let query = [("repo", repo), ("tag", tag)];
        self.send(self.request(Method::POST, &format!("/images/{id}/tag"), &query)).await.map(drop)
    }

    /// All images of this host and what lies between the steps of builds.
    pub async fn image_tree(&self) -> Result<Vec<ListedImage>, Error> {
        self.get("/images/json", &[("all", "true")]).await
    }

    /// Names an image that came from elsewhere. Without a name of ours it would pass for a step of a build, with that one
    /// for somebody else's.
    pub async fn name_received(&self, id: &str) -> Result<(), Error> {
        let tag: String = id.trim_start_matches("sha256:").chars().take(12).collect();
        self.tag_image(id, &format!("{OUR_NAMES}received"), &tag).await
    }

    /// Takes one name away, and the image with its last, and with it those that it continued and that nothing else
    /// needs. Refused while a container uses it.
    pub async fn remove_image(&self, name: &str) -> Result<(), Error> {
        self.send(self.request(Method::DELETE, &format!("/images/{name}"), &[])).await.map(drop)
    }

    /// Pulls unless it is here; `said` hears the progress. The image's id.
    pub async fn pull(
        &self,
        reference: &str,
        login: Option<&RegistryLogin>,
        mut said: impl FnMut(&str) + Send,
    ) -> Result<String, PullError> {
        let query = [("reference", reference), ("policy", "missing")];
        let mut request = self.request(Method::POST, "/images/pull", &query).timeout(BULK);
        if let Some(login) = login {
            request = request.header(LOGIN, login_header(login));
        }
        let response = self.send(request).await?;
        let mut id = String::new();
        let mut answer = std::pin::pin!(lines(response.bytes_stream()));
        while let Some(line) = answer.next().await {
            let line: Pulled =
                serde_json::from_slice(&line.map_err(Error::Broken)?).map_err(Error::Answer)?;
            if !line.error.is_empty() {
                return Err(PullError::Registry(line.error));
            }
            if !line.stream.is_empty() {
                said(line.stream.trim_end());
            }
            if !line.id.is_empty() {
                id = line.id;
            }
        }
        if id.is_empty() {
            Err(PullError::Registry("the pull ended without an image".to_owned()))
        } else {
            Ok(id)
        }
    }

    /// Brings an image of this host to a registry, under the name `reference`.
    pub async fn push(&self, image: &str, reference: &str, login: &RegistryLogin) -> Result<(), Error> {
        let path = format!("/images/{image}/push");
        let request = self.request(Method::POST, &path, &[("destination", reference)]).timeout(BULK);
        self.send(request.header(LOGIN, login_header(login))).await.map(drop)
    }

    /// Whether this host's configuration (registries.conf) lets the registry do without TLS.
    pub async fn is_insecure(&self, host: &str) -> Result<bool, Error> {
        let info: Info = self.get("/info", &[]).await?;
        Ok(info.registries.get(host).is_some_and(|registry| registry["Insecure"] == json!(true)))
    }

    /// The image as `podman save` writes it: a docker-archive, which keeps the image's id.
    pub async fn save(
        &self,
        image: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, reqwest::Error>> + Send + use<>, Error> {
        let request =
            self.request(Method::GET, &format!("/images/{image}/get"), &[("format", "docker-archive")]);
        Ok(self.send(request.timeout(BULK)).await?.bytes_stream())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_image_is_told_from_an_unreachable_registry() {
        let said = |text: &str| PullError::Registry(text.to_owned()).is_absent();
        assert!(said("reading manifest 9 in docker.io/library/busybox: manifest unknown"));
        assert!(said("requested access to the resource is denied"));
        assert!(!said("pinging container registry registry-1.docker.io: dial tcp: i/o timeout"));
    }
}
