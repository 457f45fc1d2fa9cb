//! Files of running containers, as tar.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{Stream, TryStream};
use protocol::files::Kind;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;

use super::{Error, Podman};

/// For one copy, however large.
const COPY: Duration = Duration::from_hours(1);

/// Podman says what a path is in a header of this name, as JSON in base64.
const STAT: &str = "x-docker-container-path-stat";

#[derive(Deserialize)]
struct Stat {
    #[serde(rename = "isDir")]
    is_dir: bool,
}

impl Podman {
    /// What is at `path`.
    pub async fn kind_of_file(&self, container: &str, path: &str) -> Result<Kind, Error> {
        let request =
            self.request(Method::HEAD, &format!("/containers/{container}/archive"), &[("path", path)]);
        let answer = match self.send(request).await {
            Ok(answer) => answer,
            Err(Error::NotFound(_)) => return Ok(Kind::Absent),
            Err(error) => return Err(error),
        };
        let said = answer.headers().get(STAT).map_or(&[][..], |value| value.as_bytes());
        let json = STANDARD.decode(said).unwrap_or_default();
        let stat: Stat = serde_json::from_slice(&json).map_err(Error::Answer)?;
        Ok(if stat.is_dir { Kind::Folder } else { Kind::File })
    }

    /// The file or folder at `path`; its name is the first part of all paths.
    pub async fn files(
        &self,
        container: &str,
        path: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, reqwest::Error>> + Send + use<>, Error> {
        let request =
            self.request(Method::GET, &format!("/containers/{container}/archive"), &[("path", path)]);
        Ok(self.send(request.timeout(COPY)).await?.bytes_stream())
    }

    /// Unpacks a tar into the folder `path`; the files belong to the container's user. A folder is never replaced by a
    /// file, nor the other way round.
    pub async fn put_files<S>(&self, container: &str, path: &str, tar: S) -> Result<(), Error>
    where
        S: TryStream + Send + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        Bytes: From<S::Ok>,
    {
        // The app must go on serving.
        let query = [("path", path), ("pause", "false"), ("noOverwriteDirNonDir", "true")];
        let request = self
            .request(Method::PUT, &format!("/containers/{container}/archive"), &query)
            .header(CONTENT_TYPE, "application/x-tar")
            .body(reqwest::Body::wrap_stream(tar));
        self.send(request.timeout(COPY)).await.map(drop)
    }
}
