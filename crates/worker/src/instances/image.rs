//! Gets the image of an instance: from another worker over the mesh, or from its registry.

use std::time::Duration;

use protocol::job::{Failure, Stage};
use protocol::spec::{ImageSource, ImageSpec};
use tracing::{info, warn};

use super::Host;
use crate::failure::{FailureExt as _, failure};
use crate::podman::normalized_reference;

/// A failure, and whether trying again is without hope.
pub(super) type Trouble = (Failure, bool);

/// The image is on this host when this returns.
pub(super) async fn ensure(host: &Host, image: &ImageSpec) -> Result<(), Trouble> {
    let mut problems = Vec::new();
    for source in &image.sources {
        match from_worker(host, image, source).await {
            Ok(()) => return Ok(()),
            Err(error) => {
                warn!(image.id, source = %source.address, error = format!("{error:#}"), "cannot fetch the image");
                problems.push(format!("{}: {error:#}", source.address));
            }
        }
    }
    if image.sources.is_empty() {
        return from_registry(host, image).await;
    }
    let failure = failure(
        Stage::Start,
        "image_unavailable",
        format!("the image {} could not be fetched from any worker", image.reference),
    )
    .hint("Check that the workers that have it are online, or deploy again to build it anew")
    .last_lines(problems);
    Err((failure, false))
}

async fn from_worker(host: &Host, image: &ImageSpec, source: &ImageSource) -> anyhow::Result<()> {
    let url = format!("http://{}/v1/images/{}", source.address, image.id);
    let request = host.http.get(url).bearer_auth(&source.ticket).timeout(Duration::from_mins(30));
    let response = request.send().await.map_err(reqwest::Error::without_url)?;
    let status = response.status();
    if !status.is_success() {
        let said = response.text().await.unwrap_or_default();
        anyhow::bail!("answered {status}: {}", said.chars().take(200).collect::<String>());
    }
    host.podman.load(reqwest::Body::wrap_stream(response.bytes_stream())).await?;
    anyhow::ensure!(host.podman.image(&image.id).await?.is_some(), "sent another image");
    info!(image.id, source = %source.address, "fetched the image");
    Ok(())
}

async fn from_registry(host: &Host, image: &ImageSpec) -> Result<(), Trouble> {
    let reference = normalized_reference(&image.reference);
    let unavailable = |code: &str, message: String, hint: &str, fatal: bool| {
        (failure(Stage::Start, code, message).hint(hint), fatal)
    };
    host.podman.pull(&reference, |_| {}).await.map_err(|error| {
        let hint = "Check that the image is still in its registry and that this worker reaches it";
        let code = if error.is_absent() { "image_not_found" } else { "image_unavailable" };
        unavailable(code, format!("{reference} cannot be pulled: {error}"), hint, error.is_absent())
    })?;
    match host.podman.image(&image.id).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(unavailable(
            "image_changed",
            format!("{reference} is another image now than when it was deployed"),
            "Deploy it again to use the new one",
            true,
        )),
        Err(error) => {
            Err(unavailable("worker_error", error.to_string(), "Look at Podman on this host", false))
        }
    }
}
