//! Signing in: API key → access token, and token → token before it ends.

use std::time::Duration;

use chrono::Utc;
use daemon::backoff::Backoff;
use protocol::enrol::RegisterRequest;
use tracing::{debug, warn};
use url::Url;

use super::request::{self, RequestError};
use super::{LinkHandle, Shared, SignedIn};

/// A token with less left than this is not used for a dial.
const LEAST_LEFT: chrono::TimeDelta = chrono::TimeDelta::seconds(5);

impl Shared {
    /// The token in the cell while it is good, else a new one.
    pub(super) async fn usable_token(&self, url: &Url) -> Result<SignedIn, RequestError> {
        let good = |signed_in: &SignedIn| signed_in.token.expires_at - Utc::now() > LEAST_LEFT;
        if let Some(signed_in) = self.token().filter(good) {
            return Ok(signed_in);
        }
        let _guard = self.signing_in.lock().await;
        // Somebody else may have signed in meanwhile.
        if let Some(signed_in) = self.token().filter(good) {
            return Ok(signed_in);
        }
        let signed_in = self.register(url).await?;
        self.set_token(Some(signed_in.clone()));
        Ok(signed_in)
    }

    pub(super) fn forget_token(&self) {
        self.set_token(None);
    }

    /// Exchanges the token before it ends, forever. The next dial uses the new one.
    pub(super) async fn keep_token_fresh(&self) {
        let timing = &self.config.timing;
        let mut backoff = Backoff::new(Duration::from_secs(1), timing.most_backoff);
        loop {
            let Some(SignedIn { token, .. }) = self.token() else {
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
        let Some(SignedIn { token: old, key }) = self.token() else { return Ok(()) };
        let path = "/v1/workers/refresh-token";
        let request = self.http.post(request::join(&url, path)).bearer_auth(&old.token);
        let signed_in = match request::json(request, &url, path).await {
            Ok(token) => SignedIn { token, key },
            Err(RequestError::Refused { status, message, .. }) => {
                warn!(
                    status,
                    message, "the access token was not exchanged: signing in again with the API key"
                );
                self.register(&url).await?
            }
            Err(error) => return Err(error),
        };
        // A key that changed meanwhile is signed in with by the next dial.
        if self.key().signing_key() == signed_in.key {
            self.set_token(Some(signed_in));
        }
        Ok(())
    }

    async fn register(&self, url: &Url) -> Result<SignedIn, RequestError> {
        let key = self.key();
        let path = "/v1/workers/register";
        let body = RegisterRequest { agent: self.config.agent, version: self.config.version.clone() };
        let request = self.http.post(request::join(url, path)).bearer_auth(key.expose()).json(&body);
        let answer = request::json(request, url, path).await;
        answer.map(|token| SignedIn { token, key: key.signing_key() }).map_err(|error| match error {
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
        self.0.usable_token(&url).await.map(|signed_in| signed_in.token.token)
    }
}
