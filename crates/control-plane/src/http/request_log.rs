//! One line per request with its outcome, and the id that names it. `/health` and the agents' socket are not logged.

use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{error, info};
use uuid::Uuid;

use super::error::Cause;

tokio::task_local! {
    static REQUEST_ID: String;
}

static HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id of the request that this task answers; empty outside of one.
pub fn request_id() -> String {
    REQUEST_ID.try_with(Clone::clone).unwrap_or_default()
}

/// The outermost layer.
pub async fn layer(request: Request, next: Next) -> Response {
    let id = Uuid::now_v7().simple().to_string();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let started = Instant::now();
    let mut response = REQUEST_ID.scope(id.clone(), next.run(request)).await;
    let status = response.status().as_u16();
    metrics::histogram!("wisehosting_http_request_seconds", "status" => status_class(status))
        .record(started.elapsed());
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER.clone(), value);
    }
    let cause = response.extensions_mut().remove::<Cause>().map(|Cause(cause)| cause);
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    match cause {
        Some(cause) => error!(%method, path, status, duration_ms, request.id = id, cause, "request failed"),
        None if is_quiet(&path) => {}
        None => info!(%method, path, status, duration_ms, request.id = id, "request"),
    }
    response
}

/// Seed, "Logs": the socket and the health requests are kept out of the log.
fn is_quiet(path: &str) -> bool {
    matches!(path, "/v1/workers/ws" | "/health" | "/healthz" | "/readyz" | "/metrics")
        || path.starts_with("/v1/traefik/")
        || path.starts_with("/assets/")
}

fn status_class(status: u16) -> &'static str {
    match status {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}
