//! Keeps the images that the desired state wants kept, removes the ones that it lists and the build caches of apps that
//! are gone, brings others to registries, and tells what is here. Containers and volumes are none of its business.

pub mod clean;
mod copies;
mod plan;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use daemon::reconcile::{Activator, Reconciler};
use ipnet::IpNet;
use protocol::message::FromAgent;
use protocol::report::ImageReport;
use protocol::spec::{ImageSpec, WorkerSpec};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::handover::Taker;
use crate::instances::image::Fetcher;
use crate::job::{Jobs, cache};
use crate::places::Places;
use crate::podman::{Error, Podman};
use crate::uplink::Uplink;
use copies::Copies;
use plan::{Removal, Tree};

/// After an image could not be fetched.
const FETCH_AGAIN: Duration = Duration::from_mins(1);

/// Settings of [`Images`].
#[derive(Debug)]
pub struct ImagesConfig {
    pub state_dir: PathBuf,
    pub podman: Podman,
    /// Where builds keep their state: nothing is removed while one runs.
    pub jobs: PathBuf,
    /// Where builds keep what later ones use.
    pub caches: PathBuf,
    /// See [`crate::config::Builds::private_networks`].
    pub registry_networks: Vec<IpNet>,
}

/// The reconciler.
#[derive(Debug)]
pub struct Images<U> {
    podman: Podman,
    fetcher: Fetcher,
    copies: Copies,
    jobs: PathBuf,
    caches: PathBuf,
    uplink: U,
    spec: watch::Receiver<Arc<WorkerSpec>>,
    activator: Activator,
    /// At most one image is on its way.
    fetching: JoinSet<Fetched>,
    /// Images that could not be fetched, why, and when to try again.
    failed: BTreeMap<String, (String, Instant)>,
}

type Fetched = (String, Result<(), String>);

impl<U: Uplink> Images<U> {
    pub fn new(
        config: ImagesConfig,
        uplink: U,
        spec: watch::Receiver<Arc<WorkerSpec>>,
        activator: Activator,
    ) -> anyhow::Result<Self> {
        // A folder of its own: the instances' is emptied when they start.
        let taker = Taker::new(config.podman.clone(), &config.state_dir.join("images"))?;
        let places = Places::new(uplink.clone(), config.registry_networks);
        Ok(Self {
            copies: Copies::new(config.podman.clone(), places.clone())?,
            fetcher: Fetcher::new(config.podman.clone(), taker, places),
            podman: config.podman,
            jobs: config.jobs,
            caches: config.caches,
            uplink,
            spec,
            activator,
            fetching: JoinSet::new(),
            failed: BTreeMap::new(),
        })
    }

    fn reap(&mut self) {
        while let Some(ended) = self.fetching.try_join_next() {
            match ended {
                Ok((id, Ok(()))) => drop(self.failed.remove(&id)),
                Ok((id, Err(message))) => {
                    self.failed.insert(id, (message, Instant::now() + FETCH_AGAIN));
                }
                Err(panic) => warn!(error = %panic, "a hand-over panicked"),
            }
        }
    }

    fn fetch(&mut self, spec: &WorkerSpec, tree: &Tree<'_>) {
        self.failed.retain(|id, _| spec.images.iter().any(|image| image.id == *id) && !tree.has(id));
        if !self.fetching.is_empty() {
            return;
        }
        let due = |image: &&ImageSpec| {
            let pause = self.failed.get(&image.id).map(|(_, again)| *again);
            !tree.has(&image.id) && pause.is_none_or(|again| again <= Instant::now())
        };
        let Some(image) = spec.images.iter().find(due).cloned() else { return };
        let (fetcher, activator) = (self.fetcher.clone(), self.activator.clone());
        self.fetching.spawn(async move {
            let fetched = fetcher.ensure(&image).await;
            activator.signal();
            (image.id, fetched.map_err(|(failure, _)| failure.message))
        });
    }

    /// Removes what the desired state lists. Returns what stays and why.
    async fn remove(&self, spec: &WorkerSpec, tree: &Tree<'_>) -> BTreeMap<String, String> {
        let mut left = BTreeMap::new();
        for id in &spec.remove_images {
            let result = match tree.removal(spec, id) {
                None => continue,
                // A newer state may want it.
                Some(Ok(_)) if self.spec.has_changed().unwrap_or(true) => return left,
                Some(Ok(removal)) => {
                    take_away(&self.podman, &removal).await.map_err(|error| error.to_string())
                }
                Some(Err(reason)) => Err(reason),
            };
            match result {
                Ok(()) => info!(image.id = id, "removed the image: nothing needs it any more"),
                Err(reason) => {
                    warn!(image.id = id, reason, "the image stays for now");
                    left.insert(id.clone(), reason);
                }
            }
        }
        left
    }

    async fn forget_caches(&self, spec: &WorkerSpec) -> anyhow::Result<()> {
        let (caches, apps) = (self.caches.clone(), spec.remove_caches.clone());
        tokio::task::spawn_blocking(move || cache::forget(&caches, &apps)).await?;
        Ok(())
    }
}

/// Name by name: with several, Podman removes an image only by force, and then takes containers along.
async fn take_away(podman: &Podman, removal: &Removal) -> Result<(), Error> {
    for name in removal.names.iter().chain([&removal.id]) {
        match podman.remove_image(name).await {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

impl<U: Uplink> Reconciler for Images<U> {
    fn name(&self) -> &'static str {
        "images"
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let spec = self.spec.borrow_and_update().clone();
        self.reap();
        let listed = self.podman.image_tree().await?;
        let tree = Tree::new(&listed);
        self.fetch(&spec, &tree);
        self.copies.pass(&spec, &self.activator);
        // A build may be about to use what is here.
        let mut problems = BTreeMap::new();
        if Jobs::<U>::known(&self.jobs).is_empty() {
            problems = self.remove(&spec, &tree).await;
            self.forget_caches(&spec).await?;
        }
        problems.extend(self.failed.iter().map(|(id, (message, _))| (id.clone(), message.clone())));
        let listed = self.podman.image_tree().await?;
        let copies = self.copies.reports();
        let report = ImageReport { copies, ..Tree::new(&listed).report(&spec, &problems) };
        self.uplink.say(FromAgent::ImageReport(report)).await;
        Ok(())
    }
}
