//! A thin client of Podman's own REST interface (libpod) over its Unix socket. Reads tolerantly: fields that this
//! version of Podman does not send are empty, so one odd container never spoils a list.

mod containers;
mod exec;
mod files;
mod images;
mod run;
mod storage;
mod types;
mod usage;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

pub use containers::ContainerEvent;
pub use exec::{Exec, NewExec};
pub use images::{OUR_NAMES, PullError};
pub use run::Ended;
pub use storage::Storage;
pub use types::*;
pub use usage::{AnyContainer, ContainerUsage, DiskUsage, VolumeUsage};

/// For everything that Podman answers from memory or disk.
const QUICK: Duration = Duration::from_mins(1);
/// For what moves an image.
const BULK: Duration = Duration::from_mins(30);

/// Why a call had no success; texts are Podman's own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "cannot reach Podman at {socket}: {source}. Start its service: `systemctl enable --now podman.socket`"
    )]
    Unreachable { socket: PathBuf, source: reqwest::Error },
    #[error("Podman does not know it: {0}")]
    NotFound(String),
    #[error("Podman sees a conflict: {0}")]
    Conflict(String),
    #[error("Podman refused the request: {0}")]
    Invalid(String),
    #[error("Podman failed ({status}): {message}")]
    Failed { status: u16, message: String },
    #[error("the limit of its disk cannot be set: {0}")]
    Unlimited(String),
    #[error("Podman's answer broke off")]
    Broken(#[source] reqwest::Error),
    #[error("Podman answered what this version does not understand: {0}")]
    Answer(#[source] serde_json::Error),
}

impl Error {
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound(_))
    }

    fn from_answer(status: StatusCode, message: String) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound(message),
            StatusCode::CONFLICT => Self::Conflict(message),
            StatusCode::BAD_REQUEST => Self::Invalid(message),
            // Podman 4.3 says 500 where a name is taken.
            _ if message.contains("already in use") || message.contains("already exists") => {
                Self::Conflict(message)
            }
            _ => Self::Failed { status: status.as_u16(), message },
        }
    }
}

/// Talks to one Podman. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Podman {
    http: reqwest::Client,
    socket: PathBuf,
    /// See [`Podman::graph_root`].
    graph_root: Arc<OnceCell<PathBuf>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    message: String,
}

impl Podman {
    pub fn new(socket: &Path) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .unix_socket(socket)
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, socket: socket.to_owned(), graph_root: Arc::default() })
    }

    pub async fn version(&self) -> Result<Version, Error> {
        self.get("/version", &[]).await
    }

    /// Creates the network unless there is one of its name, and returns the one that is there.
    pub async fn ensure_network(&self, network: &NewNetwork) -> Result<Network, Error> {
        let path = format!("/networks/{}/json", network.name);
        match self.get(&path, &[]).await {
            Err(Error::NotFound(_)) => {}
            found => return found,
        }
        match self.send(self.request(Method::POST, "/networks/create", &[]).json(network)).await {
            // Made by another instance in between.
            Ok(_) | Err(Error::Conflict(_)) => self.get(&path, &[]).await,
            Err(error) => Err(error),
        }
    }

    /// Names of all networks with `label`.
    pub async fn networks(&self, label: &str) -> Result<Vec<String>, Error> {
        let all = self.networks_in_full(label).await?;
        Ok(all.into_iter().map(|network| network.name).collect())
    }

    pub async fn networks_in_full(&self, label: &str) -> Result<Vec<Network>, Error> {
        let filters = filters(&serde_json::json!({ "label": [label] }));
        self.get("/networks/json", &[("filters", &filters)]).await
    }

    /// Refused while a container uses it.
    pub async fn remove_network(&self, name: &str) -> Result<(), Error> {
        self.send(self.request(Method::DELETE, &format!("/networks/{name}"), &[])).await.map(drop)
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
        let mut url = url::Url::parse("http://podman/v4.0.0/libpod").expect("a constant URL");
        url.set_path(&format!("/v4.0.0/libpod{path}"));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.http.request(method, url).timeout(QUICK)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let response = request.send().await.map_err(|source| Error::Unreachable {
            socket: self.socket.clone(),
            source: source.without_url(),
        })?;
        let status = response.status();
        let as_wanted = [StatusCode::NOT_MODIFIED, StatusCode::SWITCHING_PROTOCOLS].contains(&status);
        if status.is_success() || as_wanted {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        let message = serde_json::from_str::<ErrorBody>(&text).map_or(text, |body| body.message);
        Err(Error::from_answer(status, message))
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        let body = self.send(request).await?.bytes().await.map_err(Error::Broken)?;
        serde_json::from_slice(&body).map_err(Error::Answer)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, Error> {
        self.json(self.request(Method::GET, path, query)).await
    }
}

fn filters(filters: &impl Serialize) -> String {
    serde_json::to_string(filters).expect("filters have string keys only")
}

/// Image names as Docker reads them: no registry means Docker Hub, no namespace means `library`, no tag means
/// `latest`. An image id stays as it is.
pub fn normalized_reference(reference: &str) -> String {
    if reference.starts_with("sha256:") {
        return reference.to_owned();
    }
    let (first, rest) = reference.split_once('/').unwrap_or(("", reference));
    let is_registry = first.contains(['.', ':']) || first == "localhost";
    let full = match (first, is_registry) {
        ("", _) => format!("docker.io/library/{rest}"),
        (_, true) => reference.to_owned(),
        (_, false) => format!("docker.io/{reference}"),
    };
    let last = full.rsplit('/').next().unwrap_or(&full);
    if last.contains([':', '@']) { full } else { format!("{full}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_names_are_read_as_docker_reads_them() {
        for (given, full) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("busybox:1", "docker.io/library/busybox:1"),
            ("grafana/grafana", "docker.io/grafana/grafana:latest"),
            ("ghcr.io/a/b@sha256:00", "ghcr.io/a/b@sha256:00"),
            ("localhost/a", "localhost/a:latest"),
            ("reg.example:5000/a", "reg.example:5000/a:latest"),
            ("docker.io/library/node:22-slim", "docker.io/library/node:22-slim"),
        ] {
            assert_eq!(normalized_reference(given), full, "{given}");
        }
    }

    #[test]
    fn answers_become_typed_errors() {
        let taken = "creating container storage: the container name \"a\" is already in use by b";
        assert!(matches!(
            Error::from_answer(StatusCode::INTERNAL_SERVER_ERROR, taken.to_owned()),
            Error::Conflict(_)
        ));
        assert!(Error::from_answer(StatusCode::NOT_FOUND, "no such container".to_owned()).is_not_found());
    }
}
