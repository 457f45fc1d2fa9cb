use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use protocol::ids::{AppId, ProjectId};
use protocol::spec::private::EgressRule;
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::store::{self, Found};
use super::{AskedRule, NetworkView, PrivateApp, address, check_egress, name};
use crate::app::AppState;
use crate::apps::api::find;
use crate::http::caller::Caller;
use crate::http::extract::{Path, Query};
use crate::http::{Body, Error, Permission, Result, guard};
use crate::{audit, projects};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::ProjectRead, routes!(get_network)))
        .routes(guard(app, Permission::ProjectWrite, routes!(grant_network, revoke_network)))
        .routes(guard(app, Permission::ProjectWrite, routes!(put_egress)))
}

/// The project's private network: the names of all apps that its containers reach, grants, and egress rules.
#[utoipa::path(get, path = "/projects/{project}/network", tag = "projects", params(("project" = String, Path, description = "Slug")), responses((status = 200, body = NetworkView)))]
async fn get_network(
    State(app): State<AppState>,
    caller: Caller,
    Path(slug): Path<String>,
) -> Result<Json<NetworkView>> {
    let mut conn = app.db.acquire().await?;
    let found = project(&mut conn, &caller, &slug).await?;
    Ok(Json(view(&mut conn, found).await?))
}

/// Whom a project may reach: another project, or one app of it.
#[derive(Debug, Deserialize, utoipa::ToSchema, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct GrantRequest {
    /// Slug of the other project; the app's when absent.
    project: Option<String>,
    /// Id or slug of one of its apps; all of them when absent.
    app: Option<String>,
}

/// Lets the project's apps reach another project of the organization, or one app of it. To grant it again changes nothing.
#[utoipa::path(post, path = "/projects/{project}/network/grants", tag = "projects", params(("project" = String, Path, description = "Slug of the project whose apps may")), request_body = GrantRequest, responses((status = 200, body = NetworkView)))]
async fn grant_network(
    State(app): State<AppState>,
    caller: Caller,
    Path(slug): Path<String>,
    Body(request): Body<GrantRequest>,
) -> Result<Json<NetworkView>> {
    let mut tx = app.db.begin().await?;
    let found = held(&mut tx, &caller, &slug).await?;
    let target = target(&mut tx, &caller, &request).await?;
    if target.project.id == found.id {
        let field = if request.app.is_some() { "app" } else { "project" };
        return Err(Error::invalid(field, format!("{slug} reaches its own apps without a grant")));
    }
    hold(&mut tx, &target.project).await?;
    if store::grant(&mut tx, found.id, target.place(), &caller.email).await? {
        record(&mut tx, &caller, "network.grant", &found, target.told()).await?;
        store::changed(&mut tx, found.id).await?;
    }
    let view = view(&mut tx, found).await?;
    tx.commit().await?;
    Ok(Json(view))
}

/// Takes a grant back. Connections that are open stay; new ones are refused.
#[utoipa::path(delete, path = "/projects/{project}/network/grants", tag = "projects", params(("project" = String, Path, description = "Slug of the project whose apps may"), GrantRequest), responses((status = 204)))]
async fn revoke_network(
    State(app): State<AppState>,
    caller: Caller,
    Path(slug): Path<String>,
    Query(request): Query<GrantRequest>,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    let found = project(&mut tx, &caller, &slug).await?;
    let target = target(&mut tx, &caller, &request).await?;
    if !store::revoke(&mut tx, found.id, target.place()).await? {
        return Err(Error::not_found(format!("grant from {slug} to {}", target.told()))
            .hint(format!("`wh network show {slug}` lists its grants")));
    }
    record(&mut tx, &caller, "network.revoke", &found, target.told()).await?;
    store::changed(&mut tx, found.id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where a project's containers may open connections.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct EgressRequest {
    /// Networks and ports; anywhere public when null, and nowhere when empty.
    #[schema(value_type = Option<Vec<EgressRule>>)]
    egress: Option<Vec<AskedRule>>,
}

/// Says where the project's containers may open connections outside of the private network.
#[utoipa::path(put, path = "/projects/{project}/network/egress", tag = "projects", params(("project" = String, Path, description = "Slug")), request_body = EgressRequest, responses((status = 200, body = NetworkView)))]
async fn put_egress(
    State(app): State<AppState>,
    caller: Caller,
    Path(slug): Path<String>,
    Body(request): Body<EgressRequest>,
) -> Result<Json<NetworkView>> {
    let rules = request.egress.map(check_egress).transpose()?;
    let mut tx = app.db.begin().await?;
    let mut found = held(&mut tx, &caller, &slug).await?;
    store::set_egress(&mut tx, found.id, rules.as_deref()).await?;
    let detail = json!({ "egress": rules });
    audit::record(&mut tx, &caller, "network.egress", &format!("project:{slug}"), detail).await?;
    store::changed(&mut tx, found.id).await?;
    found.egress = rules.map(sqlx::types::Json);
    let view = view(&mut tx, found).await?;
    tx.commit().await?;
    Ok(Json(view))
}

/// Of the caller's organization.
async fn project(conn: &mut PgConnection, caller: &Caller, slug: &str) -> Result<Found> {
    store::project(conn, caller.organization_id, slug).await?.ok_or_else(|| projects::absent(slug))
}

/// The same for a change of it.
async fn held(conn: &mut PgConnection, caller: &Caller, slug: &str) -> Result<Found> {
    let found = project(conn, caller, slug).await?;
    hold(conn, &found).await?;
    Ok(found)
}

/// Nobody removes the project until the transaction ends.
async fn hold(conn: &mut PgConnection, found: &Found) -> Result<()> {
    if projects::store::hold(conn, found.id).await? { Ok(()) } else { Err(projects::absent(&found.slug)) }
}

struct Target {
    project: Found,
    app: Option<(AppId, String)>,
}

impl Target {
    fn place(&self) -> (ProjectId, Option<AppId>) {
        (self.project.id, self.app.as_ref().map(|(id, _)| *id))
    }

    fn told(&self) -> String {
        match &self.app {
            Some((_, app)) => name(app, &self.project.slug),
            None => format!("project {}", self.project.slug),
        }
    }
}

/// The caller has the same rights in all projects of the organization, so that this consents for the target, too.
async fn target(conn: &mut PgConnection, caller: &Caller, request: &GrantRequest) -> Result<Target> {
    let app = match &request.app {
        Some(key) => Some(find(conn, caller, key).await?),
        None => None,
    };
    let of_app = match &app {
        Some(app) => Some(store::project_of(conn, app.id).await?),
        None => None,
    };
    let project = match (&request.project, of_app) {
        (Some(slug), None) => project(conn, caller, slug).await?,
        (Some(slug), Some(of_app)) if *slug != of_app.slug => {
            let message = format!("the app belongs to project {}", of_app.slug);
            return Err(Error::invalid("app", message).hint("Leave `project` out when an app is named"));
        }
        (_, Some(of_app)) => of_app,
        (None, None) => {
            return Err(Error::invalid("project", "name the project or the app that may be reached"));
        }
    };
    Ok(Target { project, app: app.map(|app| (app.id, app.slug)) })
}

async fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    action: &str,
    found: &Found,
    to: String,
) -> sqlx::Result<()> {
    let target = format!("project:{}", found.slug);
    audit::record(conn, caller, action, &target, json!({ "from": found.slug, "to": to })).await
}

async fn view(conn: &mut PgConnection, found: Found) -> Result<NetworkView> {
    let reached = store::reached(conn, &[found.id]).await?;
    let serving = store::serving(conn, reached.iter().map(|one| one.app_id)).await?;
    let mut seen = BTreeSet::new();
    let app = |one: &crate::plan::network::Reached| {
        let instances = serving.get(&one.app_id).map(Vec::as_slice).unwrap_or_default();
        let ports: BTreeSet<u16> = instances.iter().map(|instance| instance.port).collect();
        PrivateApp {
            name: name(&one.app, &one.project),
            app: one.app.clone(),
            project: one.project.clone(),
            address: address(one.number),
            ports: ports.into_iter().collect(),
            instances: i64::try_from(instances.len()).unwrap_or(i64::MAX),
        }
    };
    let apps = reached.iter().filter(|one| seen.insert(one.app_id)).map(app).collect();
    let grants = store::grants(conn, found.id).await?;
    Ok(NetworkView { project: found.slug, apps, grants, egress: found.egress.map(|rules| rules.0) })
}
