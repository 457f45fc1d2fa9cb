use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use protocol::ids::DeploymentId;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{sentence, store};
use crate::app::AppState;
use crate::apps;
use crate::http::caller::Caller;
use crate::http::extract::{Path, Query};
use crate::http::page::{Page, PageQuery};
use crate::http::{Permission, Result, guard};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::AppRead, routes!(list_activity)))
}

/// Something that happened to an app.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Activity {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    /// `user:<e-mail>`, `node:<name>` or `system`.
    pub actor: String,
    /// `<noun>.<verb>`, for programs.
    pub action: String,
    /// Who did what, in a sentence.
    pub text: String,
    /// The deployment that it is about.
    pub deployment: Option<DeploymentId>,
}

impl From<store::Event> for Activity {
    fn from(event: store::Event) -> Self {
        Self {
            id: event.id,
            at: event.at,
            text: sentence::of(&event),
            deployment: event.target.strip_prefix("deployment:").and_then(|id| id.parse().ok()),
            actor: event.actor,
            action: event.action,
        }
    }
}

/// What happened to an app, newest first. Values of variables are not told.
#[utoipa::path(get, path = "/apps/{app}/activity", tag = "apps", params(("app" = String, Path, description = "Id or slug"), PageQuery), responses((status = 200, body = Page<Activity>)))]
async fn list_activity(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Activity>>> {
    let mut conn = app.db.acquire().await?;
    let found = apps::api::find(&mut conn, &caller, &key).await?;
    let events = store::list(&mut conn, caller.organization_id, found.id, page.cursor, page.limit()).await?;
    let items = events.into_iter().map(Activity::from).collect();
    Ok(Json(Page::new(items, page.limit(), |event| event.id)))
}
