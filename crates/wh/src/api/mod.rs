//! The public API, `/api/v1`, as a client sees it.

pub(crate) mod socket;
pub(crate) mod sse;
pub(crate) mod stream;
pub(crate) mod types;

use std::path::Path;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::failure::{Exit, Failure, Result};

/// For one exchange that is neither an upload nor a stream.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// For an archive, however slow the line.
const UPLOAD_TIMEOUT: Duration = Duration::from_hours(1);
/// Most that is read of one answer.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;

/// A control plane and who speaks to it.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<SecretString>,
    root_pem: Option<Vec<u8>>,
}

impl Client {
    pub(crate) fn new(base: &Url, token: Option<SecretString>, ca_file: Option<&Path>) -> Result<Self> {
        daemon::http::check_base_url(base).map_err(|_| plain_http(base))?;
        let root_pem = ca_file.map(read_ca).transpose()?;
        let http = http(root_pem.as_deref(), REQUEST_TIMEOUT, REQUEST_TIMEOUT, |builder| builder)?;
        Ok(Self { http, base: base.clone(), token, root_pem })
    }

    /// The same for an upload: the limit on silence of the other side counts from the start of the request, so it
    /// must be as long as the upload may last.
    pub(crate) fn for_upload(&self) -> Result<Self> {
        let http = http(self.root_pem.as_deref(), UPLOAD_TIMEOUT, UPLOAD_TIMEOUT, |builder| builder)?;
        Ok(Self { http, ..self.clone() })
    }

    /// `path` is relative to `/api/v1` and made by [`path`].
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let base = self.base.as_str().trim_end_matches('/');
        let request = self.http.request(method, format!("{base}/api/v1{path}"));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        self.answer(self.request(method, path).json(body)).await
    }

    /// Posts what must not happen twice: when the connection is lost it is asked again, under the same key.
    pub(crate) async fn send_once<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let key = uuid::Uuid::new_v4().to_string();
        let mut pauses = [1, 3].into_iter();
        loop {
            let request = self.request(Method::POST, path).header("idempotency-key", &key).json(body);
            match (self.answer(request).await, pauses.next()) {
                (Err(failure), Some(seconds)) if failure.is_lost() => {
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                }
                (answered, _) => return answered,
            }
        }
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        self.response(self.request(Method::DELETE, path)).await.map(drop)
    }

    /// All items of a list, page by page.
    pub(crate) async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page: types::Page<T> = match &cursor {
                None => self.get(path).await?,
                Some(cursor) => self.get(&and_query(path, "cursor", cursor)).await?,
            };
            items.extend(page.items);
            // A cursor that repeats would go on for ever.
            if page.next.is_none() || page.next == cursor {
                return Ok(items);
            }
            cursor = page.next;
        }
    }

    pub(crate) async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let response = self.response(request).await?;
        let body = self.body(response).await?;
        serde_json::from_slice(&body).map_err(|error| {
            Failure::new(
                Exit::Error,
                "answer_unknown",
                format!("the server's answer is not understood: {error}"),
            )
            .hint("`wh` and the control plane may be of different versions: compare with `wh version`")
        })
    }

    /// The response, if it is a success.
    pub(crate) async fn response(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        if status.is_redirection() {
            let message = format!("{} redirects elsewhere, and a token is not carried there", self.base);
            return Err(Failure::new(Exit::Error, "redirected", message)
                .hint("sign in with the address that the control plane really has"));
        }
        let body = self.body(response).await.unwrap_or_default();
        Err(Failure::from_answer(status.as_u16(), &body))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len() + chunk.len() > ANSWER_LIMIT {
                return Err(Failure::new(
                    Exit::Error,
                    "answer_too_large",
                    "the server's answer is too large",
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Box<Failure> {
        let cause = chain(error);
        if error.is_timeout() {
            let message = format!("{} did not answer in time", self.base);
            return Failure::new(Exit::Timeout, "timeout", message)
                .hint("is the control plane running, and does a firewall let this host through?");
        }
        let failure =
            Failure::new(Exit::Error, "unreachable", format!("cannot reach {}: {cause}", self.base));
        if cause.contains("certificate") || cause.contains("UnknownIssuer") {
            return failure
                .hint("for a private CA give its certificate with `--ca-file FILE` (or WH_CA_FILE)");
        }
        failure.hint("check the address with `wh context show`")
    }
}

/// A client that gives up and follows no redirects.
fn http(
    root_pem: Option<&[u8]>,
    whole: Duration,
    silence: Duration,
    also: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Result<reqwest::Client> {
    let failed = |error: reqwest::Error| {
        Failure::new(Exit::Error, "client", format!("cannot set up TLS: {}", chain(&error)))
            .hint("is the CA file a PEM certificate?")
    };
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("wh/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(silence)
        .timeout(whole)
        .redirect(reqwest::redirect::Policy::none());
    if let Some(pem) = root_pem {
        for certificate in reqwest::Certificate::from_pem_bundle(pem).map_err(failed)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    also(builder).build().map_err(failed)
}

fn plain_http(base: &Url) -> Box<Failure> {
    let message = match base.scheme() {
        "http" => format!("{base} would send your token in clear text"),
        _ => format!("{base} is not the address of a control plane"),
    };
    Failure::usage(message).hint(
        "use https://, or http:// with a literal loopback or private address such as http://127.0.0.1:8082",
    )
}

fn read_ca(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| Failure::io(&format!("cannot read the CA file {}", path.display()), &error))
}

/// The innermost cause says what happened; the outer ones say that something did.
fn chain(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Joins path segments, each percent-encoded, so that a name cannot reach another resource.
pub(crate) fn path(segments: &[&str]) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        for byte in segment.bytes() {
            // `.` is encoded too: a lone `..` would climb.
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
                path.push(char::from(byte));
            } else {
                path.extend(format!("%{byte:02X}").chars());
            }
        }
    }
    path
}

/// Like [`path`] with a query; values are encoded alike.
pub(crate) fn path_with(segments: &[&str], query: &[(&str, &str)]) -> String {
    query.iter().fold(path(segments), |path, (name, value)| and_query(&path, name, value))
}

/// `path` with one more name and value in its query.
fn and_query(path_so_far: &str, name: &str, value: &str) -> String {
    let mark = if path_so_far.contains('?') { '&' } else { '?' };
    format!("{path_so_far}{mark}{name}={}", &path(&[value])[1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment() {
        assert_eq!(path(&["apps", "hello", "env"]), "/apps/hello/env");
        assert_eq!(path(&["apps", "../nodes?x=1"]), "/apps/%2E%2E%2Fnodes%3Fx%3D1");
        assert_eq!(path_with(&["apps"], &[("project", "a&b"), ("x", "1")]), "/apps?project=a%26b&x=1");
    }

    #[test]
    fn clear_text_is_refused_before_anything_is_sent() {
        let url = "http://cp.example.com".parse().expect("url");
        let failure = Client::new(&url, None, None).expect_err("refused");
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains("clear text"), "{}", failure.message);
    }
}
