//! The dashboard, built into the binary.

use axum::Router;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use rust_embed::{Embed, EmbeddedFile};

use super::error::Error;
use crate::app::AppState;

#[derive(Embed)]
#[folder = "$CARGO_MANIFEST_DIR/../../web/dist"]
struct Dist;

/// Nothing from elsewhere, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; \
     connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>WiseHosting</title>\
     <h1>WiseHosting</h1><p>The API runs. This control plane was built without its dashboard: \
     run <code>npm ci &amp;&amp; npm run build</code> in <code>web/</code>, then build the control plane again.";

/// Answers whatever no other route does.
pub fn router() -> Router<AppState> {
    Router::new().fallback(answer)
}

async fn answer(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    let is_page = method == Method::GET || method == Method::HEAD;
    if !is_page || path.starts_with("/api/") || path == "/api" || path.starts_with("/v1/") {
        return Error::not_found(format!("{method} {path}")).into_response();
    }
    if let Some(file) = Dist::get(path.trim_start_matches('/')) {
        return send(path, &file, &headers);
    }
    if path.starts_with("/assets/") {
        return Error::not_found(path).into_response();
    }
    // The dashboard's own addresses.
    match Dist::get("index.html") {
        Some(file) => send("/index.html", &file, &headers),
        None => (StatusCode::OK, [(CONTENT_SECURITY_POLICY, POLICY)], Html(NOT_BUILT)).into_response(),
    }
}

fn send(path: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", hex::encode(&file.metadata.sha256_hash()[..16]));
    // Names of assets carry their content's hash.
    let cache = if path.starts_with("/assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let common = [
        (CACHE_CONTROL, cache.to_owned()),
        (CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        (ETAG, tag.clone()),
        (CONTENT_TYPE, kind.to_string()),
    ];
    if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, Body::from(file.data.clone().into_owned())).into_response()
}
