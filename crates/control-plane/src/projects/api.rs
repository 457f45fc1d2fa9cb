use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Project, absent, check_empty, in_use, store};
use crate::app::AppState;
use crate::apps::rules;
use crate::audit;
use crate::http::caller::Caller;
use crate::http::error::violates;
use crate::http::extract::{Path, Query};
use crate::http::page::{Page, PageQuery};
use crate::http::{Body, Code, Error, Permission, Result, guard};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(guard(app, Permission::ProjectRead, routes!(list_projects)))
        .routes(guard(app, Permission::ProjectWrite, routes!(create_project)))
        .routes(guard(app, Permission::ProjectWrite, routes!(update_project, delete_project)))
}

/// All projects of the organization.
#[utoipa::path(get, path = "/projects", tag = "projects", params(PageQuery), responses((status = 200, body = Page<Project>)))]
async fn list_projects(
    State(app): State<AppState>,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Project>>> {
    let mut conn = app.db.acquire().await?;
    let items = store::list(&mut conn, caller.organization_id, None, page.cursor, page.limit()).await?;
    Ok(Json(Page::new(items, page.limit(), |project| project.id.0)))
}

/// The project of the path, if it is one of the caller's organization.
async fn find(conn: &mut PgConnection, caller: &Caller, slug: &str) -> Result<Project> {
    let found = store::list(conn, caller.organization_id, Some(slug), None, 1).await?;
    found.into_iter().next().ok_or_else(|| absent(slug))
}

/// A new project.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ProjectRequest {
    slug: String,
    /// The slug when absent.
    name: Option<String>,
}

/// Makes a project with the environment `production`.
#[utoipa::path(post, path = "/projects", tag = "projects", request_body = ProjectRequest, responses((status = 201, body = Project)))]
async fn create_project(
    State(app): State<AppState>,
    caller: Caller,
    Body(request): Body<ProjectRequest>,
) -> Result<(StatusCode, Json<Project>)> {
    rules::check_slug(&request.slug)?;
    let name = checked_name(request.name.as_deref().unwrap_or(&request.slug))?;
    let mut tx = app.db.begin().await?;
    let project =
        store::create(&mut tx, caller.organization_id, &request.slug, name).await.map_err(|error| {
            if violates(&error, "projects_organization_id_slug_key") {
                return Error::new(Code::SlugTaken, format!("there is a project {} already", request.slug))
                    .field("slug")
                    .hint("Choose another slug");
            }
            error.into()
        })?;
    audit::record(&mut tx, &caller, "project.create", &format!("project:{}", project.slug), json!({}))
        .await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(project)))
}

fn checked_name(name: &str) -> Result<&str> {
    let name = name.trim();
    rules::check_text("name", name, 1, 100)?;
    Ok(name)
}

/// What changes.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ProjectPatch {
    name: String,
}

/// Renames a project. Its slug stays: it is part of its apps' private names.
#[utoipa::path(patch, path = "/projects/{project}", tag = "projects", params(("project" = String, Path, description = "Slug")), request_body = ProjectPatch, responses((status = 200, body = Project)))]
async fn update_project(
    State(app): State<AppState>,
    caller: Caller,
    Path(slug): Path<String>,
    Body(patch): Body<ProjectPatch>,
) -> Result<Json<Project>> {
    let name = checked_name(&patch.name)?;
    let mut tx = app.db.begin().await?;
    let mut project = find(&mut tx, &caller, &slug).await?;
    if name != project.name {
        if !store::rename(&mut tx, project.id, name).await? {
            return Err(absent(&slug));
        }
        let detail = json!({ "before": project.name, "after": name });
        audit::record(&mut tx, &caller, "project.update", &format!("project:{slug}"), detail).await?;
        name.clone_into(&mut project.name);
    }
    tx.commit().await?;
    Ok(Json(project))
}

/// Removes a project that no app is in, with its environments and grants. The last one of an organization stays.
#[utoipa::path(delete, path = "/projects/{project}", tag = "projects", params(("project" = String, Path, description = "Slug")), responses((status = 204)))]
async fn delete_project(
    State(app): State<AppState>,
    caller: Caller,
    Path(slug): Path<String>,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    store::lock(&mut tx, caller.organization_id).await?;
    store::close(&mut tx, caller.organization_id, &slug).await?;
    let project = find(&mut tx, &caller, &slug).await?;
    if store::count(&mut tx, caller.organization_id).await? == 1 {
        return Err(in_use(format!("{slug} is the only project"))
            .hint("Make another one first: `wh project create SLUG`"));
    }
    check_empty(&project)?;
    // No worker is told: without apps it has neither containers that reach anything nor names that anything reaches.
    store::delete(&mut tx, project.id).await?;
    let detail = json!({ "name": project.name });
    audit::record(&mut tx, &caller, "project.delete", &format!("project:{slug}"), detail).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
