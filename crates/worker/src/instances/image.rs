//! Gets the image of an instance: from another worker over the mesh, or from its registry.

use protocol::job::{Failure, Stage};
use protocol::spec::ImageSpec;
use tracing::warn;

use crate::failure::{FailureExt as _, failure};
use crate::handover::Taker;
use crate::podman::{Podman, normalized_reference};

/// A failure, and whether trying again is without hope.
pub(crate) type Trouble = (Failure, bool);

/// The image is on this host when this returns, also after a loss of power.
pub(crate) async fn ensure(podman: &Podman, taker: &Taker, image: &ImageSpec) -> Result<(), Trouble> {
    fetch(podman, taker, image).await?;
    podman.flush_storage().await.map_err(|error| {
        let failure = failure(Stage::Start, "worker_error", format!("{error:#}"));
        (failure.hint("Look at the disk of this host"), false)
    })
}

async fn fetch(podman: &Podman, taker: &Taker, image: &ImageSpec) -> Result<(), Trouble> {
    let mut problems = Vec::new();
    for source in &image.sources {
        match taker.fetch(image, source).await {
            Ok(()) => return Ok(()),
            Err(error) => {
                warn!(image.id, source = %source.address, error = format!("{error:#}"), "cannot fetch the image");
                problems.push(format!("{}: {error:#}", source.address));
            }
        }
    }
    if image.sources.is_empty() {
        return from_registry(podman, image).await;
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

async fn from_registry(podman: &Podman, image: &ImageSpec) -> Result<(), Trouble> {
    let reference = normalized_reference(&image.reference);
    let unavailable = |code: &str, message: String, hint: &str, fatal: bool| {
        (failure(Stage::Start, code, message).hint(hint), fatal)
    };
    podman.pull(&reference, None, |_| {}).await.map_err(|error| {
        let hint = "Check that the image is still in its registry and that this worker reaches it";
        let code = if error.is_absent() { "image_not_found" } else { "image_unavailable" };
        unavailable(code, format!("{reference} cannot be pulled: {error}"), hint, error.is_absent())
    })?;
    match podman.image(&image.id).await {
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
