//! The last table on disk, so that a proxy serves after a reboot with the control plane gone. Its certificates, with
//! their private keys, are sealed; what is left tells nothing that the public could not ask for.
//!
//! The key comes from the credential `cache_key`, or from the API key of this host. Before the host's identity is
//! readable the table is [locked](Cache::is_locked): it is served without its certificates.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use daemon::credentials::{CredentialError, Credentials, ExposeSecret};
use daemon::seal::{SealError, SealKey};
use node::ledger::{move_aside, supersedes};
use protocol::identity::{ApiKey, NodeIdentity};
use protocol::spec::{Certificate, Generation, ProxySpec, Versioned};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

const FILE: &str = "routes.json";
/// What the keys are derived for.
const PURPOSE: &str = "proxy-cache";

/// As on disk. A file of before has no `sealed`, and its certificates in `spec`.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    generation: Generation,
    spec: ProxySpec,
    /// The certificates: base64 of what [`SealKey::seal`] made of their JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
}

/// The table, in memory and on disk.
#[derive(Debug)]
pub(crate) struct Cache {
    path: PathBuf,
    key: Option<SealKey>,
    /// In memory `sealed` is opened, and its certificates are in `spec`, as soon as there is a key.
    stored: Option<Stored>,
    /// The file has certificates sealed with `key` alone.
    is_sealed: bool,
    /// The key of this host before the one in its identity: the power may have gone between the two files.
    former: Option<SealKey>,
}

impl Cache {
    /// What `folder` holds. A file that is damaged, or was sealed on another host, is moved aside and logged; the
    /// control plane sends the table again.
    pub(crate) fn load(folder: &Path, key: Option<SealKey>, former: Option<SealKey>) -> io::Result<Self> {
        let path = folder.join(FILE);
        let stored = match std::fs::read(&path) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(stored) => Some(stored),
                Err(damage) => {
                    move_aside(&path, &damage)?;
                    None
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let mut cache = Self { path, key: None, stored, is_sealed: false, former };
        if let Some(key) = key {
            cache.unlock(key)?;
        }
        Ok(cache)
    }

    /// 0 without a table.
    pub(crate) fn generation(&self) -> Generation {
        self.stored.as_ref().map_or(0, |stored| stored.generation)
    }

    /// Whether a table of `generation` replaces this one; see [`supersedes`].
    pub(crate) fn takes(&self, generation: Generation, first_after_connect: bool) -> bool {
        supersedes(self.stored.as_ref().map(|stored| stored.generation), generation, first_after_connect)
    }

    /// There are certificates, and no key for them yet.
    pub(crate) fn is_locked(&self) -> bool {
        self.stored.as_ref().is_some_and(|stored| stored.sealed.is_some())
    }

    /// Opens the table with `key`, or moves it aside; one that was opened before is sealed anew.
    pub(crate) fn unlock(&mut self, key: SealKey) -> io::Result<()> {
        let current = self.is_sealed && self.key.as_ref() == Some(&key);
        let key = self.key.insert(key);
        let Some(stored) = self.stored.as_mut().filter(|_| !current) else { return Ok(()) };
        if let Some(sealed) = stored.sealed.take() {
            let former = self.former.as_ref().and_then(|key| open(key, stored.generation, &sealed).ok());
            match (open(key, stored.generation, &sealed), former) {
                (Ok(certificates), _) => {
                    stored.spec.certificates = certificates;
                    self.is_sealed = true;
                    return Ok(());
                }
                (Err(_), Some(certificates)) => stored.spec.certificates = certificates,
                (Err(damage), None) => {
                    self.stored = None;
                    return move_aside(&self.path, &damage);
                }
            }
        }
        self.is_sealed = false;
        let (generation, spec) = (stored.generation, stored.spec.clone());
        let path = self.path.display().to_string();
        match self.store(Versioned { generation, spec }) {
            Ok(()) => info!(path, "sealed the certificates on disk with this host's key"),
            Err(error) => {
                warn!(path, %error, "the certificates on disk cannot be sealed with this host's key yet");
            }
        }
        Ok(())
    }

    /// The table; without certificates while it is locked.
    pub(crate) fn table(&self) -> Option<&ProxySpec> {
        self.stored.as_ref().map(|stored| &stored.spec)
    }

    /// Puts `versioned` on disk. Call before acknowledging it.
    pub(crate) fn store(&mut self, versioned: Versioned<ProxySpec>) -> io::Result<()> {
        let Versioned { generation, spec } = versioned;
        let key = self.key.as_ref().ok_or_else(|| {
            io::Error::other("there is no key to seal certificates with: this host has no identity yet")
        })?;
        let plain = serde_json::to_vec(&spec.certificates).map_err(io::Error::other)?;
        let sealed = Some(BASE64_STANDARD.encode(key.seal(&context(generation), &plain)));
        let public = ProxySpec { certificates: Vec::new(), ..spec.clone() };
        let text = serde_json::to_vec_pretty(&Stored { generation, spec: public, sealed })
            .map_err(io::Error::other)?;
        daemon::file::replace(&self.path, &text, 0o600)?;
        self.stored = Some(Stored { generation, spec, sealed: None });
        self.is_sealed = true;
        Ok(())
    }
}

fn open(key: &SealKey, generation: Generation, sealed: &str) -> Result<Vec<Arc<Certificate>>, SealError> {
    let sealed = BASE64_STANDARD.decode(sealed).map_err(|_| SealError::Damaged)?;
    let plain = key.open(&context(generation), &sealed)?;
    serde_json::from_slice(&plain).map_err(|_| SealError::Damaged)
}

/// Certificates of one table do not open as those of another.
fn context(generation: Generation) -> String {
    format!("certificates of generation {generation}")
}

/// Where the key comes from.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    credential: Option<SealKey>,
}

impl Keys {
    /// The credential `cache_key`, if there is one.
    pub(crate) fn from_environment() -> Result<Self, CredentialError> {
        let secret = Credentials::from_env().get("cache_key", None)?;
        Ok(Self { credential: secret.map(|secret| SealKey::derive(secret.expose_secret(), PURPOSE)) })
    }

    /// The key of a host with this identity.
    pub(crate) fn of(&self, identity: Option<&NodeIdentity>) -> Option<SealKey> {
        self.of_key(identity.map(|identity| &identity.api_key))
    }

    /// The key of a host with this API key.
    pub(crate) fn of_key(&self, api_key: Option<&ApiKey>) -> Option<SealKey> {
        let of_host = || api_key.map(|key| SealKey::derive(key.expose(), PURPOSE));
        self.credential.clone().or_else(of_host)
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
