//! `/api/v1/route-tokens`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use protocol::ids::{NodeId, RouteTokenId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{RouteToken, store};
use crate::app::{App, AppState};
use crate::apps::rules;
use crate::http::caller::Caller;
use crate::http::extract::Path;
use crate::http::page::Page;
use crate::http::{Body, Error, Permission, Result, guard};
use crate::zones::api::find_worker;
use crate::{audit, digest};

const COUNT_LIMIT: i64 = 200;
/// How long a replaced token works on: time to take the new one to its host.
const OVERLAP_HOURS: u16 = 24;

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::NodeRead, routes!(list_route_tokens)))
        .routes(guard(app, Permission::NodeWrite, routes!(create_route_token)))
        .routes(guard(app, Permission::NodeWrite, routes!(rotate_route_token)))
        .routes(guard(app, Permission::NodeWrite, routes!(delete_route_token)))
}

/// All route tokens, ended ones included. Their secrets are never shown.
#[utoipa::path(get, path = "/route-tokens", tag = "routes", responses((status = 200, body = Page<RouteToken>)))]
async fn list_route_tokens(State(app): State<AppState>) -> Result<Json<Page<RouteToken>>> {
    let mut conn = app.db.acquire().await?;
    Ok(Json(Page::whole(store::list(&mut conn, None).await?)))
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RouteTokenRequest {
    /// Who gets it.
    name: String,
    /// Id or name of a worker, whose direct zones it reads; the table of the proxies when absent.
    worker: Option<String>,
    /// 1 to 3650; without it the token does not end by itself.
    expires_in_days: Option<u16>,
}

/// A token as shown once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct NewRouteToken {
    id: RouteTokenId,
    name: String,
    token: String,
    /// What Traefik's HTTP provider asks.
    endpoint: String,
    expires_at: Option<DateTime<Utc>>,
}

/// Makes a token for a Traefik. Its secret is in the answer and never again.
#[utoipa::path(post, path = "/route-tokens", tag = "routes", request_body = RouteTokenRequest,
    responses((status = 201, body = NewRouteToken)))]
async fn create_route_token(
    State(app): State<AppState>,
    caller: Caller,
    Body(request): Body<RouteTokenRequest>,
) -> Result<(StatusCode, Json<NewRouteToken>)> {
    let name = request.name.trim();
    rules::check_text("name", name, 1, 100)?;
    if request.expires_in_days.is_some_and(|days| !(1..=3650).contains(&days)) {
        return Err(Error::invalid("expires_in_days", "expires_in_days must be between 1 and 3650"));
    }
    let mut tx = app.db.begin().await?;
    let worker = match &request.worker {
        Some(worker) => Some(find_worker(&mut tx, worker).await?),
        None => None,
    };
    if store::count(&mut tx).await? >= COUNT_LIMIT {
        return Err(Error::invalid("name", format!("there are {COUNT_LIMIT} route tokens already"))
            .hint("Revoke one that is not used any more: `wh route-token ls`"));
    }
    let expires_at = request.expires_in_days.map(|days| Utc::now() + TimeDelta::days(days.into()));
    let made = make(&app, &mut tx, &caller, name, worker, expires_at).await?;
    let detail = json!({ "worker": request.worker, "expires_at": expires_at });
    audit::record(&mut tx, &caller, "route-token.create", &format!("route-token:{name}"), detail).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(made)))
}

async fn make(
    app: &App,
    conn: &mut PgConnection,
    caller: &Caller,
    name: &str,
    worker: Option<NodeId>,
    expires_at: Option<DateTime<Utc>>,
) -> Result<NewRouteToken> {
    let token = digest::new_token("whr_");
    let digest = digest::of_token(&token);
    let new = store::New { name, digest: &digest, worker, created_by: &caller.email, expires_at };
    let id = store::create(conn, &new).await?;
    Ok(NewRouteToken { id, name: name.to_owned(), token, endpoint: endpoint(app, worker), expires_at })
}

/// Over the mesh, whose address the listener has.
fn endpoint(app: &App, worker: Option<NodeId>) -> String {
    let (address, port) = (app.config.mesh.address, app.config.api_server.mesh_listen.port());
    let path = match worker {
        None => "proxy-config".to_owned(),
        Some(id) => format!("config?worker_id={id}"),
    };
    format!("http://{address}:{port}/v1/traefik/{path}")
}

#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RotateRequest {
    /// Hours for which the replaced token works on, at most 720; 24 when absent.
    overlap_hours: Option<u16>,
}

/// Makes a token in place of another, for the same table and as long. The other works on for a while.
#[utoipa::path(post, path = "/route-tokens/{id}/rotate", tag = "routes", params(("id" = RouteTokenId, Path)),
    request_body = RotateRequest, responses((status = 201, body = NewRouteToken)))]
async fn rotate_route_token(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<RouteTokenId>,
    Body(request): Body<RotateRequest>,
) -> Result<(StatusCode, Json<NewRouteToken>)> {
    let overlap = request.overlap_hours.unwrap_or(OVERLAP_HOURS);
    if overlap > 720 {
        return Err(Error::invalid("overlap_hours", "overlap_hours must be between 0 and 720"));
    }
    let mut tx = app.db.begin().await?;
    let old = store::lock(&mut tx, id).await?.ok_or_else(|| absent(id))?;
    let now = Utc::now();
    let expires_at = old.expires_at.map(|end| now + (end - old.created_at));
    let made = make(&app, &mut tx, &caller, &old.name, old.worker_id, expires_at).await?;
    store::end(&mut tx, id, now + TimeDelta::hours(overlap.into())).await?;
    let detail = json!({ "overlap_hours": overlap });
    audit::record(&mut tx, &caller, "route-token.rotate", &format!("route-token:{}", old.name), detail)
        .await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(made)))
}

fn absent(id: RouteTokenId) -> Error {
    Error::not_found(format_args!("route token {id}")).hint("`wh route-token ls` lists them")
}

/// Ends a token at once.
#[utoipa::path(delete, path = "/route-tokens/{id}", tag = "routes", params(("id" = RouteTokenId, Path)),
    responses((status = 204)))]
async fn delete_route_token(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<RouteTokenId>,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    let name = store::delete(&mut tx, id).await?.ok_or_else(|| absent(id))?;
    audit::record(&mut tx, &caller, "route-token.delete", &format!("route-token:{name}"), json!({})).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
