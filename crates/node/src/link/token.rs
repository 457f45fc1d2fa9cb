//! Signing in: API key → access token, and token → token before it ends.

use std::time::Duration;

use chrono::Utc;
use daemon::backoff::Backoff;
use protocol::enrol::{AccessToken, RegisterRequest};
use tracing::{debug, warn};
use url::Url;

use super::request::{self, RequestError};
use super::{LinkHandle, Shared};

/// A token with less left than this is not used for a dial.
const LEAST_LEFT: chrono::TimeDelta = chrono::TimeDelta::seconds(5);

impl Shared {
    /// The token in the cell while it is good, else a new one.
    pub(super) async fn usable_token(&self, url: &Url) -> Result<String, RequestError> {
        let good = |token: &AccessToken| token.expires_at - Utc::now() > LEAST_LEFT;
        if let Some(token) = self.token().filter(good) {
            return Ok(token.token);
        }
        let _guard = self.signing_in.lock().await;
        // Somebody else may have signed in meanwhile.
        if let Some(token) = self.token().filter(good) {
            return Ok(token.token);
        }
        let token = self.register(url).await?;
        self.set_token(Some(token.clone()));
        Ok(token.token)
    }

    pub(super) fn forget_token(&self) {
        self.set_token(None);
    }

    /// Exchanges the token before it ends, forever. The next dial uses the new one.
    pub(super) async fn keep_token_fresh(&self) {
        let timing = &self.config.timing;
        let mut backoff = Backoff::new(Duration::from_secs(1), timing.most_backoff);
        loop {
            let Some(token) = self.token() else {
                // The next dial signs in.
                tokio::time::sleep(timing.refresh_pause).await;
                continue;
            };
            let left = (token.expires_at - Utc::now()).to_std().unwrap_or_default();
            let pause = left.saturating_sub(timing.refresh_before).max(timing.refresh_pause);
            tokio::time::sleep(pause).await;
            while let Err(error) = self.refresh().await {
                debug!(error = format!("{error:#}"), "cannot exchange the access token yet");
                tokio::time::sleep(backoff.wait()).await;
            }
            backoff.reset();
        }
    }

    async fn refresh(&self) -> Result<(), RequestError> {
        let _guard = self.signing_in.lock().await;
        let url = self.control_plane().clone();
        let Some(old) = self.token() else { return Ok(()) };
        let path = "/v1/workers/refresh-token";
        let request = self.http.post(request::join(&url, path)).bearer_auth(&old.token);
        let token = match request::json(request, &url, path).await {
            Ok(token) => token,
            Err(RequestError::Refused { status, message, .. }) => {
                warn!(
                    status,
                    message, "the access token was not exchanged: signing in again with the API key"
                );
                self.register(&url).await?
            }
            Err(error) => return Err(error),
        };
        self.set_token(Some(token));
        Ok(())
    }

    async fn register(&self, url: &Url) -> Result<AccessToken, RequestError> {
        let path = "/v1/workers/register";
        let body = RegisterRequest { agent: self.config.agent, version: self.config.version.clone() };
        let request = self
            .http
            .post(request::join(url, path))
            .bearer_auth(self.config.identity.api_key.expose())
            .json(&body);
        request::json(request, url, path).await.map_err(|error| match error {
            RequestError::Refused { url, status: status @ (401 | 403), code, message, .. } => {
                let hint = "the control plane does not know this host's API key: remove identity.json and restart wisehosting-mesh; an enrolled host also needs a new join token";
                RequestError::Refused { url, status, code, message, hint: Some(hint.to_owned()) }
            }
            other => other,
        })
    }
}

impl LinkHandle {
    /// An access token that is good now, signing in if need be.
    pub(super) async fn fresh_token(&self) -> Result<String, RequestError> {
        let url = self.0.control_plane().clone();
        self.0.usable_token(&url).await
    }
}
