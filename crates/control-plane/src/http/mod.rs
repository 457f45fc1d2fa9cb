//! Assembly of the routers: the public one (dashboard, API, enrolment), the same behind proxies, and the mesh one (agents,
//! Traefik).

pub mod caller;
pub mod error;
pub mod extract;
pub mod health;
pub mod limits;
pub mod listen;
pub mod page;
pub mod permission;
pub mod request_log;
#[cfg(test)]
mod tests;
pub mod web;

use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

pub use error::{Body, Code, Error, Result};
pub use permission::{Permission, guard, public};

use crate::app::AppState;
use crate::{
    activity, apps, archives, audit, certificates, deployments, dns_providers, doctor, domains, events, exec,
    files, front, git_access, healing, hub, identity, jobs, logs, mesh, network, nodes, notices, placement,
    projects, registries, releases, route_tokens, routes, streams, tombstones, traffic, variables, zones,
};

#[derive(OpenApi)]
#[openapi(
    info(title = "WiseHosting", description = "A private cloud over your own servers."),
    components(schemas(error::ErrorBody)),
    modifiers(&Schemes)
)]
struct Document;

struct Schemes;

impl utoipa::Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let cookie = ApiKey::Cookie(ApiKeyValue::new(caller::COOKIE_NAME));
        components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

/// `/api/v1` and its document. Each feature brings its own routes.
pub fn api(app: &AppState) -> (Router<AppState>, utoipa::openapi::OpenApi) {
    let routes = OpenApiRouter::new()
        .merge(identity::api::router(app))
        .merge(projects::api::router(app))
        .merge(network::api::router(app))
        .merge(apps::api::router(app))
        .merge(tombstones::api::router(app))
        .merge(domains::api::router(app))
        .merge(activity::api::router(app))
        .merge(archives::api::router(app))
        .merge(deployments::api::router(app))
        .merge(routes::settings::api::router(app))
        .merge(streams::api::router(app))
        .merge(jobs::queue::router(app))
        .merge(releases::api::router(app))
        .merge(variables::api::router(app))
        .merge(registries::api::router(app))
        .merge(certificates::shown::api::router(app))
        .merge(certificates::imports::api::router(app))
        .merge(notices::api::router(app))
        .merge(dns_providers::api::router(app))
        .merge(git_access::api::router(app))
        .merge(logs::api::router(app))
        .merge(traffic::api::router(app))
        .merge(exec::api::router(app))
        .merge(files::api::router(app))
        .merge(nodes::api::router(app))
        .merge(healing::api::router(app))
        .merge(placement::api::router(app))
        .merge(mesh::api::router(app))
        .merge(doctor::api::router(app))
        .merge(zones::api::router(app))
        .merge(routes::api::router(app))
        .merge(route_tokens::api::router(app))
        .merge(events::api::router(app))
        .merge(audit::api::router(app));
    OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v1", routes).split_for_parts()
}

/// Dashboard, API and enrolment.
pub fn public_router(app: &AppState) -> Router {
    wrap(public_routes(app))
}

/// The same for the fleet's proxies, which say who calls.
pub fn front_router(app: &AppState) -> Router {
    wrap(public_routes(app).layer(from_fn_with_state(app.clone(), front::layer)))
}

fn public_routes(app: &AppState) -> Router {
    let (api, document) = api(app);
    let document = get(move || std::future::ready(Json(document.clone())));
    let api = api.route("/api/v1/openapi.json", document).merge(nodes::join::router());
    let api = api.merge(nodes::health::alias::router(app));
    api.merge(health::router()).merge(web::router()).with_state(app.clone())
}

/// What agents and Traefik call, over the mesh.
pub fn mesh_router(app: &AppState, metrics: Option<PrometheusHandle>) -> Router {
    let routes = health::ready_router().merge(hub::mesh_router()).with_state(app.clone());
    wrap(daemon::status::router(metrics).merge(routes))
}

/// What every router is wrapped in: request id and log, panics as errors, headers for browsers.
pub fn wrap(router: Router) -> Router {
    let header = |name: &'static str, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    router
        .layer(CatchPanicLayer::custom(|_panic: Box<dyn std::any::Any + Send>| {
            axum::response::IntoResponse::into_response(Error::from(anyhow::anyhow!("a handler panicked")))
        }))
        .layer(header("x-content-type-options", "nosniff"))
        .layer(header("referrer-policy", "same-origin"))
        .layer(header("x-frame-options", "DENY"))
        .layer(header("cache-control", "no-store"))
        .layer(from_fn(request_log::layer))
}
