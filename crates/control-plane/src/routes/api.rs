//! `GET /api/v1/routes`: the route tables, to look at.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use protocol::identity::AgentKind;
use protocol::spec::{Generation, Route};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{of_worker, store};
use crate::app::AppState;
use crate::http::extract::Query;
use crate::http::{Permission, Result, guard};
use crate::nodes;
use crate::reconcile::dispatch_specs::proxy_spec;

/// Routes in one answer; a search finds the others.
const SHOWN: usize = 500;

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::NodeRead, routes!(read_route_table)))
}

/// A route table and who has it in force.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RouteTable {
    /// The newest one; counts the changes of all route tables together.
    generation: Generation,
    changed_at: Option<DateTime<Utc>>,
    /// Who serves routes, whichever table it is.
    consumers: Vec<RouteConsumer>,
    /// Routes of the table.
    total: usize,
    /// Those that the search finds, up to 500.
    routes: Vec<RouteView>,
}

/// An agent that serves a route table.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RouteConsumer {
    /// Name of its host.
    pub node: String,
    pub kind: AgentKind,
    pub connected: bool,
    /// The generation that it said is in force.
    pub applied_generation: Generation,
    pub applied_at: Option<DateTime<Utc>>,
}

/// One route as it is served. Values of options are left out: headers and passwords may be among them.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RouteView {
    id: String,
    app: String,
    hosts: Vec<String>,
    path: String,
    /// Addresses of healthy instances, on the mesh.
    upstreams: Vec<String>,
    https_only: bool,
    /// Why there are no upstreams: `starting`, `unhealthy` or `stopped`.
    unavailable: Option<String>,
    /// Names of the options that are set.
    options: Vec<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct RouteQuery {
    /// Id or name of a worker: the table of its direct zones instead of the proxies'.
    worker: Option<String>,
    /// Part of a host name or of an app's slug.
    search: Option<String>,
}

/// What the proxies, or one worker, should serve now.
#[utoipa::path(get, path = "/routes", tag = "routes", params(RouteQuery), responses((status = 200, body = RouteTable)))]
async fn read_route_table(
    State(app): State<AppState>,
    Query(query): Query<RouteQuery>,
) -> Result<Json<RouteTable>> {
    let mut tx = app.db.begin().await?;
    let (generation, changed_at) = store::newest(&mut tx).await?;
    let consumers = store::consumers(&mut tx).await?;
    let spec = match &query.worker {
        None => proxy_spec(&app, &mut tx).await?,
        Some(worker) => {
            let id = nodes::api::find(&mut tx, worker).await?.id;
            of_worker(&mut tx, id).await?.unwrap_or_default()
        }
    };
    tx.rollback().await?;
    let total = spec.routes.len();
    let search = query.search.unwrap_or_default().to_ascii_lowercase();
    let found = spec.routes.into_iter().filter(|route| fits(route, &search));
    let routes = found.take(SHOWN).map(|route| RouteView::from(Arc::unwrap_or_clone(route))).collect();
    Ok(Json(RouteTable { generation, changed_at, consumers, total, routes }))
}

fn fits(route: &Route, search: &str) -> bool {
    route.app.contains(search) || route.hosts.iter().any(|host| host.contains(search))
}

impl From<Route> for RouteView {
    fn from(route: Route) -> Self {
        let word = |value: serde_json::Value| value.as_str().map(ToOwned::to_owned);
        let options = match serde_json::to_value(&*route.options) {
            Ok(serde_json::Value::Object(set)) => set.into_iter().map(|(name, _)| name).collect(),
            _ => Vec::new(),
        };
        Self {
            id: route.id,
            app: route.app,
            hosts: route.hosts,
            path: route.path,
            upstreams: route.upstreams.iter().map(|upstream| upstream.address.to_string()).collect(),
            https_only: route.https_only,
            unavailable: route.unavailable.and_then(|why| serde_json::to_value(why).ok()).and_then(word),
            options,
        }
    }
}
