//! The worker's way to the control plane, as its parts see it.

use std::time::Duration;

use node::link::LinkHandle;
use protocol::message::FromAgent;

/// The link has ended; the process is stopping.
#[derive(Debug, thiserror::Error)]
#[error("the link to the control plane has ended")]
pub struct LinkEnded;

/// Why a download had no success.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The control plane said no, and will say it again.
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Unreachable(String),
}

/// What the parts of the worker need of the link. A trait, so that tests can be the control plane.
pub trait Uplink: Clone + Send + Sync + 'static {
    /// Returns when the control plane has acknowledged `message`, however many connections that takes.
    fn deliver(&self, message: FromAgent) -> impl Future<Output = Result<(), LinkEnded>> + Send;

    /// For messages of which only the newest matters.
    fn say(&self, message: FromAgent) -> impl Future<Output = ()> + Send;

    /// `GET path` of the control plane in use.
    fn get(&self, path: &str) -> impl Future<Output = Result<reqwest::Response, DownloadError>> + Send;
}

impl Uplink for LinkHandle {
    async fn deliver(&self, message: FromAgent) -> Result<(), LinkEnded> {
        let acknowledged = self.send_acked(message).await.map_err(|error| {
            tracing::debug!(%error, "not sent");
            LinkEnded
        })?;
        acknowledged.await.map_err(|_| LinkEnded)
    }

    async fn say(&self, message: FromAgent) {
        if let Err(error) = self.send(message).await {
            tracing::warn!(%error, "not sent");
        }
    }

    async fn get(&self, path: &str) -> Result<reqwest::Response, DownloadError> {
        const LIMIT: Duration = Duration::from_mins(15);
        LinkHandle::get(self, path, LIMIT).await.map_err(|error| {
            if error.is_final() && error.status() != Some(401) {
                DownloadError::Refused(error.to_string())
            } else {
                DownloadError::Unreachable(error.to_string())
            }
        })
    }
}
