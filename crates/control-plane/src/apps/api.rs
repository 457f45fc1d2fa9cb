use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use protocol::ids::{AppId, OrganizationId};
use protocol::spec::{CrashGuard, Isolation, Probe, Resources};
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{AppView, Deploy, Settings, SettingsPatch, instances, power, rules, store};
use crate::app::{App, AppState};
use crate::bus::{self, Topic};
use crate::http::caller::Caller;
use crate::http::error::violates;
use crate::http::extract::{Path, Query};
use crate::http::page::Page;
use crate::http::{Body, Code, Error, Permission, Result, guard};
use crate::placement::{self, Placement};
use crate::{audit, projects, tombstones, zones};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::AppRead, routes!(list_apps)))
        .routes(guard(app, Permission::AppWrite, routes!(create_app)))
        .routes(guard(app, Permission::AppRead, routes!(read_app)))
        .routes(guard(app, Permission::AppWrite, routes!(update_app)))
        .merge(instances::router(app))
        .merge(power::router(app))
}

/// The app of the path, if the caller may see it.
pub async fn find(conn: &mut PgConnection, caller: &Caller, id_or_slug: &str) -> Result<store::App> {
    store::find(conn, caller.organization_id, id_or_slug).await?.ok_or_else(|| unknown(id_or_slug))
}

/// The app of the path, held until the transaction ends.
pub async fn hold(conn: &mut PgConnection, caller: &Caller, id_or_slug: &str) -> Result<store::App> {
    let found = find(conn, caller, id_or_slug).await?;
    // Somebody may have deleted it in between.
    store::lock(conn, found.id).await?.ok_or_else(|| unknown(id_or_slug))
}

fn unknown(id_or_slug: &str) -> Error {
    Error::not_found(format!("app {id_or_slug}")).hint("`wh apps ls` lists the apps")
}

/// How apps are served: `https` where certificates can be had.
pub fn scheme(app: &App) -> &'static str {
    if app.config.acme.is_some() { "https" } else { "http" }
}

/// One app as clients see it.
pub(crate) async fn view(
    app: &App,
    conn: &mut PgConnection,
    organization: OrganizationId,
    id: AppId,
) -> Result<AppView> {
    let filter = store::Filter { id: Some(id), limit: 1, ..store::Filter::default() };
    let mut views = store::views(conn, organization, filter, scheme(app)).await?;
    views.pop().ok_or_else(|| Error::not_found("such app any more"))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Slug of a project.
    project: Option<String>,
    /// `next` of the page before.
    cursor: Option<Uuid>,
    /// At most 200; 50 when absent.
    limit: Option<i64>,
}

/// All apps of the organization, or of one project.
#[utoipa::path(get, path = "/apps", tag = "apps", params(ListQuery), responses((status = 200, body = Page<AppView>)))]
async fn list_apps(
    State(app): State<AppState>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<AppView>>> {
    let limit = query.limit.unwrap_or(50).clamp(1, 200);
    let filter = store::Filter { id: None, project: query.project.as_deref(), after: query.cursor, limit };
    let mut conn = app.db.acquire().await?;
    let views = store::views(&mut conn, caller.organization_id, filter, scheme(&app)).await?;
    Ok(Json(Page::new(views, limit, |view| view.id.0)))
}

/// A new app. What is absent takes the default.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct AppRequest {
    /// Also the first label of its hostname.
    slug: String,
    /// Slug of its project; `default` when absent.
    project: Option<String>,
    /// Suffix of the zone that it is served in; the default one when absent.
    zone: Option<String>,
    port: Option<u16>,
    replicas: Option<u16>,
    exclusive: Option<bool>,
    probe: Option<Probe>,
    resources: Option<Resources>,
    isolation: Option<Isolation>,
    crash_guard: Option<CrashGuard>,
    command: Option<Vec<String>>,
    deploy: Option<Deploy>,
    placement: Option<Placement>,
}

impl AppRequest {
    fn settings(&self) -> Settings {
        let default = Settings::default();
        Settings {
            port: self.port,
            replicas: self.replicas.unwrap_or(default.replicas),
            exclusive: self.exclusive.unwrap_or(default.exclusive),
            probe: self.probe.clone().unwrap_or_default(),
            resources: self.resources.unwrap_or_default(),
            isolation: self.isolation.clone().unwrap_or_default(),
            crash_guard: self.crash_guard.unwrap_or_default(),
            command: self.command.clone(),
            containerfile: None,
            deploy: self.deploy.clone().unwrap_or_default(),
            placement: self.placement.clone().unwrap_or_default(),
        }
    }
}

/// Makes an app. Nothing runs before its first deployment.
#[utoipa::path(post, path = "/apps", tag = "apps", request_body = AppRequest, responses((status = 201, body = AppView)))]
async fn create_app(
    State(app): State<AppState>,
    caller: Caller,
    Body(request): Body<AppRequest>,
) -> Result<(StatusCode, Json<AppView>)> {
    rules::check_slug(&request.slug)?;
    let settings = request.settings();
    rules::check_settings(&settings, "")?;
    let project = request.project.as_deref().unwrap_or("default");

    let mut tx = app.db.begin().await?;
    placement::check_pin(&mut tx, &settings.placement, None).await?;
    let environment = projects::store::enter(&mut tx, caller.organization_id, project)
        .await?
        .ok_or_else(|| projects::absent(project))?;
    let zone = zones::api::enter(&mut tx, request.zone.as_deref()).await?;
    zones::place::check_host(&app, &request.slug, &zone.suffix)?;
    check_free(&mut tx, caller.organization_id, &request.slug).await?;
    let id =
        store::create(&mut tx, environment, zone.id, &request.slug, &settings).await.map_err(|error| {
            if violates(&error, "apps_slug_key") {
                return Error::new(Code::SlugTaken, format!("another app has the slug {}", request.slug))
                    .field("slug")
                    .hint("Choose another slug: it is also the app's hostname");
            }
            error.into()
        })?;
    let detail = json!({ "project": project, "settings": settings });
    audit::record(&mut tx, &caller, "app.create", &format!("app:{}", request.slug), detail).await?;
    bus::say(&mut tx, Topic::Apps, id).await?;
    let view = view(&app, &mut tx, caller.organization_id, id).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// A deleted app of one's own keeps its slug; those of others are not told of.
async fn check_free(conn: &mut PgConnection, organization: OrganizationId, slug: &str) -> Result<()> {
    let kept = tombstones::store::list(conn, organization, Some(slug), tombstones::KEPT_DAYS).await?;
    match kept.first() {
        None => Ok(()),
        Some(kept) => {
            Err(Error::new(Code::SlugTaken, format!("the deleted app {} keeps its slug", kept.slug))
                .field("slug")
                .hint(format!(
                    "Undelete it, or choose another slug until {}",
                    kept.gone_at.format("%Y-%m-%d")
                )))
        }
    }
}

/// One app, by id or slug.
#[utoipa::path(get, path = "/apps/{app}", tag = "apps", params(("app" = String, Path, description = "Id or slug")), responses((status = 200, body = AppView)))]
async fn read_app(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<AppView>> {
    let mut conn = app.db.acquire().await?;
    let found = find(&mut conn, &caller, &key).await?;
    Ok(Json(view(&app, &mut conn, caller.organization_id, found.id).await?))
}

/// Changes settings. They take effect with the next release.
#[utoipa::path(patch, path = "/apps/{app}", tag = "apps", params(("app" = String, Path, description = "Id or slug")), request_body = SettingsPatch, responses((status = 200, body = AppView)))]
async fn update_app(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Body(patch): Body<SettingsPatch>,
) -> Result<Json<AppView>> {
    let mut tx = app.db.begin().await?;
    let found = hold(&mut tx, &caller, &key).await?;
    let before = found.settings.0;
    let mut settings = before.clone();
    patch.apply(&mut settings);
    rules::check_settings(&settings, "")?;
    placement::check_pin(&mut tx, &settings.placement, Some(&before.placement)).await?;
    if settings != before {
        store::update(&mut tx, found.id, &settings).await?;
        let detail = json!({ "before": before, "after": settings });
        audit::record(&mut tx, &caller, "app.update", &format!("app:{}", found.slug), detail).await?;
        bus::say(&mut tx, Topic::Apps, found.id).await?;
    }
    let view = view(&app, &mut tx, caller.organization_id, found.id).await?;
    tx.commit().await?;
    Ok(Json(view))
}
