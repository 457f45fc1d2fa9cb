use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Project, store};
use crate::app::AppState;
use crate::apps::rules;
use crate::audit;
use crate::http::caller::Caller;
use crate::http::error::violates;
use crate::http::extract::Query;
use crate::http::page::{Page, PageQuery};
use crate::http::{Body, Code, Error, Permission, Result, guard};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::ProjectRead, routes!(list_projects))).routes(guard(
        app,
        Permission::ProjectWrite,
        routes!(create_project),
    ))
}

/// All projects of the organization.
#[utoipa::path(get, path = "/projects", tag = "projects", params(PageQuery), responses((status = 200, body = Page<Project>)))]
async fn list_projects(
    State(app): State<AppState>,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Project>>> {
    let mut conn = app.db.acquire().await?;
    let items = store::list(&mut conn, caller.organization_id, page.cursor, page.limit()).await?;
    Ok(Json(Page::new(items, page.limit(), |project| project.id.0)))
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
    let name = request.name.as_deref().unwrap_or(&request.slug).trim();
    rules::check_text("name", name, 1, 100)?;
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
