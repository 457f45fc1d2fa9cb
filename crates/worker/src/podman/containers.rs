//! Containers: create, start, stop, remove, list, inspect, numbers, events.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;

use super::types::{Container, ContainerStats, Listed, NewContainer, ResourceLimits, StatsAnswer};
use super::{Error, Podman, filters};

/// Longer than any grace time between SIGTERM and SIGKILL.
const STOP: Duration = Duration::from_mins(15);

/// For limits to be set.
const UPDATE: Duration = Duration::from_mins(1);

/// Something happened to a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerEvent {
    /// `create`, `start`, `died`, `remove` …
    #[serde(rename = "Action")]
    pub action: String,
    pub id: String,
}

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "Id")]
    id: String,
}

impl Podman {
    /// All containers with `label`, whatever their state.
    pub async fn containers(&self, label: &str) -> Result<Vec<Listed>, Error> {
        let filters = filters(&json!({ "label": [label] }));
        self.get("/containers/json", &[("all", "true"), ("filters", &filters)]).await
    }

    pub async fn inspect(&self, container: &str) -> Result<Container, Error> {
        self.get(&format!("/containers/{container}/json"), &[]).await
    }

    /// The new container's id.
    pub async fn create(&self, container: &NewContainer) -> Result<String, Error> {
        let request = self.request(Method::POST, "/containers/create", &[]).json(container);
        self.json::<Created>(request).await.map(|created| created.id)
    }

    /// No change when it runs already.
    pub async fn start(&self, container: &str) -> Result<(), Error> {
        self.send(self.request(Method::POST, &format!("/containers/{container}/start"), &[])).await.map(drop)
    }

    /// SIGTERM, then SIGKILL after the time that was set at its creation. No change when it is stopped.
    pub async fn stop(&self, container: &str) -> Result<(), Error> {
        let request = self.request(Method::POST, &format!("/containers/{container}/stop"), &[]);
        self.send(request.timeout(STOP)).await.map(drop)
    }

    /// As [`Podman::stop`], with another time.
    pub async fn stop_within(&self, container: &str, within: Duration) -> Result<(), Error> {
        let seconds = within.as_secs().to_string();
        let path = format!("/containers/{container}/stop");
        let request = self.request(Method::POST, &path, &[("timeout", &seconds)]);
        self.send(request.timeout(STOP)).await.map(drop)
    }

    /// Sets the limits of memory and processor time of one that runs. By the command line: the service of Podman 4 answers
    /// with an error.
    pub async fn set_limits(&self, container: &str, limits: &ResourceLimits) -> anyhow::Result<()> {
        let mut podman = Command::new("podman");
        podman
            .arg("update")
            .arg(format!("--memory={}", limits.memory.limit))
            .arg(format!("--cpu-period={}", limits.cpu.period))
            .arg(format!("--cpu-quota={}", limits.cpu.quota))
            .args((limits.memory.swap > 0).then(|| format!("--memory-swap={}", limits.memory.swap)))
            .arg(container)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output =
            tokio::time::timeout(UPDATE, podman.output()).await.context("Podman took too long")??;
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or_default();
        anyhow::ensure!(output.status.success(), "{last}");
        Ok(())
    }

    /// SIGKILL.
    pub async fn kill(&self, container: &str) -> Result<(), Error> {
        let path = format!("/containers/{container}/kill");
        self.send(self.request(Method::POST, &path, &[("signal", "KILL")])).await.map(drop)
    }

    /// With its anonymous volumes. No change when it is gone.
    pub async fn remove(&self, container: &str) -> Result<(), Error> {
        self.remove_with(container, "true").await
    }

    /// As [`Podman::remove`], but its anonymous volumes stay.
    pub async fn remove_but_volumes(&self, container: &str) -> Result<(), Error> {
        self.remove_with(container, "false").await
    }

    async fn remove_with(&self, container: &str, volumes: &str) -> Result<(), Error> {
        let query = [("force", "true"), ("v", volumes), ("timeout", "1")];
        match self.send(self.request(Method::DELETE, &format!("/containers/{container}"), &query)).await {
            Ok(_) | Err(Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Numbers of running containers, read now.
    pub async fn stats(&self, containers: &[String]) -> Result<Vec<ContainerStats>, Error> {
        let mut query = vec![("stream", "false")];
        query.extend(containers.iter().map(|container| ("containers", container.as_str())));
        self.get::<StatsAnswer>("/containers/stats", &query).await.map(|answer| answer.stats)
    }

    /// Changes of containers with `label` from now on, until Podman ends.
    pub async fn events(
        &self,
        label: &str,
    ) -> Result<impl Stream<Item = Result<ContainerEvent, Error>> + Send + use<>, Error> {
        let filters = filters(&json!({ "type": ["container"], "label": [label] }));
        let request = self.request(Method::GET, "/events", &[("stream", "true"), ("filters", &filters)]);
        // The longest that a request may be told; the agent also looks by the clock.
        let response = self.send(request.timeout(Duration::from_hours(8760))).await?;
        Ok(lines(response.bytes_stream())
            .map(|line| serde_json::from_slice(&line.map_err(Error::Broken)?).map_err(Error::Answer)))
    }
}

/// Cuts a stream into its lines, without empty ones.
pub(super) fn lines<E: Send>(
    chunks: impl Stream<Item = Result<Bytes, E>> + Send,
) -> impl Stream<Item = Result<Vec<u8>, E>> + Send {
    let cut = |mut rest: Vec<u8>, chunk: Result<Bytes, E>| match chunk {
        Err(error) => (rest, vec![Err(error)]),
        Ok(chunk) => {
            rest.extend_from_slice(&chunk);
            let mut parts: Vec<Vec<u8>> = rest.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            let rest = parts.pop().unwrap_or_default();
            (rest, parts.into_iter().filter(|line| !line.is_empty()).map(Ok).collect())
        }
    };
    chunks
        .scan(Vec::new(), move |rest, chunk| {
            let (left, lines) = cut(std::mem::take(rest), chunk);
            *rest = left;
            std::future::ready(Some(futures_util::stream::iter(lines)))
        })
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_whole_however_the_chunks_are_cut() {
        let chunks = ["{\"a\"", ":1}\n\n{\"b\":2}\n{", "}\n"].map(|text| Ok::<_, ()>(Bytes::from(text)));
        let found: Vec<_> = lines(futures_util::stream::iter(chunks)).collect().await;
        let expected = ["{\"a\":1}", "{\"b\":2}", "{}"].map(|line| Ok(line.as_bytes().to_vec()));
        assert_eq!(found, expected);
    }
}
