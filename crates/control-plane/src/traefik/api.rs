//! `GET /v1/traefik/proxy-config` and `GET /v1/traefik/config?worker_id=`, for Traefik's HTTP provider.

use ::traefik::dynamic;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use daemon::credentials::ExposeSecret;
use protocol::ids::NodeId;
use protocol::spec::ProxySpec;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::app::{App, AppState};
use crate::http::caller::bearer;
use crate::http::{Code, Error, Result};
use crate::reconcile::dispatch_specs::proxy_spec;
use crate::{instances, nodes};

pub fn mesh_router() -> Router<AppState> {
    Router::new()
        .route("/v1/traefik/proxy-config", get(proxy_config))
        .route("/v1/traefik/config", get(worker_config))
}

/// The table of every proxy.
async fn proxy_config(State(app): State<AppState>, headers: HeaderMap) -> Result<Response> {
    check(&app, &headers)?;
    let mut tx = app.db.begin().await?;
    let spec = proxy_spec(&app, &mut tx).await?;
    answer(&headers, &spec)
}

#[derive(Debug, Deserialize)]
struct WorkerQuery {
    worker_id: NodeId,
}

/// The table of the traffic that reaches one worker directly: apps with instances on it.
async fn worker_config(
    State(app): State<AppState>,
    query: Result<Query<WorkerQuery>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response> {
    check(&app, &headers)?;
    let Query(query) = query.map_err(|_| Error::invalid("worker_id", "must be the id of a node"))?;
    let mut tx = app.db.begin().await?;
    if nodes::store::known(&mut tx, query.worker_id).await?.is_none() {
        return Err(Error::not_found(format_args!("node {}", query.worker_id)));
    }
    let own = instances::store::ids_on(&mut tx, query.worker_id).await?;
    let mut spec = proxy_spec(&app, &mut tx).await?;
    for route in &mut spec.routes {
        route.upstreams.retain(|upstream| own.contains(&upstream.instance));
    }
    spec.routes.retain(|route| !route.upstreams.is_empty());
    let hosts: Vec<&String> = spec.routes.iter().flat_map(|route| &route.hosts).collect();
    spec.certificates.retain(|certificate| certificate.hosts.iter().any(|host| hosts.contains(&host)));
    answer(&headers, &spec)
}

fn check(app: &App, headers: &HeaderMap) -> Result<()> {
    // Digests are compared, so that the time tells nothing about the token's length either.
    let digest = |token: &str| Sha256::digest(token.as_bytes());
    let given = digest(bearer(headers).unwrap_or_default());
    if bool::from(given.ct_eq(&digest(app.proxy_token.expose_secret()))) {
        return Ok(());
    }
    Err(Error::new(Code::Unauthenticated, "this is not the proxy token")
        .hint("Send `Authorization: Bearer` with the value of `proxy.token`"))
}

fn answer(headers: &HeaderMap, spec: &ProxySpec) -> Result<Response> {
    let body = serde_json::to_vec(&dynamic(spec)).map_err(anyhow::Error::new)?;
    let etag = format!("\"{}\"", hex::encode(Sha256::digest(&body)));
    let common = [(ETAG, etag.clone()), (CACHE_CONTROL, "no-cache".to_owned())];
    if matches(headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    Ok((common, [(CONTENT_TYPE, "application/json")], body).into_response())
}

/// RFC 9110 section 13.1.2: a list of tags, or `*`; the comparison is weak.
fn matches(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}
