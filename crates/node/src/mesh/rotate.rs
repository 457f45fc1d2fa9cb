//! Another API key, when the desired state asks for one.
//!
//! The key is on this disk before the control plane hears of it, the control plane knows it before `identity.json` has
//! it, and nobody signs in with it before that. So at any line at which the power may go, what is in `identity.json` is
//! good, and what is left can be done again.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use protocol::enrol::RotateRequest;
use protocol::identity::{ApiKey, NodeIdentity};
use tokio::time::Instant;
use tracing::info;
use uuid::Uuid;

use crate::identity::{self, SETTLE};
use crate::link::{LinkHandle, RequestError};

/// The key that was made and is not in `identity.json` yet.
pub(super) const FILE: &str = "next-key.json";
const PATH: &str = "/v1/nodes/rotate";
const LIMIT: Duration = Duration::from_secs(10);

/// Hands a key to the control plane.
pub(super) trait Taker {
    async fn take(&self, request: &RotateRequest) -> Result<(), RequestError>;
}

impl Taker for LinkHandle {
    async fn take(&self, request: &RotateRequest) -> Result<(), RequestError> {
        self.post(PATH, request, LIMIT).await.map(drop)
    }
}

/// The key of this host, and how far it is with another one.
pub(super) struct Rotation {
    folder: PathBuf,
    identity: NodeIdentity,
    /// The last one that needs nothing more.
    ended: Option<Uuid>,
    /// Used from then on, when the other agents have seen it.
    next: Option<(Instant, ApiKey)>,
}

impl Rotation {
    pub(super) fn new(folder: PathBuf, identity: NodeIdentity) -> Self {
        Self { folder, identity, ended: None, next: None }
    }

    /// The new key, once it may be used; never when there is none.
    pub(super) async fn settled(&mut self) -> ApiKey {
        let Some((at, _)) = &self.next else { return std::future::pending().await };
        tokio::time::sleep_until(*at).await;
        self.next.take().map_or_else(|| self.identity.api_key.clone(), |(_, key)| key)
    }

    /// Does what `wanted` asks for, as far as it is not done.
    pub(super) async fn rotate(&mut self, wanted: Option<Uuid>, to: &impl Taker) -> anyhow::Result<()> {
        let Some(rotation) = wanted else { return self.forget() };
        if self.ended == Some(rotation) {
            return Ok(());
        }
        let request = self.prepare(rotation)?;
        if request.api_key != self.identity.api_key {
            match to.take(&request).await {
                Ok(()) => {}
                // Somebody else was asked meanwhile, or nobody is any more.
                Err(error) if error.status() == Some(409) => {
                    self.ended = Some(rotation);
                    return self.forget();
                }
                Err(error) => return Err(error.into()),
            }
            self.identity = identity::change_key(&self.folder, &self.identity, &request.api_key)?;
            info!("the API key of this host was changed; the one before is good until this one is used");
            self.next = Some((Instant::now() + SETTLE, request.api_key));
        }
        self.ended = Some(rotation);
        self.forget()
    }

    /// The key that was made for `rotation` before, or a new one, on the disk.
    fn prepare(&self, rotation: Uuid) -> anyhow::Result<RotateRequest> {
        let path = self.folder.join(FILE);
        if let Ok(text) = std::fs::read(&path)
            && let Ok(made) = serde_json::from_slice::<RotateRequest>(&text)
            && made.rotation == rotation
        {
            return Ok(made);
        }
        let made = RotateRequest { rotation, api_key: ApiKey::generate() };
        let text = serde_json::to_vec(&made).context("a key is a string")?;
        daemon::file::replace(&path, &text, 0o600)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(made)
    }

    fn forget(&self) -> anyhow::Result<()> {
        let path = self.folder.join(FILE);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
