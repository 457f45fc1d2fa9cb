//! Images: look up, pull, hand over, take in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use protocol::job::RegistryLogin;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

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
        if let Some(RegistryLogin { username, password, .. }) = login {
            let login = json!({ "username": username, "password": password }).to_string();
            request = request.header("X-Registry-Auth", URL_SAFE.encode(login));
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
