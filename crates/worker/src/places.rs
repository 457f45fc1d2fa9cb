//! Where registries have an image and with what it is pulled, asked of the control plane with each use: a password is in
//! memory for as long, and never on the disk.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use ipnet::IpNet;
use protocol::job::Failure;
use protocol::registry::ImagePlace;

use crate::job;
use crate::uplink::Uplink;

/// For the control plane to answer.
const LIMIT: Duration = Duration::from_secs(30);

type Answer = anyhow::Result<Vec<ImagePlace>>;

/// Asks. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Places {
    ask: Arc<dyn Fn(String) -> BoxFuture<'static, Answer> + Send + Sync>,
    /// Networks besides the public ones in which a registry may be.
    opened: Arc<[IpNet]>,
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").field("opened", &self.opened).finish_non_exhaustive()
    }
}

impl Places {
    pub(crate) fn new(uplink: impl Uplink, opened: Vec<IpNet>) -> Self {
        let ask = move |path: String| {
            let uplink = uplink.clone();
            async move {
                let answer = async { anyhow::Ok(uplink.get(&path).await?.json().await?) };
                tokio::time::timeout(LIMIT, answer).await.context("the control plane took too long")?
            }
            .boxed()
        };
        Self { ask: Arc::new(ask), opened: opened.into() }
    }

    /// Of an image by its id.
    pub(crate) async fn of(&self, image: &str) -> Answer {
        (self.ask)(format!("/v1/images/{image}/places")).await
    }

    /// Refuses a registry at an address that this host's configuration does not open: it would be asked from inside the
    /// fleet's networks.
    pub(crate) async fn check(&self, reference: &str) -> Result<(), Failure> {
        job::check_registry(reference, &self.opened).await
    }
}
