//! Plain HTTP to the control plane, for everything that does not fit the socket.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::Url;

use super::LinkHandle;

/// Why a request to the control plane had no success.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("cannot reach the control plane at {url}")]
    Transport {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{url} answered {status}: {message} ({code}){}", hint.as_ref().map(|hint| format!(". {hint}")).unwrap_or_default())]
    Refused { url: String, status: u16, code: String, message: String, hint: Option<String> },
    #[error("{url} answered something that this version does not understand")]
    Answer {
        url: String,
        #[source]
        source: reqwest::Error,
    },
}

impl RequestError {
    /// The answer's status, when there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether asking again with the same words is without hope: the control plane understood, and said no.
    pub fn is_final(&self) -> bool {
        self.status().is_some_and(|status| (400..500).contains(&status) && !matches!(status, 408 | 425 | 429))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    code: String,
    message: String,
    hint: Option<String>,
}

impl LinkHandle {
    /// A request to the control plane in use, with the access token. `path` begins with `/`. The whole exchange may
    /// take 30 s; for a long stream set `timeout` on the builder (reads still end after 30 s of silence).
    pub async fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, RequestError> {
        let token = self.fresh_token().await?;
        let url = join(self.0.control_plane(), path);
        Ok(self.0.http.request(method, url).bearer_auth(token))
    }

    /// `GET path`, for an answer of any length within `limit`.
    pub async fn get(&self, path: &str, limit: Duration) -> Result<Response, RequestError> {
        let request = self.request(Method::GET, path).await?.timeout(limit);
        self.answer(request, path).await
    }

    /// `POST path` with a JSON body.
    pub async fn post(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
        limit: Duration,
    ) -> Result<Response, RequestError> {
        let request = self.request(Method::POST, path).await?.json(body).timeout(limit);
        self.answer(request, path).await
    }

    async fn answer(&self, request: RequestBuilder, path: &str) -> Result<Response, RequestError> {
        let answer = send(request, self.0.control_plane(), path).await;
        if answer.as_ref().is_err_and(|error| error.status() == Some(401)) {
            // The next request signs in again.
            self.0.forget_token();
        }
        answer
    }
}

/// `base` and `path`, whether or not the base ends in a slash.
pub(crate) fn join(base: &Url, path: &str) -> String {
    format!("{}{path}", base.as_str().trim_end_matches('/'))
}

/// Sends; an answer that is no success becomes an error in the control plane's words.
pub(crate) async fn send(request: RequestBuilder, base: &Url, path: &str) -> Result<Response, RequestError> {
    let url = join(base, path);
    let response = match request.send().await {
        Ok(response) => response,
        Err(source) => return Err(RequestError::Transport { url, source: source.without_url() }),
    };
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let body: ErrorBody = response.json().await.unwrap_or_default();
    let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
    Err(RequestError::Refused {
        url,
        status: status.as_u16(),
        code: or(body.code, "no code"),
        message: or(body.message, status.canonical_reason().unwrap_or("no reason given")),
        hint: body.hint,
    })
}

/// As [`send`], with a JSON answer.
pub(crate) async fn json<T: DeserializeOwned>(
    request: RequestBuilder,
    base: &Url,
    path: &str,
) -> Result<T, RequestError> {
    let response = send(request, base, path).await?;
    response
        .json()
        .await
        .map_err(|source| RequestError::Answer { url: join(base, path), source: source.without_url() })
}
