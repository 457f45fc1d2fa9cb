use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::AppState;
use crate::http::caller::Caller;
use crate::http::extract::Query;
use crate::http::page::{Page, PageQuery};
use crate::http::{Permission, Result, guard};

pub fn router(app: &AppState) -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(guard(app, Permission::AuditRead, routes!(list_audit_events)))
}

/// Who did what.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AuditEvent {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    /// `user:<e-mail>`, `node:<name>` or `system`.
    pub actor: String,
    /// Where the request came from; absent for what the system and nodes did by themselves.
    pub address: Option<String>,
    /// `<noun>.<verb>`.
    pub action: String,
    /// `<noun>:<name>`.
    pub target: String,
    #[schema(value_type = Object)]
    pub detail: Value,
}

/// What happened in the organization, to its members and to the nodes, newest first.
#[utoipa::path(get, path = "/audit", tag = "audit", params(PageQuery), responses((status = 200, body = Page<AuditEvent>)))]
async fn list_audit_events(
    State(app): State<AppState>,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<AuditEvent>>> {
    let mut conn = app.db.acquire().await?;
    let items = super::list(&mut conn, caller.organization_id, page.cursor, page.limit()).await?;
    Ok(Json(Page::new(items, page.limit(), |event| event.id)))
}
