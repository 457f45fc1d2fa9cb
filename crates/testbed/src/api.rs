//! The public API of a cluster, as JSON.

use bytes::Bytes;
use http::Method;
use http_body_util::Full;
use serde_json::Value;

use crate::http::{Answer, Server};

/// A caller of `/api/v1`, signed in or not.
#[derive(Debug, Clone)]
pub struct Api {
    server: Server,
    token: Option<String>,
}

/// The control plane answered with an error.
#[derive(Debug)]
pub struct Refused {
    /// Method and path.
    pub request: String,
    pub status: u16,
    /// `code`, `message`, `field`, `hint`, `request_id`.
    pub body: Value,
}

impl Refused {
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: the control plane answered {}: {}", self.request, self.status, self.body)
    }
}

impl std::error::Error for Refused {}

pub type Result<T> = anyhow::Result<T>;

impl Api {
    pub fn new(server: Server, token: Option<String>) -> Self {
        Self { server, token }
    }

    #[must_use]
    pub fn signed_in(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Result<Value> {
        self.call(Method::PATCH, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Result<Value> {
        self.call(Method::DELETE, path, None).await
    }

    /// Sends a gzip tar to `POST /apps/{app}/archives`.
    pub async fn upload(&self, app: &str, archive: Vec<u8>) -> Result<Value> {
        let path = format!("/apps/{app}/archives");
        self.send(Method::POST, &path, "application/gzip", archive.into()).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.send(method, path, "application/json", body.into()).await
    }

    async fn send(&self, method: Method, path: &str, kind: &str, body: Bytes) -> Result<Value> {
        let what = format!("{method} {path}");
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header("host", self.server.address.to_string())
            .header("accept", "application/json")
            .header("content-type", kind);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        json(what, self.server.send(request.body(Full::new(body))?).await?)
    }
}

fn json(request: String, answer: Answer) -> Result<Value> {
    let body = match answer.body.as_ref() {
        [] => Value::Null,
        text => serde_json::from_slice(text).unwrap_or_else(|_| Value::String(answer.text())),
    };
    let status = answer.status;
    if (200..300).contains(&status) { Ok(body) } else { Err(Refused { request, status, body }.into()) }
}
