//! Gets the image of an instance: from another worker over the mesh, else from a registry that has it.

use protocol::job::{Failure, Stage};
use protocol::registry::ImagePlace;
use protocol::spec::ImageSpec;
use tracing::warn;

use crate::failure::{FailureExt as _, failure};
use crate::handover::Taker;
use crate::places::Places;
use crate::podman::{Error, OUR_NAMES, Podman, normalized_reference};

/// A failure, and whether trying again is without hope.
pub(crate) type Trouble = (Failure, bool);

/// Gets images. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    podman: Podman,
    taker: Taker,
    places: Places,
}

impl Fetcher {
    pub(crate) fn new(podman: Podman, taker: Taker, places: Places) -> Self {
        Self { podman, taker, places }
    }

    /// The image is on this host when this returns, also after a loss of power.
    pub(crate) async fn ensure(&self, image: &ImageSpec) -> Result<(), Trouble> {
        self.fetch(image).await?;
        self.podman.flush_storage().await.map_err(|error| {
            let failure = failure(Stage::Start, "worker_error", format!("{error:#}"));
            (failure.hint("Look at the disk of this host"), false)
        })
    }

    async fn fetch(&self, image: &ImageSpec) -> Result<(), Trouble> {
        let mut problems = Vec::new();
        for source in &image.sources {
            match self.taker.fetch(image, source).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    warn!(image.id, source = %source.address, error = format!("{error:#}"), "cannot fetch the image");
                    problems.push(format!("{}: {error:#}", source.address));
                }
            }
        }
        let mut refused = None;
        for place in self.places(image).await {
            match self.pull(image, &place).await {
                Ok(()) => return Ok(()),
                Err((failure, fatal)) => {
                    warn!(image.id, place.reference, error = failure.message, "cannot pull the image");
                    problems.push(failure.message.clone());
                    refused = Some((failure, fatal));
                }
            }
        }
        Err(match refused {
            // A worker that has it may come back.
            Some((failure, fatal)) if image.sources.is_empty() => (failure, fatal),
            _ => (unavailable(image).last_lines(problems), false),
        })
    }

    /// Without the control plane, what needs no login is pulled all the same.
    async fn places(&self, image: &ImageSpec) -> Vec<ImagePlace> {
        let reference = normalized_reference(&image.reference);
        match self.places.of(&image.id).await {
            Ok(places) => places,
            Err(error) => {
                warn!(image.id, error = format!("{error:#}"), "cannot ask which registry has the image");
                let is_ours = reference.starts_with(OUR_NAMES);
                (!is_ours).then_some(ImagePlace { reference, login: None }).into_iter().collect()
            }
        }
    }

    async fn pull(&self, image: &ImageSpec, place: &ImagePlace) -> Result<(), Trouble> {
        let (reference, login) = (&place.reference, place.login.as_ref());
        self.places
            .check(reference)
            .await
            .map_err(|refused| (Failure { stage: Stage::Start, ..refused }, true))?;
        self.podman.pull(reference, login, |_| {}).await.map_err(|error| {
            let (code, hint) = if error.is_absent() {
                (
                    "image_not_found",
                    "Check that the image is still in its registry; a private one needs `wh registry login`",
                )
            } else {
                ("image_unavailable", "Check that this worker reaches the registry")
            };
            let message = format!("{reference} cannot be pulled: {error}");
            (failure(Stage::Start, code, message).hint(hint), error.is_absent())
        })?;
        match self.podman.image(&image.id).await {
            // An image that we built has a name of ours, and not the registry's: it can be removed by the list.
            Ok(Some(_)) if *reference != normalized_reference(&image.reference) => {
                self.rename(&image.id, reference).await.map_err(|error| podman_failed(&error))
            }
            Ok(Some(_)) => Ok(()),
            Ok(None) => {
                let message = format!("{reference} is another image now than when it was deployed");
                let changed = failure(Stage::Start, "image_changed", message);
                Err((changed.hint("Deploy it again to use the new one"), true))
            }
            Err(error) => Err(podman_failed(&error)),
        }
    }

    async fn rename(&self, id: &str, reference: &str) -> Result<(), Error> {
        self.podman.name_received(id).await?;
        self.podman.remove_image(reference).await
    }
}

fn unavailable(image: &ImageSpec) -> Failure {
    let message = if image.sources.is_empty() {
        format!("no worker and no registry has the image {}", image.reference)
    } else {
        format!("the image {} could not be fetched from any worker", image.reference)
    };
    failure(Stage::Start, "image_unavailable", message)
        .hint("Check that the workers that have it are online, or deploy again to build it anew")
}

fn podman_failed(error: &Error) -> Trouble {
    (failure(Stage::Start, "worker_error", error.to_string()).hint("Look at Podman on this host"), false)
}
