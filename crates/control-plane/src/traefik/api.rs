//! `GET /v1/traefik/proxy-config` and `GET /v1/traefik/config?worker_id=`, for Traefik's HTTP provider.

use axum::Router;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use daemon::credentials::ExposeSecret;
use protocol::ids::NodeId;
use protocol::spec::Generation;
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::tables::{self, Rendered, Table};
use crate::app::AppState;
use crate::generations::{self, Consumer};
use crate::http::caller::bearer;
use crate::http::{Code, Error, Result};
use crate::{digest, route_tokens};

pub fn mesh_router() -> Router<AppState> {
    Router::new()
        .route("/v1/traefik/proxy-config", get(proxy_config))
        .route("/v1/traefik/config", get(worker_config))
}

/// The table of every proxy.
async fn proxy_config(State(app): State<AppState>, headers: HeaderMap) -> Result<Response> {
    answer(&app, &headers, Table::Proxies).await
}

#[derive(Debug, Deserialize)]
struct WorkerQuery {
    worker_id: NodeId,
}

/// The table of the direct zones that point at one worker.
async fn worker_config(
    State(app): State<AppState>,
    query: Result<Query<WorkerQuery>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response> {
    let Query(query) = query.map_err(|_| Error::invalid("worker_id", "must be the id of a node"))?;
    answer(&app, &headers, Table::Worker(query.worker_id)).await
}

async fn answer(app: &AppState, headers: &HeaderMap, table: Table) -> Result<Response> {
    let generation = admit(app, headers, table).await?;
    let Rendered { body, etag, .. } = tables::rendered(app, table, generation).await?;
    let is_known = matches(headers, &etag);
    let common = [(ETAG, etag), (CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    Ok((common, [(CONTENT_TYPE, "application/json")], body).into_response())
}

/// Whoever asks may read `table`. Returns the generation in force, which the look-up of a token brings along.
async fn admit(app: &AppState, headers: &HeaderMap, table: Table) -> Result<Generation> {
    // Digests are compared, so that the time tells nothing about the token's length either.
    let given = digest::of_token(bearer(headers).unwrap_or_default());
    let mut conn = app.db.acquire().await?;
    if bool::from(given.ct_eq(&digest::of_token(app.proxy_token.expose_secret()))) {
        return Ok(generations::current(&mut conn, Consumer::Routes).await?);
    }
    let token = route_tokens::store::admit(&mut conn, &given).await?.ok_or_else(|| {
        Error::new(Code::Unauthenticated, "this is neither a route token nor the proxy token")
            .hint("`wh route-token create` makes one; send it as `Authorization: Bearer …`")
    })?;
    let of_token = token.worker_id.map_or(Table::Proxies, Table::Worker);
    if of_token != table {
        let has = match token.worker_id {
            None => "/v1/traefik/proxy-config".to_owned(),
            Some(worker) => format!("/v1/traefik/config?worker_id={worker}"),
        };
        return Err(Error::new(Code::Forbidden, "this token is for another route table")
            .hint(format!("It reads {has}; `wh route-token create` makes one for this table")));
    }
    Ok(token.generation)
}

/// RFC 9110 section 13.1.2: a list of tags, or `*`; the comparison is weak.
fn matches(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.trim_start_matches("W/").as_bytes() == etag.as_bytes())
}
