//! Traefik in place of the built-in data plane: it gets its table through a file, and its API tells when it serves it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use daemon::http::ClientOptions;
use protocol::spec::ProxySpec;
use reqwest::{Client, StatusCode};
use tracing::warn;
use url::Url;

use crate::access_log::AccessLog;
use crate::config;

/// Traefik reads this file, which has private keys in it, by the group of its folder.
const MODE: u32 = 0o640;
/// How often Traefik is asked. It takes a new file within its `providersThrottleDuration`.
const POLL: Duration = Duration::from_millis(100);
/// A table that Traefik does not serve after this is worth a line in the log, and is asked for less often.
const LATE: Duration = Duration::from_secs(10);
const POLL_LATE: Duration = Duration::from_secs(2);

/// The way to one Traefik.
#[derive(Debug)]
pub(crate) struct Traefik {
    file: PathBuf,
    api: Url,
    challenges: SocketAddr,
    client: Client,
    written: Mutex<Written>,
    access_log: Option<Arc<AccessLog>>,
}

/// The table that Traefik should serve.
#[derive(Debug, Clone)]
struct Written {
    marker: String,
    at: Instant,
    reported: bool,
}

impl Traefik {
    /// Challenges that reach Traefik are sent on to `challenges`.
    pub(crate) fn new(config: config::Traefik, challenges: SocketAddr) -> reqwest::Result<Self> {
        let options = ClientOptions { timeout: Some(LATE), direct: true, root_pem: None };
        let written = Written { marker: String::new(), at: Instant::now(), reported: false };
        Ok(Self {
            file: config.dynamic_file,
            api: config.api,
            challenges,
            client: daemon::http::client(&options)?,
            written: Mutex::new(written),
            access_log: config.access_log.map(|path| Arc::new(AccessLog::new(path))),
        })
    }

    /// Where the requests that Traefik serves are told.
    pub(crate) fn access_log(&self) -> Option<&Arc<AccessLog>> {
        self.access_log.as_ref()
    }

    /// Puts `spec` where Traefik sees it, unless it is there. Blocks for the disk.
    pub(crate) fn write(&self, spec: &ProxySpec) -> anyhow::Result<()> {
        let file = traefik::file::render(spec, self.challenges);
        if !std::fs::read(&self.file).is_ok_and(|there| there == file.text.as_bytes()) {
            daemon::file::replace(&self.file, file.text.as_bytes(), MODE).with_context(|| {
                format!("`traefik.dynamic_file` {} cannot be written", self.file.display())
            })?;
        }
        if let Some(log) = &self.access_log {
            log.take(spec);
        }
        let mut written = self.written();
        if written.marker != file.marker {
            *written = Written { marker: file.marker, at: Instant::now(), reported: false };
        }
        Ok(())
    }

    /// Returns once Traefik serves what was written last. May be dropped and called again.
    pub(crate) async fn served(&self) {
        loop {
            let written = self.written().clone();
            let Err(reason) = self.ask(&written.marker).await else {
                return;
            };
            let late = written.at.elapsed() > LATE;
            if late && !written.reported {
                warn!(
                    reason,
                    file = %self.file.display(),
                    api = %self.api,
                    "Traefik does not serve the new routes, so they are not acknowledged: does it run, with its file provider on `traefik.dynamic_file` and its API on `traefik.api`? Its own log says what it refuses"
                );
                self.written().reported = true;
            }
            tokio::time::sleep(if late { POLL_LATE } else { POLL }).await;
        }
    }

    /// Traefik swaps its routers and its API's answers in one go, after the certificates.
    async fn ask(&self, marker: &str) -> Result<(), String> {
        let mut url = self.api.clone();
        url.set_path(&format!("/api/http/middlewares/{marker}@file"));
        match self.client.get(url).send().await.map(|answer| answer.status()) {
            Ok(StatusCode::OK) => Ok(()),
            Ok(StatusCode::NOT_FOUND) => Err("Traefik has another table".to_owned()),
            Ok(status) => Err(format!("Traefik's API answers {status}")),
            Err(error) => Err(format!("Traefik's API does not answer: {error}")),
        }
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
